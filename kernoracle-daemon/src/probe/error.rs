//! Why the kernel cannot be traced, each in one line that says what to do.

use std::io;

/// Why the kernel cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(
        "{what}: not permitted: run as root, or with CAP_BPF and CAP_PERFMON (`kernoracle doctor` tells more)"
    )]
    NotPermitted { what: String },
    #[error("{path}: {source}: the kernel must be built with CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf {
        path: &'static str,
        source: io::Error,
    },
    #[error("{path}: {reason}: not the BTF of a kernel")]
    BadBtf { path: &'static str, reason: String },
    #[error("this kernel has no {field}, which is needed; kernels from 5.14 on are supported")]
    MissingField { field: &'static str },
    #[error("this kernel's {field} has {found} bytes instead of {expected}: not supported")]
    FieldSize {
        field: &'static str,
        found: usize,
        expected: usize,
    },
    #[error(
        "this kernel's {field} is {at} bytes into its structure, further than an instruction can say: not supported"
    )]
    FieldFar { field: &'static str, at: u32 },
    #[error("this kernel has no trace point {name}: it must be built with CONFIG_TRACEPOINTS=y")]
    NoTracepoint { name: &'static str },
    #[error(
        "ring size {bytes}: not a power of two of at least {least} bytes: try --ring-size {suggestion}"
    )]
    RingSize {
        bytes: u32,
        least: u32,
        suggestion: u32,
    },
    #[error(
        "the kernel refuses a ring of {bytes} bytes ({source}): use a smaller --ring-size or free memory"
    )]
    RingTooLarge { bytes: u32, source: io::Error },
    #[error(
        "a ring of {bytes} bytes does not fit into the {available} bytes of memory that are available: use a smaller --ring-size or free memory"
    )]
    RingBeyondMemory { bytes: u32, available: u64 },
    #[error("--cpu {cpu}: this machine has CPUs 0 to {last}")]
    NoCpu { cpu: u32, last: u32 },
    #[error("the kernel refuses the program {program} ({source}): RUST_LOG=debug shows why")]
    Load {
        program: &'static str,
        source: io::Error,
    },
    #[error("cannot attach {program} to {tracepoint}: {source}")]
    Attach {
        program: &'static str,
        tracepoint: &'static str,
        source: io::Error,
    },
    #[error("the kernel refuses the BPF map {map}: {source}")]
    Map { map: String, source: io::Error },
    #[error("the embedded BPF object is damaged ({reason}): build again")]
    Object { reason: String },
    #[error("cannot read {what}: {source}")]
    Read {
        what: &'static str,
        source: io::Error,
    },
    #[error("cannot wait for the ring: {source}")]
    Wait { source: io::Error },
}
