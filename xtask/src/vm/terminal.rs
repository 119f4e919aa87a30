//! The caller's terminal while the guest's shell has it.

use std::{
    io::IsTerminal as _,
    process::{Command, Stdio},
};

use crate::command;

/// Its settings, restored when dropped: QEMU does so only when nothing kills it.
pub struct Terminal(Option<String>);

impl Terminal {
    pub fn save() -> Self {
        Self(stty(&["-g"]))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            stty(&[settings.trim()]);
        }
    }
}

/// Rows and columns.
pub fn size() -> Option<(u16, u16)> {
    let text = stty(&["size"])?;
    let (rows, columns) = text.trim().split_once(' ')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}

/// `None` without a terminal.
fn stty(arguments: &[&str]) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let mut stty = Command::new("stty");
    stty.args(arguments).stdin(Stdio::inherit());
    let output = command::quiet_output(&mut stty).ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
