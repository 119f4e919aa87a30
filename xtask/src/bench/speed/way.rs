//! The ways in which the switches of a CPU are watched while a load runs there.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::part::Setup;
use crate::command;

/// Until a watcher records: the daemon takes a fraction of this, perf the longest.
const START: Duration = Duration::from_millis(1500);
/// For a watcher to end.
const END: Duration = Duration::from_secs(30);

/// A way, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A process that sleeps.
    Nothing,
    /// Our programs return at once: no program that is attached to the same trace points can cost less.
    Paused,
    /// Our programs write records, and a reader on the same CPU takes them, looks at the headers, and counts.
    Programs,
    Record,
    RunSame,
    RunOther,
    PerfSched,
    /// A program that counts switches by the name of the next task.
    Counting,
}

pub const WAYS: [Way; 8] = [
    Way::Nothing,
    Way::Paused,
    Way::Programs,
    Way::Record,
    Way::RunSame,
    Way::RunOther,
    Way::PerfSched,
    Way::Counting,
];

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Paused => "eBPF programs, in a pause",
            Self::Programs => "eBPF programs only",
            Self::Record => "kernoracle record",
            Self::RunSame => "kernoracle run, same CPU",
            Self::RunOther => "kernoracle run, other CPU",
            Self::PerfSched => "perf sched record",
            Self::Counting => "counting by next comm",
        }
    }

    /// Place in [`WAYS`].
    pub fn index(self) -> usize {
        self as usize
    }

    fn command(self, setup: &Setup<'_>) -> Result<Command> {
        let cpu = match self {
            Self::RunOther => setup.other_cpu,
            _ => setup.cpu,
        };
        let mut watch = command::tied_as_root("taskset")?;
        watch.args(["-c", &cpu.to_string()]);
        let file = |name: &str| setup.work.join(name);
        match self {
            // A process is started and waited for like the others: after an idle second a load is slower, watched or not.
            Self::Nothing => {
                watch.args(["sleep", "infinity"]);
            }
            Self::Paused => {
                watch.arg(&setup.kernoracle).args(["attach", "pause"]);
            }
            Self::Programs => {
                watch.arg(&setup.kernoracle).args(["attach", "discard"]);
            }
            Self::Counting => {
                watch.arg(&setup.kernoracle).args(["attach", "count"]);
            }
            Self::Record => {
                watch.arg(&setup.kernoracle).args(["record", "-o"]);
                watch.arg(file("speed.kot"));
            }
            Self::RunSame | Self::RunOther => {
                watch.arg(&setup.kernoracle).args(["run", "--log-format"]);
                watch.arg("json");
            }
            Self::PerfSched => {
                watch.args(["perf", "sched", "record", "-C", &setup.cpu.to_string()]);
                watch.arg("-o").arg(file("perf.data"));
                watch.args(["--", "sleep", "1000"]);
            }
        }
        if !matches!(self, Self::Nothing | Self::PerfSched | Self::Counting) {
            watch.args(["--cpu", &setup.cpu.to_string()]);
        }
        Ok(watch)
    }

    /// Begins to watch. Returns once it does.
    pub fn start(self, setup: &Setup<'_>) -> Result<Watching> {
        self.start_with(setup, &[])
    }

    /// As [`Self::start`], with more options.
    pub fn start_with(self, setup: &Setup<'_>, options: &[&str]) -> Result<Watching> {
        let output = setup.work.join("watch.out");
        let mut watch = self.command(setup)?;
        let file = File::create(&output).with_context(|| output.display().to_string())?;
        let child = watch
            .args(options)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| self.name())?;
        thread::sleep(START);
        let mut watching = Watching {
            way: self,
            child: Some(child),
            output,
        };
        watching.still_running()?;
        Ok(watching)
    }
}

/// A watcher that runs; killed when dropped.
pub struct Watching {
    way: Way,
    child: Option<Child>,
    output: PathBuf,
}

impl Watching {
    fn still_running(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        if let Some(status) = child.try_wait()? {
            bail!("{}: ended, {status}: {}", self.way.name(), self.said()?);
        }
        Ok(())
    }

    fn said(&self) -> Result<String> {
        fs::read_to_string(&self.output).with_context(|| self.output.display().to_string())
    }

    /// It must have watched until now. Returns what it printed.
    pub fn end(mut self) -> Result<String> {
        self.still_running()?;
        let Some(mut child) = self.child.take() else {
            return Ok(String::new());
        };
        let signal = match self.way {
            // What this bench was told to ignore, in the background of a shell, sleep ignores too.
            Way::Nothing => Signal::SIGTERM,
            _ => Signal::SIGINT,
        };
        kill(Pid::from_raw(child.id().cast_signed()), signal)?;
        let deadline = Instant::now() + END;
        while child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                bail!("{}: did not end after {signal}", self.way.name());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let said = self.said()?;
        // These end themselves by the signal that they were sent.
        ensure!(
            matches!(self.way, Way::PerfSched | Way::Nothing) || child.wait()?.success(),
            "{}: failed: {said}",
            self.way.name()
        );
        Ok(said)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
