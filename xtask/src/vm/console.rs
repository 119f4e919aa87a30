//! The kernel's console: kept in a file, and the last of it in memory for when the guest does not come up.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};

const SHOWN: usize = 20;

pub struct Console(JoinHandle<Vec<String>>);

impl Console {
    /// Reads until QEMU ends.
    pub fn read(from: UnixStream, log: &Path) -> Result<Self> {
        let mut log = File::create(log).with_context(|| log.display().to_string())?;
        Ok(Self(thread::spawn(move || {
            let mut last = Vec::new();
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                // A log that cannot be written is no reason to stop the guest.
                let _ = log.write_all(&line);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if text.is_empty() {
                    continue;
                }
                if last.len() == SHOWN {
                    last.remove(0);
                }
                last.push(text);
            }
            last
        })))
    }

    /// The last lines; once QEMU has ended.
    pub fn last(self) -> String {
        let lines = self.0.join().unwrap_or_default();
        let indented: Vec<String> = lines.iter().map(|line| format!("  | {line}")).collect();
        indented.join("\n")
    }
}
