//! What a run takes into the guest: a directory of its own on the host, and a read-only disk made of it.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use super::cache::remove;
use crate::command;

const PREFIX: &str = "run-";
const LOCK: &str = "lock";

/// Removed when dropped; what a killed run left is removed by the next.
pub struct Share {
    dir: TempDir,
    /// Says to others that this run lives.
    _lock: Flock<File>,
}

impl Share {
    pub fn new(vm: &Path) -> Result<Self> {
        sweep(vm)?;
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(vm)?;
        let path = dir.path().join(LOCK);
        let Ok(lock) = Flock::lock(File::create(&path)?, FlockArg::LockExclusiveNonblock) else {
            bail!("{}: locked by another", path.display());
        };
        fs::create_dir_all(dir.path().join("host/bin"))?;
        let share = Self { dir, _lock: lock };
        share.script("start", include_str!("guest/start"))?;
        Ok(share)
    }

    /// Where the run may write.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where `name` lies before the disk is made; `/host/NAME` in the guest.
    pub fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join("host").join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(path)
    }

    pub fn text(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.place(name)?, text).with_context(|| name.to_owned())
    }

    pub fn script(&self, name: &str, text: &str) -> Result<()> {
        self.text(name, text)?;
        fs::set_permissions(self.place(name)?, Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// A file, or a directory with all that is in it.
    pub fn copy(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.place(name)?;
        let mut copy = Command::new("cp");
        copy.args([
            "--recursive",
            "--dereference",
            "--preserve=mode,timestamps",
            "--",
        ]);
        let output = command::quiet_output(copy.arg(from).arg(to))?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }

    /// A program, without what only a debugger reads: that is most of it.
    pub fn program(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.place(name)?;
        let mut strip = Command::new("strip");
        let output = command::quiet_output(strip.arg("-o").arg(&to).arg("--").arg(from))?;
        if !output.status.success() {
            bail!(
                "strip {}: {}",
                from.display(),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(())
    }

    /// The disk, of all that was put there.
    pub fn image(&self) -> Result<PathBuf> {
        let host = self.dir.path().join("host");
        let image = self.dir.path().join("share.ext2");
        let (bytes, files) = size(&host)?;
        // Metadata: less than a tenth, and something even for nothing.
        let mib = (bytes + bytes / 10) / (1 << 20) + 16;
        let mut make = Command::new("mke2fs");
        // A person's PATH often leaves out where it is installed.
        let mut path = env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/sbin:/sbin");
        make.env("PATH", path);
        make.args([
            "-q",
            "-t",
            "ext2",
            "-m",
            "0",
            "-N",
            &(files + 64).to_string(),
        ])
        .args(["-E", "root_owner=0:0", "-d"])
        .arg(&host)
        .arg(&image)
        .arg(format!("{mib}M"));
        let output = command::quiet_output(&mut make)?;
        if !output.status.success() {
            bail!(
                "mke2fs: {}",
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(image)
    }
}

/// Bytes and files below `dir`.
fn size(dir: &Path) -> Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        files += 1;
        if entry.file_type()?.is_dir() {
            let below = size(&entry.path())?;
            bytes += below.0;
            files += below.1;
        } else {
            bytes += entry.metadata()?.len();
        }
    }
    Ok((bytes, files))
}

/// Removes the directories of runs that are no more.
fn sweep(vm: &Path) -> Result<()> {
    for entry in fs::read_dir(vm).with_context(|| vm.display().to_string())? {
        let path = entry?.path();
        if !is_run(path.file_name().unwrap_or_default()) {
            continue;
        }
        let alive = match File::open(path.join(LOCK)) {
            Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err(),
            // It is only just being made, or just being removed.
            Err(error) if error.kind() == ErrorKind::NotFound => recent(&path),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        if !alive {
            remove(&path)?;
        }
    }
    Ok(())
}

fn is_run(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(PREFIX)
}

fn recent(path: &Path) -> bool {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() < 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_lives_is_kept() {
        let vm = tempfile::tempdir().unwrap();
        let living = Share::new(vm.path()).unwrap();
        let killed = vm.path().join("run-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        fs::create_dir(vm.path().join("kernel-6.1")).unwrap();
        let other = Share::new(vm.path()).unwrap();
        assert!(!killed.exists());
        assert!(living.dir().exists() && other.dir().exists());
        assert!(vm.path().join("kernel-6.1").exists());
    }
}
