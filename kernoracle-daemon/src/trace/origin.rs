//! Where a trace comes from: what the header of a trace file says, and what `run` finds at start.

use serde::{Deserialize, Serialize};

/// Which fair scheduler the kernel has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// 6.6 and later: earliest eligible virtual deadline first.
    Eevdf,
    /// Up to 6.5: least virtual run time.
    Cfs,
    /// Not said by the source.
    #[default]
    Unknown,
}

/// Kernel, scheduler and machine of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    pub scheduler: Scheduler,
    /// CPUs that the machine has.
    pub cpus: u32,
    /// CPUs that were recorded; empty for all.
    pub recorded_cpus: Vec<u32>,
    /// The clock of the time stamps.
    pub clock: String,
    /// Scheduler fields that this kernel lacks, by name.
    pub absent_fields: Vec<String>,
    /// The command that was recorded, or the one that recorded.
    pub command: String,
    /// Wall clock at the start, ns since 1970.
    pub started_unix_ns: u64,
    /// The daemon's own switches are in the trace.
    pub includes_self: bool,
    /// Version of the program that wrote the trace.
    pub recorder: String,
}
