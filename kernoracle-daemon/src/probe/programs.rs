//! The eBPF programs: loading, attaching, and which form of each the kernel took.

use super::{
    error::ProbeError,
    offsets::{FIELDS, Layout},
};
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{Iter, Program, ProgramError},
    sys::{Stats, enable_stats},
};
use kernoracle_common::MAX_CPUS;
use nix::errno::Errno;
use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    thread,
    time::Duration,
};
use tracing::debug;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kernoracle.bpf.o"));

/// Name of the iterator program.
const ITERATOR: &str = "iter_task";

/// How a trace point is hooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    TpBtf,
    RawTp,
}

impl Hook {
    pub fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::RawTp => "raw_tp",
        }
    }
}

/// A trace point and its two programs.
#[derive(Clone, Copy, Debug)]
struct Hooked {
    tracepoint: &'static str,
    btf: &'static str,
    raw: &'static str,
}

const HOOKED: [Hooked; 9] = [
    Hooked {
        tracepoint: "sched_switch",
        btf: "btf_switch",
        raw: "raw_switch",
    },
    Hooked {
        tracepoint: "sched_waking",
        btf: "btf_waking",
        raw: "raw_waking",
    },
    Hooked {
        tracepoint: "sched_wakeup",
        btf: "btf_wakeup",
        raw: "raw_wakeup",
    },
    Hooked {
        tracepoint: "sched_wakeup_new",
        btf: "btf_wakeup_new",
        raw: "raw_wakeup_new",
    },
    Hooked {
        tracepoint: "sched_migrate_task",
        btf: "btf_migrate",
        raw: "raw_migrate",
    },
    Hooked {
        tracepoint: "sched_process_fork",
        btf: "btf_fork",
        raw: "raw_fork",
    },
    Hooked {
        tracepoint: "sched_process_exec",
        btf: "btf_exec",
        raw: "raw_exec",
    },
    Hooked {
        tracepoint: "sched_process_exit",
        btf: "btf_exit",
        raw: "raw_exit",
    },
    Hooked {
        tracepoint: "task_rename",
        btf: "btf_rename",
        raw: "raw_rename",
    },
];

/// Name of the program that counts by next task, and the trace point that it is on.
const COUNTING: (&str, &str) = ("count_next", "sched_switch");

/// Creates the maps and prepares the programs, for this kernel and this choice of CPUs.
pub fn object(
    layout: &Layout,
    btf: &Btf,
    ring_bytes: u32,
    cpus: &[u32],
) -> Result<Ebpf, ProbeError> {
    object_with(layout, btf, ring_bytes, cpus, None)
}

/// As [`object`], with room for so many names in the map of the counting program.
pub fn object_with(
    layout: &Layout,
    btf: &Btf,
    ring_bytes: u32,
    cpus: &[u32],
    names: Option<u32>,
) -> Result<Ebpf, ProbeError> {
    let mut mask = [0_u64; MAX_CPUS / 64];
    for &cpu in cpus {
        mask[cpu as usize / 64] |= 1 << (cpu % 64);
    }
    let all_cpus = u32::from(cpus.is_empty());
    let prev_state_arg = u32::from(layout.prev_state_arg);
    let level_shift = (ring_bytes / 8).ilog2();
    let one_cpu = u32::from(one_cpu());
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .map_max_entries("RECORDS", ring_bytes)
        .override_global("PREV_STATE_ARG", &prev_state_arg, true)
        .override_global("LEVEL_SHIFT", &level_shift, true)
        .override_global("ALL_CPUS", &all_cpus, true)
        .override_global("ONE_CPU", &one_cpu, true)
        .override_global("CPU_MASK", &mask, true);
    if let Some(names) = names {
        loader.map_max_entries("NEXT_COUNTS", names);
    }
    for (field, offset) in FIELDS.iter().zip(&layout.offsets) {
        loader.override_global(field.global, offset, true);
    }
    loader
        .load(OBJECT)
        .map_err(|error| object_error(error, ring_bytes))
}

fn object_error(error: EbpfError, ring_bytes: u32) -> ProbeError {
    match error {
        EbpfError::MapError(MapError::CreateError {
            name,
            io_error: source,
        }) => {
            if not_permitted(&source) {
                ProbeError::NotPermitted {
                    what: format!("creating the BPF map {name}"),
                }
            } else if name == "RECORDS" {
                ProbeError::RingTooLarge {
                    bytes: ring_bytes,
                    source,
                }
            } else {
                ProbeError::Map { map: name, source }
            }
        }
        EbpfError::MapError(MapError::SyscallError(error)) if not_permitted(&error.io_error) => {
            ProbeError::NotPermitted {
                what: error.call.to_owned(),
            }
        }
        other => ProbeError::Object {
            reason: one_line(&other),
        },
    }
}

