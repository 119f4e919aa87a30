//! What this process uses: CPU time and memory, as the kernel counts them.

use crate::probe::Activity;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use std::io;
use std::sync::OnceLock;
use std::time::Instant;

fn clock_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

/// CPU time of the calling thread, ns.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The use of the whole process over time.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Usage {
    /// From now on.
    pub fn begin() -> Self {
        Self {
            wall_ns: clock_ns(ClockId::CLOCK_MONOTONIC),
            cpu_ns: Self::total_ns(),
        }
    }

    /// CPU time of all threads since the process began, ns.
    pub fn total_ns() -> u64 {
        clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    /// CPU time of all threads since the beginning, as a share of one CPU.
    pub fn share(&self) -> f64 {
        let now = Self::begin();
        let wall_ns = now.wall_ns.saturating_sub(self.wall_ns);
        if wall_ns == 0 {
            return 0.0;
        }
        now.cpu_ns.saturating_sub(self.cpu_ns) as f64 / wall_ns as f64
    }
}

/// Idle time, as a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleShare {
    /// Of the CPU that the calling thread is on.
    pub here: f64,
    /// Of the idlest CPU that this process may use.
    pub best: f64,
}

/// Idle time of CPUs between two looks.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    wall_ns: u64,
    idle_ns: Vec<u64>,
}

impl Idle {
    /// Since the last call; `None` the first time.
    pub fn share(&mut self, wall_ns: u64, activity: &[Activity]) -> Option<IdleShare> {
        let passed_ns = wall_ns.saturating_sub(self.wall_ns);
        self.wall_ns = wall_ns;
        let before = std::mem::replace(
            &mut self.idle_ns,
            activity.iter().map(|activity| activity.idle_ns).collect(),
        );
        if before.len() != activity.len() || passed_ns == 0 {
            return None;
        }
        let share = |cpu: usize| {
            let idle_ns = self.idle_ns.get(cpu)?.saturating_sub(*before.get(cpu)?);
            Some(idle_ns as f64 / passed_ns as f64)
        };
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let best = (0..activity.len().min(CpuSet::count()))
            .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
            .filter_map(share)
            .fold(0.0, f64::max);
        let here = sched_getcpu().ok().and_then(share)?;
        Some(IdleShare { here, best })
    }
}

/// Most memory that was resident at a time, bytes.
pub fn resident_bytes() -> io::Result<u64> {
    let status = procfs::process::Process::myself()
        .and_then(|me| me.status())
        .map_err(io::Error::other)?;
    let kib = status
        .vmhwm
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmHWM"))?;
    Ok(kib * 1024)
}

/// When the program started.
static START: OnceLock<Instant> = OnceLock::new();

/// The program starts now; to be said first of all, later calls change nothing. The kernel keeps when a process began, but that may have been another program before: `cargo xtask run`
/// becomes the daemon when it has built it. What `exec` and the loader take, some milliseconds, is left out.
pub fn mark_start() {
    START.get_or_init(Instant::now);
}

/// Time since [`mark_start`], ns; none if nobody said it.
pub fn since_start() -> Option<u64> {
    Some(START.get()?.elapsed().as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_shares_are_of_the_time_between_two_looks() {
        let mut idle = Idle::default();
        let activity = |idle_ns| {
            vec![
                Activity {
                    skipped: 0,
                    idle_ns
                };
                4096
            ]
        };
        assert_eq!(idle.share(1_000, &activity(500)), None);
        let share = idle.share(2_000, &activity(750)).unwrap();
        assert_eq!((share.here, share.best), (0.25, 0.25));
    }

    #[test]
    fn the_kernel_tells_memory_and_age() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        mark_start();
        let age = since_start().unwrap();
        mark_start();
        assert!(since_start().unwrap() >= age, "it starts once");
        assert!(Usage::begin().share() >= 0.0);
    }
}
