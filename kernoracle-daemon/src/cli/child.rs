//! The command that `record` runs.

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{self, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    thread,
    time::Duration,
};

/// `si_code` of a signal that the kernel itself sent: from a terminal, it went to the command too.
const FROM_KERNEL: i32 = 0x80;
/// Between two looks at a command that outlives its recording.
const POLL: Duration = Duration::from_millis(50);

/// A command with its signals.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    /// A signal to be passed on, or 0.
    pass_on: Arc<AtomicI32>,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts the command; from here on SIGINT, SIGTERM and SIGHUP are its own.
    pub fn start(command: &[OsString]) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let pass_on = Arc::new(AtomicI32::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let pass_on = Arc::clone(&pass_on);
            // SAFETY: the action only loads from the siginfo that it is given and stores to an atomic:
            // both are allowed in a signal handler.
            unsafe {
                signal_hook_registry::register_sigaction(signal, move |info| {
                    if info.si_code != FROM_KERNEL {
                        pass_on.store(signal, Ordering::Relaxed);
                    }
                })
            }?;
        }
        // Its end wakes the reader from its sleep.
        signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)))?;
        let process = Command::new(program)
            .args(arguments)
            .spawn()
            .with_context(|| format!("{}: cannot start", program.to_string_lossy()))?;
        Ok(Self {
            process,
            pass_on,
            status: None,
        })
    }

    /// Passes signals on; gives the exit status once the command has ended.
    pub fn poll(&mut self) -> io::Result<Option<u8>> {
        if self.status.is_none() {
            self.status = self.process.try_wait()?;
        }
        let signal = self.pass_on.swap(0, Ordering::Relaxed);
        if self.status.is_none()
            && let Ok(signal) = Signal::try_from(signal)
        {
            // Not reaped yet, so the pid is still its own.
            kill(Pid::from_raw(self.process.id() as i32), signal)?;
        }
        Ok(self.status.map(code))
    }

    /// Waits for its end, passing signals on.
    pub fn wait(&mut self) -> io::Result<u8> {
        loop {
            if let Some(code) = self.poll()? {
                return Ok(code);
            }
            thread::sleep(POLL);
        }
    }
}

/// As a shell gives it.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.map_or(u8::MAX, |code| code as u8)
}
