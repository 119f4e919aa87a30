//! What the kernel tells of loaded programs: times, skipped calls, the verifier's work.

use crate::probe::error::ProbeError;
use aya::{
    Ebpf,
    sys::{Stats, enable_stats},
};
use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

/// Sum over the loaded programs of the times that the kernel skipped one, for it was already running on
/// that CPU.
pub fn recursion_misses(ebpf: &Ebpf) -> Result<u64, ProbeError> {
    // Not there before 5.12.
    let misses = told_of_each(ebpf, "recursion_misses:")?;
    Ok(misses.into_iter().map(|(_, misses)| misses).sum())
}

/// What the kernel says under a name of each loaded program; 0 where it does not.
pub(super) fn told_of_each<'a>(
    ebpf: &'a Ebpf,
    name: &str,
) -> Result<Vec<(&'a str, u64)>, ProbeError> {
    let mut told = Vec::new();
    for (program_name, program) in ebpf.programs() {
        let Ok(fd) = program.fd() else { continue };
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        let info = fs::read_to_string(path).map_err(|source| ProbeError::Read {
            what: "a program's counters",
            source,
        })?;
        let number = info.lines().find_map(|line| line.strip_prefix(name));
        let number = number.and_then(|number| number.trim().parse().ok());
        told.push((program_name, number.unwrap_or(0)));
    }
    Ok(told)
}

/// The kernel times every BPF program of the machine while what this gives is open (Linux 5.8 or later). That costs each call a little.
pub fn time_programs() -> Result<OwnedFd, ProbeError> {
    enable_stats(Stats::RunTime).map_err(|error| ProbeError::Read {
        what: "program times (BPF_ENABLE_STATS)",
        source: error.io_error,
    })
}

/// What a program has taken while the kernel timed programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramTime {
    pub name: String,
    pub calls: u64,
    /// In all of them.
    pub time: Duration,
}

/// Of the loaded programs that were called while the kernel timed them.
pub fn times(ebpf: &Ebpf) -> Result<Vec<ProgramTime>, ProbeError> {
    let mut times = Vec::new();
    for (name, program) in ebpf.programs() {
        if program.fd().is_err() {
            continue;
        }
        let info = program.info().map_err(|source| ProbeError::Read {
            what: "a program's times",
            source: io::Error::other(source),
        })?;
        if info.run_count() > 0 {
            times.push(ProgramTime {
                name: name.to_owned(),
                calls: info.run_count(),
                time: info.run_time(),
            });
        }
    }
    times.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(times)
}
