//! The CPU that is recorded has to be idle before a load starts: what else runs there would be in the recording.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Busy with something else for more than this share: not quiet.
const MOST: f64 = 0.10;
/// The share is measured over this long.
const SAMPLE: Duration = Duration::from_secs(1);
/// So long it may take until it is quiet.
const LIMIT: Duration = Duration::from_secs(60);

/// What to do with a CPU that is not quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Wait for it, then fail.
    Refuse,
    /// Say so and go on.
    Tell,
}

pub fn wait_until_quiet(cpu: usize, noise: Noise) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let busy = busy_share(cpu)?;
        if busy <= MOST {
            return Ok(());
        }
        let found = format!(
            "CPU {cpu} is {:.0} % busy with something else",
            100.0 * busy
        );
        if noise == Noise::Tell {
            eprintln!("bench: {found}: it will be in the recording");
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "{found}, for {} s: stop that or keep it on another CPU, then go on with --resume",
                LIMIT.as_secs()
            );
        }
        eprintln!("bench: {found}: waiting");
    }
}

fn busy_share(cpu: usize) -> Result<f64> {
    let before = times(cpu)?;
    thread::sleep(SAMPLE);
    let after = times(cpu)?;
    Ok(after.busy_since(before))
}

/// Clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    busy: u64,
    all: u64,
}

impl Times {
    fn busy_since(self, before: Self) -> f64 {
        let busy = self.busy.saturating_sub(before.busy);
        let all = self.all.saturating_sub(before.all);
        if all == 0 {
            return 0.0;
        }
        busy as f64 / all as f64
    }

    /// The line of the CPU in /proc/stat: user nice system idle iowait irq softirq steal; guest times are in
    /// user and nice already. Stolen time is the host's doing, and leaves no switch.
    fn of(stat: &str, cpu: usize) -> Option<Self> {
        let name = format!("cpu{cpu}");
        let mut words = stat
            .lines()
            .map(str::split_whitespace)
            .find_map(|mut words| (words.next() == Some(&*name)).then_some(words))?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let [user, nice, system, idle, iowait, irq, softirq] = [
            number()?,
            number()?,
            number()?,
            number()?,
            number()?,
            number()?,
            number()?,
        ];
        let busy = user + nice + system + irq + softirq;
        Some(Self {
            busy,
            all: busy + idle + iowait,
        })
    }
}

fn times(cpu: usize) -> Result<Times> {
    let path = "/proc/stat";
    let stat = fs::read_to_string(path).context(path)?;
    Times::of(&stat, cpu).with_context(|| format!("{path}: no times of cpu{cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 1 5 70 2 1 1 50 0 0\ncpu10 1 1 1 1 1 1 1 1 0 0\n";

    #[test]
    fn busy_is_what_is_neither_idle_nor_waiting_nor_stolen() {
        let before = Times { busy: 0, all: 0 };
        let after = Times::of(STAT, 0).unwrap();
        assert_eq!(after, Times { busy: 18, all: 90 });
        assert!((after.busy_since(before) - 0.2).abs() < 1e-12);
        assert!(after.busy_since(after).abs() < 1e-12);
        assert_eq!(Times::of(STAT, 1), None);
    }
}
