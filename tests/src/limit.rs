//! A memory limit, as a container has one.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

/// A memory cgroup of its own, removed when dropped.
#[derive(Debug)]
pub struct MemoryLimit {
    directory: PathBuf,
}

impl MemoryLimit {
    /// The reason, if this machine has no memory cgroups that can be used.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let (root, limit) = if Path::new("/sys/fs/cgroup/memory").is_dir() {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            ("/sys/fs/cgroup", "memory.max")
        };
        let directory = Path::new(root).join(format!("kernoracle-test-{}", process::id()));
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let cgroup = Self { directory };
        let limit = cgroup.directory.join(limit);
        // Not created: the file is there, or the controller is not enabled.
        if !limit.exists() {
            return Err(format!("no {}", limit.display()));
        }
        fs::write(&limit, bytes.to_string())
            .map_err(|error| format!("{}: {error}", limit.display()))?;
        Ok(cgroup)
    }

    /// A process enters by writing its pid there.
    pub fn entrance(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.directory) {
            eprintln!("{} stays: {error}", self.directory.display());
        }
    }
}
