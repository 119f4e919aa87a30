//! The files that a command leaves in `/results`, brought back as a tar stream.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::cache::remove;

/// Unpacks aside; [`Unpacking::finish`] puts the files in place.
pub struct Unpacking {
    tar: process::Child,
    aside: PathBuf,
}

impl Unpacking {
    pub fn start(from: UnixStream, aside: &Path) -> Result<Self> {
        fs::create_dir(aside).with_context(|| aside.display().to_string())?;
        let tar = Command::new("tar")
            .args(["--extract", "--no-same-owner", "--file", "-"])
            .arg("--directory")
            .arg(aside)
            .stdin(Stdio::from(OwnedFd::from(from)))
            // A guest that does not come up sends none; whether all came is seen by the exit status.
            .stderr(Stdio::null())
            .spawn()
            .context("tar")?;
        Ok(Self {
            tar,
            aside: aside.to_owned(),
        })
    }

    /// Waits for the end of the stream. Whole?
    pub fn wait(&mut self) -> bool {
        self.tar.wait().is_ok_and(|status| status.success())
    }

    /// Moves what came into `to`, in place of files of the same names; the names.
    pub fn finish(mut self, to: &Path) -> Result<Vec<String>> {
        ensure!(self.wait(), "the result files have not come back whole");
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.aside)? {
            let entry = entry?;
            fs::create_dir_all(to).with_context(|| to.display().to_string())?;
            let target = to.join(entry.file_name());
            remove(&target)?;
            if fs::rename(entry.path(), &target).is_err() {
                // Another file system.
                let copied = Command::new("cp")
                    .args(["--archive", "--"])
                    .arg(entry.path())
                    .arg(&target)
                    .status()
                    .context("cp")?;
                ensure!(copied.success(), "{}: cp: {copied}", target.display());
            }
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}
