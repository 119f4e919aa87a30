//! `cargo xtask bench`: how often the oracle is right and what it costs, on loads that run for real.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::{build, setup, workspace::Workspace};

mod ablate;
mod ablation_page;
mod accuracy;
mod affinity;
mod ahead;
mod chart;
mod clock;
mod evaluate;
mod figures;
mod goals;
mod keep_off;
mod loads;
mod machine;
mod markdown;
mod miscounts;
mod page;
mod paired;
mod quiet;
mod record;
mod recordings;
mod series;
mod speed;
mod tables;
mod training;

/// Record loads, measure accuracy on them, and speed
#[derive(Subcommand)]
pub enum Bench {
    Accuracy(accuracy::Args),
    RecordTraining(training::Args),
    Ablate(ablate::Args),
    Speed(speed::Args),
    #[command(hide = true)]
    KeepOff(keep_off::Args),
}

pub fn main(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Accuracy(args) => accuracy::main(args),
        Bench::RecordTraining(args) => training::main(args),
        Bench::Ablate(args) => ablate::main(args),
        Bench::Speed(args) => speed::main(args),
        Bench::KeepOff(args) => keep_off::main(args),
    }
}

/// `bench accuracy --quick` as part of the tests. Returns whether the model is ahead and the counts add up.
pub fn quick_accuracy() -> Result<bool> {
    let code = accuracy::main(&accuracy::Args::for_tests())?;
    Ok(code == ExitCode::SUCCESS)
}

/// How kernoracle is built and how many evaluations run at a time.
#[derive(clap::Args)]
struct Common {
    /// Evaluations at a time [default: CPUs that this process may use]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Take the kernoracle that the tests run (the dev profile) instead of a release build
    #[arg(long)]
    debug: bool,
}

impl Common {
    fn jobs(&self) -> usize {
        match self.jobs {
            Some(jobs) => jobs.into(),
            None => thread::available_parallelism().map_or(1, Into::into),
        }
    }
}

/// Installs what is missing, `packages` too, and builds. Returns the binary.
fn prepare(workspace: &Workspace, packages: &[String], debug: bool) -> Result<PathBuf> {
    setup::ensure_bench(workspace, packages)?;
    let profile = if debug {
        build::for_tests(workspace)?;
        "debug"
    } else {
        build::daemon(workspace, true)?;
        "release"
    };
    Ok(workspace.target.join(profile).join("kernoracle"))
}

/// Replaces the file as a whole, or leaves the old one.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write()
        .inspect_err(|_| {
            _ = fs::remove_file(&aside);
        })
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Makes a shell script that can be run. Another process writes it: a test that forks at that moment
    /// would keep the file open for writing, and running it would fail with ETXTBSY.
    pub fn program(path: &Path, script: &str) {
        let mut sh = Command::new("sh")
            .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\n{script}\n");
        sh.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(sh.wait().unwrap().success());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let error = write_whole(&dir.path().join("no/page.md"), "x").unwrap_err();
        assert!(format!("{error:#}").contains("no/page.md"), "{error:#}");
    }
}
