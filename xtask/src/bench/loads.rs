//! The loads of the bench, and which of them the default model was trained on.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command;

/// A load: the script `xtask/loads/NAME.sh`.
#[derive(Debug, PartialEq, Eq)]
pub struct Load {
    pub name: &'static str,
    /// It belongs to the training half. The others are what zero-shot is measured on.
    pub trained: bool,
}

const fn trained(name: &'static str) -> Load {
    Load {
        name,
        trained: true,
    }
}

const fn left_out(name: &'static str) -> Load {
    Load {
        name,
        trained: false,
    }
}

/// The loads of the bench, in the order in which they are recorded and shown.
pub const LOADS: [Load; 15] = [
    trained("nginx-ab"),
    trained("hackbench-pipe"),
    left_out("hackbench-socket"),
    trained("sysbench-cpu"),
    left_out("sysbench-threads"),
    trained("sysbench-memory"),
    trained("cpu-4"),
    left_out("cpu-8"),
    trained("dd-sync"),
    trained("compile"),
    trained("redis"),
    left_out("pgbench"),
    left_out("stress-ng"),
    left_out("desktop"),
    left_out("all-mixed"),
];

/// Recorded to train on beside the training half of [`LOADS`], never evaluated: what those lack. Some of them at once,
/// timers, pipelines, a machine that is mostly watched, threads of one interpreter, a server with a process for each connection.
pub const TRAINING_ONLY: [Load; 8] = [
    trained("mix-web-cpu"),
    trained("mix-web-build"),
    trained("mix-cache-disk"),
    trained("timers"),
    trained("pipelines"),
    trained("monitors"),
    trained("python-threads"),
    trained("connections"),
];

/// Every load there is: those of the bench, then those for training alone.
pub fn every() -> impl Iterator<Item = &'static Load> + Clone {
    LOADS.iter().chain(&TRAINING_ONLY)
}

impl Load {
    /// One of the bench or one for training alone.
    pub fn find(name: &str) -> Result<&'static Self> {
        named(every(), name)
    }
}

/// Those of the bench that are named, in the order of [`LOADS`]; all if none is named.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Load>> {
    pick(LOADS.iter(), names)
}

/// Of every load those that are named.
pub fn chosen_of_every(names: &[String]) -> Result<Vec<&'static Load>> {
    pick(every(), names)
}

fn pick(
    loads: impl Iterator<Item = &'static Load> + Clone,
    names: &[String],
) -> Result<Vec<&'static Load>> {
    for name in names {
        named(loads.clone(), name)?;
    }
    Ok(loads
        .filter(|load| names.is_empty() || names.iter().any(|name| name == load.name))
        .collect())
}

fn named(loads: impl Iterator<Item = &'static Load> + Clone, name: &str) -> Result<&'static Load> {
    loads
        .clone()
        .find(|load| load.name == name)
        .with_context(|| {
            let names: Vec<&str> = loads.map(|load| load.name).collect();
            format!(
                "--loads: there is no load {name}; there are {}",
                names.join(", ")
            )
        })
}

/// The script that runs them.
pub fn script(root: &Path) -> PathBuf {
    root.join("xtask/loads/run.sh")
}

/// Debian packages that the loads need, each once.
pub fn packages(root: &Path, loads: &[&Load]) -> Result<Vec<String>> {
    let mut packages: Vec<String> = Vec::new();
    for load in loads {
        packages.extend(
            ask(root, load, "packages")?
                .split_whitespace()
                .map(str::to_owned),
        );
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// Versions of the programs that a load runs, one a line.
pub fn versions(root: &Path, load: &Load) -> Result<Vec<String>> {
    let lines: Vec<String> = ask(root, load, "versions")?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if lines.is_empty() {
        bail!(
            "{}: no version of what it runs: is it installed?",
            load.name
        );
    }
    Ok(lines)
}

fn ask(root: &Path, load: &Load, what: &str) -> Result<String> {
    let mut bash = Command::new("bash");
    bash.arg(script(root)).args([load.name, what]);
    let output = command::quiet_output(&mut bash)?;
    ensure!(
        output.status.success(),
        "run.sh {} {what}: {}: {}",
        load.name,
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("run.sh: its output is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_script_is_a_load_and_every_load_has_a_script() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("loads");
        let mut scripts: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "run")
            .collect();
        scripts.sort();
        let mut loads: Vec<String> = every().map(|load| load.name.to_owned()).collect();
        loads.sort();
        assert_eq!(scripts, loads);
    }

    #[test]
    fn every_load_names_its_packages_and_says_when_it_is_ready() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for load in every() {
            packages(root, &[load]).unwrap();
            let path = root.join(format!("xtask/loads/{}.sh", load.name));
            let text = fs::read_to_string(path).unwrap();
            let together = text
                .lines()
                .find_map(|line| line.strip_prefix("together=\"")?.strip_suffix('"'));
            if let Some(others) = together {
                // run.sh says it for them, once each of them has.
                for other in others.split(' ') {
                    Load::find(other).unwrap();
                }
                continue;
            }
            assert!(text.contains("\n\tready\n"), "{}", load.name);
        }
        let all: Vec<&Load> = every().collect();
        let packages = packages(root, &all).unwrap();
        assert!(packages.contains(&"redis-server".to_owned()));
        assert!(packages.is_sorted());
    }

    #[test]
    fn loads_are_chosen_by_name() {
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let some = chosen(&names(&["redis", "cpu-4", "redis"])).unwrap();
        assert_eq!(
            some.iter().map(|load| load.name).collect::<Vec<_>>(),
            ["cpu-4", "redis"]
        );
        assert_eq!(chosen(&[]).unwrap().len(), LOADS.len());
        let timers = names(&["timers"]);
        assert!(chosen(&timers).is_err(), "it is not of the bench");
        assert_eq!(chosen_of_every(&timers).unwrap()[0].name, "timers");
        let error = chosen(&names(&["reddis"])).unwrap_err().to_string();
        assert!(error.starts_with("--loads: there is no load reddis; there are nginx-ab,"));
    }
}