/// The machine can have but one CPU.
fn one_cpu() -> bool {
    aya::util::nr_cpus().is_ok_and(|possible| possible == 1)
}

/// A trace point, and the program that is on it.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    hooked: Hooked,
    hook: Hook,
}

/// Loads a program for each trace point: `tp_btf`, or `raw_tp` if the kernel refuses that. On a machine with one CPU `sched_wakeup`'s
/// program tells of `sched_waking` too, which has none.
pub fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<Vec<Loaded>, ProbeError> {
    let one_cpu = one_cpu();
    HOOKED
        .into_iter()
        .filter(|hooked| !one_cpu || hooked.tracepoint != "sched_waking")
        .map(|hooked| {
            let hook = load_one(ebpf, btf, hooked)?;
            Ok(Loaded { hooked, hook })
        })
        .collect()
}

fn load_one(ebpf: &mut Ebpf, btf: &Btf, hooked: Hooked) -> Result<Hook, ProbeError> {
    let Hooked {
        tracepoint,
        btf: btf_name,
        raw,
    } = hooked;
    let refused = match program(ebpf, btf_name)? {
        Program::BtfTracePoint(program) => program.load(tracepoint, btf),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    match refused {
        Ok(()) => return Ok(Hook::TpBtf),
        Err(error) => debug!(program = btf_name, %error, "tp_btf refused, trying raw_tp"),
    }
    load_raw(ebpf, raw)?;
    Ok(Hook::RawTp)
}

fn load_raw(ebpf: &mut Ebpf, raw: &'static str) -> Result<(), ProbeError> {
    let loaded = match program(ebpf, raw)? {
        Program::RawTracePoint(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    loaded.map_err(|error| load_error(raw, error))
}

fn load_error(program: &'static str, error: ProgramError) -> ProbeError {
    debug!(program, %error, "refused");
    let source = errno(error);
    // Not EACCES: that is what the verifier answers to an access that it takes for unsafe.
    if source.raw_os_error() == Some(Errno::EPERM as i32) {
        return ProbeError::NotPermitted {
            what: format!("loading the program {program}"),
        };
    }
    ProbeError::Load { program, source }
}

/// Loads and attaches the program that counts by next task.
pub fn attach_counting(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProbeError> {
    let (name, tracepoint) = COUNTING;
    let Program::BtfTracePoint(program) = program(ebpf, name)? else {
        return Err(ProbeError::Object {
            reason: format!("{name} is no tp_btf program"),
        });
    };
    program
        .load(tracepoint, btf)
        .map_err(|error| load_error(name, error))?;
    program
        .attach()
        .map(|_| ())
        .map_err(|error| ProbeError::Attach {
            program: name,
            tracepoint,
            source: errno(error),
        })
}

/// Attaches what was loaded. Registering a probe waits for the kernel each time, so all at once.
pub fn attach(ebpf: &mut Ebpf, loaded: &[Loaded]) -> Result<(), ProbeError> {
    let mut waiting = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        let known = loaded.iter().find(|loaded| match loaded.hook {
            Hook::TpBtf => loaded.hooked.btf == name,
            Hook::RawTp => loaded.hooked.raw == name,
        });
        if let Some(loaded) = known {
            waiting.push((loaded.hooked, program));
        }
    }
    thread::scope(|scope| {
        let attaching: Vec<_> = waiting
            .into_iter()
            .map(|(hooked, program)| scope.spawn(move || attach_one(hooked, program)))
            .collect();
        attaching.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

fn attach_one(hooked: Hooked, program: &mut Program) -> Result<(), ProbeError> {
    let Hooked {
        tracepoint,
        btf,
        raw,
    } = hooked;
    let (name, attached) = match program {
        Program::BtfTracePoint(program) => (btf, program.attach().map(|_| ())),
        Program::RawTracePoint(program) => (raw, program.attach(tracepoint).map(|_| ())),
        _ => (btf, Err(ProgramError::UnexpectedProgramType)),
    };
    attached.map_err(|error| ProbeError::Attach {
        program: name,
        tracepoint,
        source: errno(error),
    })
}

/// Loads the task iterator; `None` with the reason if this kernel has none.
pub fn load_iterator(ebpf: &mut Ebpf, btf: &Btf) -> Result<Result<(), String>, ProbeError> {
    let iterator: &mut Iter = iterator(ebpf)?;
    Ok(iterator.load("task", btf).map_err(|error| {
        debug!(program = ITERATOR, %error, "refused");
        one_line(&errno(error))
    }))
}

/// Runs the loaded iterator over all tasks.
pub fn run_iterator(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    let read = |source: io::Error| ProbeError::Read {
        what: "the task iterator",
        source,
    };
    let iterator = iterator(ebpf)?;
    let link = iterator
        .attach()
        .and_then(|id| iterator.take_link(id))
        .map_err(|error| read(errno(error)))?;
    let mut file = link
        .into_file()
        .map_err(|error| read(io::Error::other(error)))?;
    // The program writes to the ring, nothing to the file: the read ends at once, when it has run.
    io::copy(&mut file, &mut io::sink()).map_err(read)?;
    Ok(())
}

fn iterator(ebpf: &mut Ebpf) -> Result<&mut Iter, ProbeError> {
    match program(ebpf, ITERATOR)? {
        Program::Iter(iterator) => Ok(iterator),
        _ => Err(ProbeError::Object {
            reason: format!("{ITERATOR} is no iterator"),
        }),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, ProbeError> {
    ebpf.program_mut(name).ok_or_else(|| ProbeError::Object {
        reason: format!("it has no program {name}"),
    })
}

/// Sum over the loaded programs of the times that the kernel skipped one, for it was already running on
/// that CPU.
pub fn recursion_misses(ebpf: &Ebpf) -> Result<u64, ProbeError> {
    // Not there before 5.12.
    let misses = told_of_each(ebpf, "recursion_misses:")?;
    Ok(misses.into_iter().map(|(_, misses)| misses).sum())
}

/// What the kernel says under a name of each loaded program; 0 where it does not.
fn told_of_each<'a>(ebpf: &'a Ebpf, name: &str) -> Result<Vec<(&'a str, u64)>, ProbeError> {
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

/// What was used for each trace point, in a line.
pub fn describe(loaded: &[Loaded]) -> String {
    let names = |wanted: Hook| -> Vec<&str> {
        let used = loaded.iter().filter(|loaded| loaded.hook == wanted);
        used.map(|loaded| loaded.hooked.tracepoint).collect()
    };
    [Hook::TpBtf, Hook::RawTp]
        .into_iter()
        .map(|hook| (hook.name(), names(hook)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(hook, names)| format!("{hook} {}", names.join(" ")))
        .collect::<Vec<_>>()
        .join("; ")
}

fn errno(error: ProgramError) -> io::Error {
    match error {
        ProgramError::LoadError { io_error, .. } => io_error,
        ProgramError::SyscallError(error) => error.io_error,
        other => io::Error::other(other),
    }
}

pub fn not_permitted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// An error and its causes; verifier logs have many lines, the first says enough here.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        let first = cause_text.lines().next().unwrap_or_default();
        if !text.contains(first) {
            text = format!("{text}: {first}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{capabilities, kernel::Kernel};

    /// `None` where the kernel or the user cannot load programs, which is said.
    fn loadable() -> Option<(Kernel, Ebpf)> {
        let missing = capabilities()
            .into_iter()
            .find(|check| check.required && !check.ok);
        if let Some(check) = missing {
            println!("skipped: {}: {}", check.name, check.detail);
            return None;
        }
        let kernel = Kernel::look().unwrap();
        let ebpf = object(&kernel.layout, &kernel.btf, 64 * 1024, &[]).unwrap();
        Some((kernel, ebpf))
    }

    /// Until the first prediction most of the time is the verifier's, and its paths multiply unseen: `btf_switch` has come to 53,000
    /// instructions once, is 28,000 on 6.18, and had 8,000 as it was written.
    #[test]
    fn the_verifier_has_few_paths_to_walk() {
        let Some((kernel, mut ebpf)) = loadable() else {
            return;
        };
        load(&mut ebpf, &kernel.btf).unwrap();
        let walked = told_of_each(&ebpf, "verified_insns:").unwrap();
        assert_eq!(walked.len(), HOOKED.len() - usize::from(one_cpu()));
        for (name, instructions) in walked {
            assert!(instructions < 40_000, "{name}: {instructions}");
        }
    }

    /// A kernel that takes `tp_btf` never loads the twins otherwise.
    #[test]
    fn raw_twins_load_and_attach_too() {
        let Some((_, mut ebpf)) = loadable() else {
            return;
        };
        for hooked in HOOKED {
            load_raw(&mut ebpf, hooked.raw).unwrap();
        }
        let loaded = HOOKED.map(|hooked| Loaded {
            hooked,
            hook: Hook::RawTp,
        });
        attach(&mut ebpf, &loaded).unwrap();
        assert!(describe(&loaded).starts_with("raw_tp sched_switch "));
    }
}
