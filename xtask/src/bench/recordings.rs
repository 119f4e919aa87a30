//! Recordings of loads in a directory: `NAME.ROUND.kot`, rounds from 1.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::loads::{self, Load};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub load: &'static Load,
    pub round: u32,
    pub file: PathBuf,
}

impl Recording {
    pub fn new(directory: &Path, load: &'static Load, round: u32) -> Self {
        let file = directory.join(format!("{}.{round}.kot", load.name));
        Self { load, round, file }
    }

    /// As messages name it.
    pub fn name(&self) -> String {
        format!("{}.{}", self.load.name, self.round)
    }

    fn of(file: PathBuf) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let (name, round) = name.strip_suffix(".kot")?.rsplit_once('.')?;
        let round = round.parse().ok().filter(|round| *round > 0)?;
        let load = loads::every().find(|load| load.name == name)?;
        Some(Self { load, round, file })
    }
}

/// All in the directory, in the order of [`loads::every`], then of rounds.
pub fn all(directory: &Path) -> Result<Vec<Recording>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        found.extend(Recording::of(entry?.path()));
    }
    found.sort_by_key(|recording| {
        let place = loads::every().position(|load| load == recording.load);
        (place, recording.round)
    });
    Ok(found)
}

/// Those of the chosen loads, of which none may be missing.
pub fn of(directory: &Path, loads: &[&'static Load]) -> Result<Vec<Recording>> {
    let mut found = all(directory)?;
    found.retain(|recording| loads.contains(&recording.load));
    if let Some(missing) = loads
        .iter()
        .find(|load| found.iter().all(|recording| recording.load != **load))
    {
        bail!(
            "{}: no recording {name}.1.kot: record it, or leave {name} out with --loads",
            directory.display(),
            name = missing.name
        );
    }
    Ok(found)
}

/// The loads that are recorded in the directory.
pub fn loads(directory: &Path) -> Result<Vec<&'static Load>> {
    let mut loads: Vec<_> = all(directory)?
        .iter()
        .map(|recording| recording.load)
        .collect();
    loads.dedup();
    if loads.is_empty() {
        bail!(
            "{}: no recordings in it; their names are NAME.ROUND.kot, as in redis.1.kot",
            directory.display()
        );
    }
    Ok(loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_found_by_name_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "redis.2.kot",
            "redis.10.kot",
            "cpu-4.1.kot",
            "redis.0.kot",
            "redis.kot",
            "other.1.kot",
            "redis.1.kot.part",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<String> = all(dir.path())
            .unwrap()
            .iter()
            .map(Recording::name)
            .collect();
        assert_eq!(names, ["cpu-4.1", "redis.2", "redis.10"]);
        let names: Vec<&str> = loads(dir.path()).unwrap().iter().map(|l| l.name).collect();
        assert_eq!(names, ["cpu-4", "redis"]);

        let desktop = Load::find("desktop").unwrap();
        let error = of(dir.path(), &[desktop]).unwrap_err().to_string();
        assert!(error.contains("no recording desktop.1.kot"), "{error}");
    }

    #[test]
    fn a_directory_without_recordings_is_said_to_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = loads(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no recordings in it"), "{error}");
    }
}
