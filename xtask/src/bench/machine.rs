//! What a recording was made on: kept beside the recordings, told in the pages.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::SystemTime};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{loads, loads::Load};
use crate::workspace::Workspace;

/// File beside the recordings that holds an [`About`].
pub const FILE: &str = "about.json";

/// Where, when, of what and how recordings were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// When the first recording began, UTC.
    pub date: String,
    /// `uname -r`.
    pub kernel: String,
    /// As /proc/cpuinfo names it.
    pub processor: String,
    /// CPUs that are online.
    pub cpus: usize,
    /// The CPU that the loads were pinned to and that was recorded.
    pub cpu: usize,
    /// The CPU of the recorder and the bench.
    pub other_cpu: usize,
    /// Of these sources; `+` behind it if files differed from it.
    pub commit: String,
    /// A recording ends after so many switches …
    pub switches: u64,
    /// … or so many seconds.
    pub seconds: u64,
    /// Recordings of each load.
    pub rounds: u32,
    /// Versions of the programs that each load ran.
    pub versions: BTreeMap<String, Vec<String>>,
}

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub cpu: usize,
    pub switches: u64,
    pub seconds: u64,
    pub rounds: u32,
}

impl About {
    pub fn now(workspace: &Workspace, loads: &[&Load], plan: Plan) -> Result<Self> {
        let online = online_cpus()?;
        ensure!(
            online.contains(&plan.cpu),
            "--cpu {}: not online; online are {online:?}",
            plan.cpu
        );
        let mut versions = BTreeMap::new();
        for load in loads {
            versions.insert(
                load.name.to_owned(),
                loads::versions(&workspace.root, load)?,
            );
        }
        Ok(Self {
            date: now(),
            kernel: kernel()?,
            processor: processor(),
            cpus: online.len(),
            cpu: plan.cpu,
            other_cpu: other_than(plan.cpu, &online),
            commit: commit(&workspace.root),
            switches: plan.switches,
            seconds: plan.seconds,
            rounds: plan.rounds,
            versions,
        })
    }

    /// `None` if there is none in the directory.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let about =
            serde_json::from_str(&text).with_context(|| format!("{}: damaged", path.display()))?;
        Ok(Some(about))
    }

    pub fn write(&self, directory: &Path) -> Result<()> {
        super::write_whole(&directory.join(FILE), &serde_json::to_string_pretty(self)?)
    }

    /// The same but for the date: what a bench that goes on has to agree with.
    pub fn goes_on(&self, before: &Self) -> bool {
        *before
            == Self {
                date: before.date.clone(),
                ..self.clone()
            }
    }
}

/// UTC, to the second.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

fn kernel() -> Result<String> {
    let uname = nix::sys::utsname::uname().context("uname")?;
    Ok(uname.release().to_string_lossy().into_owned())
}

fn processor() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| model_name(&text))
        .unwrap_or_else(|| format!("unnamed, {}", std::env::consts::ARCH))
}

fn model_name(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    })
}

/// Of the checked-out sources; "unknown" outside git.
pub fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .current_dir(root)
            .args(args)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // The pages themselves are what the bench writes.
    match git(&["status", "--porcelain", "--", ".", ":!docs"]) {
        Some(changed) if changed.is_empty() => commit,
        _ => format!("{commit}+"),
    }
}

fn online_cpus() -> Result<Vec<usize>> {
    let path = "/sys/devices/system/cpu/online";
    let text = fs::read_to_string(path).context(path)?;
    cpu_list(text.trim()).with_context(|| format!("{path}: cannot read {text:?}"))
}

fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let number = |text: &str| text.parse::<usize>().ok();
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(number(first)?..=number(last)?);
    }
    Some(cpus)
}

/// The first CPU that is not `cpu`; on a machine with one, the same.
fn other_than(cpu: usize, online: &[usize]) -> usize {
    online
        .iter()
        .copied()
        .find(|other| *other != cpu)
        .unwrap_or(cpu)
}

/// Keeps this process, and what it starts, on one CPU until dropped.
pub struct Pinned(CpuSet);

impl Pinned {
    pub fn to(cpu: usize) -> Result<Self> {
        let me = Pid::from_raw(0);
        let before = sched_getaffinity(me).context("sched_getaffinity")?;
        let mut set = CpuSet::new();
        set.set(cpu)?;
        sched_setaffinity(me, &set).with_context(|| format!("cannot move to CPU {cpu}"))?;
        Ok(Self(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(Pid::from_raw(0), &self.0) {
            eprintln!("bench: cannot leave the CPU again: {error}");
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn sample() -> About {
        About {
            date: "2026-01-02T03:04:05Z".to_owned(),
            kernel: "6.18.1".to_owned(),
            processor: "Some CPU".to_owned(),
            cpus: 2,
            cpu: 0,
            other_cpu: 1,
            commit: "0123456789ab".to_owned(),
            switches: 50_000,
            seconds: 60,
            rounds: 3,
            versions: BTreeMap::from([("redis".to_owned(), vec!["Redis 7".to_owned()])]),
        }
    }

    #[test]
    fn reads_lists_of_cpus() {
        assert_eq!(cpu_list("0-1,4"), Some(vec![0, 1, 4]));
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list(""), None);
        assert_eq!(cpu_list("0-x"), None);
    }

    #[test]
    fn the_other_cpu_is_another_where_there_is_one() {
        assert_eq!(other_than(0, &[0, 1]), 1);
        assert_eq!(other_than(1, &[0, 1]), 0);
        assert_eq!(other_than(0, &[0]), 0);
    }

    #[test]
    fn finds_the_processor() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU @ 3GHz\nflags\t: a\n";
        assert_eq!(model_name(text).as_deref(), Some("Fast CPU @ 3GHz"));
        assert_eq!(model_name("CPU part\t: 0xd0c\n"), None);
    }

    #[test]
    fn survives_writing_and_only_the_same_bench_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(About::read(dir.path()).unwrap(), None);
        let about = sample();
        about.write(dir.path()).unwrap();
        let read = About::read(dir.path()).unwrap().unwrap();
        assert_eq!(read, about);
        let later = About {
            date: now(),
            ..about.clone()
        };
        assert!(later.goes_on(&about));
        let shorter = About {
            switches: 1,
            ..later
        };
        assert!(!shorter.goes_on(&about));
    }
}
