//! QEMU as a child that never outlives this process.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    process::{self, Command, ExitStatus},
};

use anyhow::{Context as _, Result};
use nix::sys::{prctl, signal::Signal};

/// Killed when dropped.
pub struct Child(process::Child);

impl Child {
    /// From the main thread only: the kernel ends it when the thread that started it ends.
    pub fn start(command: &mut Command) -> Result<Self> {
        // SAFETY: prctl is a bare system call: it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let program = command.get_program().to_string_lossy().into_owned();
        command.spawn().map(Self).context(program)
    }

    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.0.wait().context("QEMU")
    }

    pub fn kill(&mut self) {
        // Ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a child wrote to `file`.
pub fn text(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
