//! What is made once and kept under `target/vm/`: kernels, the root file system, initial RAM disks.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};

/// Changes when what is built from the same inputs changes.
const RECIPE: u32 = 1;

pub struct Cache {
    pub dir: PathBuf,
}

impl Cache {
    pub fn at(target: &Path) -> Result<Self> {
        let dir = target.join("vm");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self { dir })
    }

    /// The directory `name` made from `inputs`; if there is none yet, `make` fills one, which gets its name only when
    /// it is whole.
    pub fn get(
        &self,
        name: &str,
        inputs: impl Hash,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (RECIPE, inputs).hash(&mut hasher);
        let whole = self.dir.join(format!("{name}-{:016x}", hasher.finish()));
        if whole.exists() {
            return Ok(whole);
        }
        let _lock = self.lock()?;
        // Made meanwhile by another.
        if whole.exists() {
            return Ok(whole);
        }
        let aside = self.dir.join(format!("{name}.part"));
        remove(&aside)?;
        fs::create_dir(&aside).with_context(|| aside.display().to_string())?;
        make(&aside)?;
        // What other inputs gave.
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if is_other(&path, name) {
                remove(&path)?;
            }
        }
        fs::rename(&aside, &whole).with_context(|| whole.display().to_string())?;
        Ok(whole)
    }

    /// One builds, others wait. The kernel lets go of it however the holder ends.
    fn lock(&self) -> Result<Flock<File>> {
        let path = self.dir.join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| anyhow!("{}: {errno}", path.display()))
    }
}

/// `NAME-` and sixteen digits.
fn is_other(path: &Path, name: &str) -> bool {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|key| key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes it, if it is there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn it_is_made_once_for_the_same_inputs_and_again_for_others() {
        let target = tempfile::tempdir().unwrap();
        let cache = Cache::at(target.path()).unwrap();
        let make = |text: &'static str| {
            move |dir: &Path| fs::write(dir.join("file"), text).map_err(Into::into)
        };
        let first = cache.get("a", "inputs", make("first")).unwrap();
        let again = cache.get("a", "inputs", make("again")).unwrap();
        assert_eq!(first, again);
        assert_eq!(fs::read_to_string(again.join("file")).unwrap(), "first");
        let other = cache.get("a", "others", make("other")).unwrap();
        assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "other");
        assert!(!first.exists(), "the former is gone");
    }

    #[test]
    fn what_fails_halfway_is_not_taken_for_whole() {
        let target = tempfile::tempdir().unwrap();
        let cache = Cache::at(target.path()).unwrap();
        let kept = cache.get("a", 1, |_| Ok(())).unwrap();
        let failed = cache.get("a", 2, |dir| {
            fs::write(dir.join("half"), "")?;
            bail!("no space")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no space");
        assert!(kept.exists(), "the former stays until there is a new one");
        let whole = cache.get("a", 2, |_| Ok(())).unwrap();
        assert_eq!(fs::read_dir(whole).unwrap().count(), 0);
    }
}
