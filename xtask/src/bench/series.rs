//! A series of recordings: every load, round after round, into one directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    keep_off::Programs,
    loads::Load,
    machine::{About, Plan},
    quiet::Noise,
    record::Recorder,
    recordings::{self, Recording},
};
use crate::workspace::Workspace;

pub struct Series<'a> {
    pub workspace: &'a Workspace,
    pub kernoracle: &'a Path,
    pub loads: &'a [&'static Load],
    pub plan: Plan,
    /// Of the recordings.
    pub directory: PathBuf,
    /// Of what the loads print.
    pub logs: PathBuf,
    /// Go on with a series that was interrupted.
    pub resume: bool,
    /// If something else runs on the CPU of the loads.
    pub noise: Noise,
    /// Kept off that CPU besides kernel threads.
    pub programs: &'a Programs,
}

impl Series<'_> {
    /// Records them all. Rounds are interleaved, so that what changes slowly on the machine shows as spread.
    pub fn record(&self) -> Result<(About, Vec<Recording>)> {
        let about = self.begin()?;
        let recordings = interleaved(&self.directory, self.loads, self.plan.rounds);
        eprintln!(
            "bench: {} recordings of at most {} switches or {} s, on CPU {} from CPU {}",
            recordings.len(),
            about.switches,
            about.seconds,
            about.cpu,
            about.other_cpu
        );
        Recorder {
            workspace: self.workspace,
            kernoracle: self.kernoracle,
            about: &about,
            logs: &self.logs,
            noise: self.noise,
            programs: self.programs,
        }
        .all(&recordings)?;
        Ok((about, recordings::of(&self.directory, self.loads)?))
    }

    fn begin(&self) -> Result<About> {
        let about = About::now(self.workspace, self.loads, self.plan)?;
        let directory = &self.directory;
        if self.resume {
            let Some(before) = About::read(directory)? else {
                bail!("--resume: {}: nothing was begun there", directory.display());
            };
            ensure!(
                about.goes_on(&before),
                "--resume: {}: begun with other options, sources, programs or on another kernel: begin anew without --resume",
                directory.display()
            );
            return Ok(before);
        }
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        ensure!(
            recordings::all(directory)?.is_empty(),
            "{}: holds recordings already: name another directory, or go on with --resume",
            directory.display()
        );
        about.write(directory)?;
        Ok(about)
    }
}

fn interleaved(directory: &Path, loads: &[&'static Load], rounds: u32) -> Vec<Recording> {
    (1..=rounds)
        .flat_map(|round| {
            loads
                .iter()
                .map(move |load| Recording::new(directory, load, round))
        })
        .collect()
}

/// Empties a directory of recordings that a former bench made for itself.
pub fn clear(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_over_before_the_next_begins() {
        let loads = ["cpu-4", "redis"].map(|name| Load::find(name).unwrap());
        let names: Vec<String> = interleaved(Path::new("."), &loads, 2)
            .iter()
            .map(Recording::name)
            .collect();
        assert_eq!(names, ["cpu-4.1", "redis.1", "cpu-4.2", "redis.2"]);
    }
}
