//! Records one load: the load alone on one CPU, the recorder on another.

use std::{
    env,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    keep_off::{KeptOff, Programs},
    loads::{self, Load},
    machine::{About, Pinned},
    quiet::{Noise, wait_until_quiet},
    recordings::Recording,
};
use crate::{command, workspace::Workspace};

/// For a load to prepare: pgbench fills its tables in some seconds, on a slow disk in many.
const READY_LIMIT: Duration = Duration::from_secs(180);
/// Between two looks at whether it is ready.
const POLL: Duration = Duration::from_millis(100);
/// From ready until recording begins: connections are made, groups are started.
const SETTLE: Duration = Duration::from_secs(2);
/// Lines of a load's log that are shown when it fails.
const LOG_LINES: usize = 5;

/// Scratch directories are on a disk: dd's writes have to be real.
const SCRATCH: &str = "/var/tmp";

pub struct Recorder<'a> {
    pub workspace: &'a Workspace,
    pub kernoracle: &'a Path,
    pub about: &'a About,
    /// Directory of what the loads print.
    pub logs: &'a Path,
    /// If something else runs on the CPU of the loads.
    pub noise: Noise,
    /// Kept off that CPU besides kernel threads.
    pub programs: &'a Programs,
}

impl Recorder<'_> {
    /// Records those that are not there yet. Progress goes to standard error.
    pub fn all(&self, recordings: &[Recording]) -> Result<()> {
        fs::create_dir_all(self.logs).with_context(|| self.logs.display().to_string())?;
        let _pinned = Pinned::to(self.about.other_cpu)?;
        let _kept_off = KeptOff::start(self.about, self.programs)?;
        for (at, recording) in recordings.iter().enumerate() {
            let step = format!("[{}/{}] {}", at + 1, recordings.len(), recording.name());
            if recording.file.exists() {
                eprintln!("{step}: recorded before the interruption");
                continue;
            }
            eprintln!("{step}: recording");
            self.one(recording)
                .with_context(|| format!("recording {}", recording.name()))?;
        }
        Ok(())
    }

    fn one(&self, recording: &Recording) -> Result<()> {
        wait_until_quiet(self.about.cpu, self.noise)?;
        let mut load = self.start(recording.load)?;
        load.wait_until_ready()?;
        thread::sleep(SETTLE);

        // Renamed once whole: what is under its name is a full recording.
        let aside = recording.file.with_extension("kot.part");
        let About {
            cpu,
            other_cpu,
            switches,
            seconds,
            ..
        } = self.about;
        let mut record = command::tied_as_root("taskset")?;
        record
            .args(["-c", &other_cpu.to_string()])
            .arg(self.kernoracle)
            .args(["record", "-o"])
            .arg(&aside)
            .args(["--cpu", &cpu.to_string()])
            .args(["--switches", &switches.to_string()])
            .args(["--duration", &format!("{seconds}s")]);
        command::run(&mut record)?;
        load.end()?;
        fs::rename(&aside, &recording.file)
            .with_context(|| recording.file.display().to_string())?;
        Ok(())
    }

    /// The load in namespaces of its own, which end with its standard input.
    pub fn start(&self, load: &'static Load) -> Result<Running> {
        let scratch = scratch(load.name)?;
        let log = self.logs.join(format!("{}.log", load.name));
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let passed_on = toolchain_environment();
        let passed_on: Vec<(&str, &str)> = passed_on
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let env = if command::is_root() {
            &[]
        } else {
            &passed_on[..]
        };
        let mut start = command::as_root("taskset", env)?;
        start
            .args(["-c", &self.about.cpu.to_string(), "setsid", "--wait"])
            .args(["unshare", "--pid", "--ipc", "--fork", "--kill-child"])
            .args(["--mount-proc", "bash"])
            .arg(loads::script(&self.workspace.root))
            .args([load.name, "run-to-eof"])
            .arg(&scratch)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = command::spawn(&mut start)?;
        Ok(Running {
            name: load.name,
            child,
            scratch,
            log,
        })
    }
}

/// The compile load calls cargo, and sudo drops what says where that is.
fn toolchain_environment() -> Vec<(&'static str, String)> {
    let home = env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let or = |key, default: &str| env::var(key).unwrap_or_else(|_| format!("{home}/{default}"));
    vec![
        ("PATH", env::var("PATH").unwrap_or_default()),
        ("CARGO_HOME", or("CARGO_HOME", ".cargo")),
        ("RUSTUP_HOME", or("RUSTUP_HOME", ".rustup")),
    ]
}

/// An empty directory that everyone may write to: some loads leave root.
fn scratch(name: &str) -> Result<PathBuf> {
    let mut mktemp = Command::new("mktemp");
    mktemp
        .args(["--directory", "--tmpdir"])
        .arg(format!("kernoracle-{name}.XXXXXX"))
        .env("TMPDIR", SCRATCH);
    let output = command::quiet_output(&mut mktemp)?;
    ensure!(
        output.status.success(),
        "mktemp: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim_end());
    fs::set_permissions(&path, Permissions::from_mode(0o777))
        .with_context(|| path.display().to_string())?;
    Ok(path)
}

/// A load that runs. It ends with this process, however that ends: its standard input is our pipe.
pub struct Running {
    name: &'static str,
    child: Child,
    scratch: PathBuf,
    log: PathBuf,
}

impl Running {
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        let ready = self.scratch.join("ready");
        while !ready.exists() {
            self.still_running()?;
            if Instant::now() >= deadline {
                bail!(
                    "{}: not ready after {} s{}",
                    self.name,
                    READY_LIMIT.as_secs(),
                    self.last_words()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn still_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{}: ended, {status}{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// It must have run until now; when this returns, all of it is gone.
    pub fn end(mut self) -> Result<()> {
        self.still_running()?;
        self.stop()?;
        ensure!(
            !self.scratch.exists(),
            "{}: left {} behind{}",
            self.name,
            self.scratch.display(),
            self.last_words()
        );
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().context("cannot wait for the load")?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        if last.is_empty() {
            return format!("; {} is empty", self.log.display());
        }
        format!("; {}: {}", self.log.display(), last.join(" | "))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("bench: {}: {error:#}", self.name);
        }
    }
}
