//! The eBPF programs on trace points: loading, attaching, and which form of each the kernel took.

mod iterator;
mod object;
mod relocate;
mod told;

pub use iterator::{load_iterator, run_iterator};
pub use object::{object, object_with};
pub use told::{ProgramTime, recursion_misses, time_programs, times};

use super::{error::ProbeError, kernel::Kernel, offsets::HAND_OVER};
use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
};
use nix::errno::Errno;
use std::{io, thread};
use tracing::debug;

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

/// A trace point and its programs.
#[derive(Clone, Copy, Debug)]
struct Hooked {
    tracepoint: &'static str,
    /// There may be none.
    btf: Option<&'static str>,
    raw: &'static str,
}

const HOOKED: [Hooked; 10] = [
    Hooked {
        tracepoint: "sched_switch",
        btf: Some("btf_switch"),
        raw: "raw_switch",
    },
    Hooked {
        tracepoint: "sched_waking",
        btf: Some("btf_waking"),
        raw: "raw_waking",
    },
    Hooked {
        tracepoint: "sched_wakeup",
        btf: Some("btf_wakeup"),
        raw: "raw_wakeup",
    },
    Hooked {
        tracepoint: "sched_wakeup_new",
        btf: Some("btf_wakeup_new"),
        raw: "raw_wakeup_new",
    },
    Hooked {
        tracepoint: "sched_migrate_task",
        btf: Some("btf_migrate"),
        raw: "raw_migrate",
    },
    Hooked {
        tracepoint: "sched_process_fork",
        btf: Some("btf_fork"),
        raw: "raw_fork",
    },
    Hooked {
        tracepoint: "sched_process_exec",
        btf: Some("btf_exec"),
        raw: "raw_exec",
    },
    Hooked {
        tracepoint: "sched_process_exit",
        btf: Some("btf_exit"),
        raw: "raw_exit",
    },
    Hooked {
        tracepoint: "task_rename",
        btf: Some("btf_rename"),
        raw: "raw_rename",
    },
    Hooked {
        tracepoint: HAND_OVER,
        btf: None,
        raw: "raw_hand_over",
    },
];

/// Name of the program that counts by next task, and the trace point that it is on.
const COUNTING: (&str, &str) = ("count_next", "sched_switch");

/// How the programs know who wakes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wakers {
    /// Whoever runs where it is put on a queue: the machine can have but one CPU.
    Current,
    /// The same, but for wake-ups that another CPU has handed over: of these the program there tells.
    HandOver,
    /// A program on `sched_waking` tells of each.
    SchedWaking,
}

impl Wakers {
    fn of(kernel: &Kernel) -> Self {
        if kernel.possible_cpus == 1 {
            Self::Current
        } else if kernel.layout.hand_over {
            Self::HandOver
        } else {
            Self::SchedWaking
        }
    }

    /// Whether a trace point has a program.
    fn need(self, tracepoint: &str) -> bool {
        match tracepoint {
            "sched_waking" => self == Self::SchedWaking,
            HAND_OVER => self == Self::HandOver,
            _ => true,
        }
    }
}

/// A trace point, and the program that is on it.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    hooked: Hooked,
    hook: Hook,
}

/// Loads a program for each trace point that needs one: `tp_btf`, or `raw_tp` if there is none or the kernel refuses it.
pub fn load(ebpf: &mut Ebpf, kernel: &Kernel) -> Result<Vec<Loaded>, ProbeError> {
    let wakers = Wakers::of(kernel);
    HOOKED
        .into_iter()
        .filter(|hooked| wakers.need(hooked.tracepoint))
        .map(|hooked| {
            let hook = load_one(ebpf, &kernel.btf, hooked)?;
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
    if let Some(name) = btf_name {
        let refused = match program(ebpf, name)? {
            Program::BtfTracePoint(program) => program.load(tracepoint, btf),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        match refused {
            Ok(()) => return Ok(Hook::TpBtf),
            Err(error) => debug!(program = name, %error, "tp_btf refused, trying raw_tp"),
        }
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

/// Attaches what was loaded. Registering a probe waits for the kernel each time, so all at once but for the program where wake-ups are handed over:
/// the one that takes its words is there before it leaves any. Behind it no wake-up is on its way of which it has left none, for to switch a trace
/// point on, the kernel sends an interrupt to all CPUs and waits for each, more than once.
pub fn attach(ebpf: &mut Ebpf, loaded: &[Loaded]) -> Result<(), ProbeError> {
    let mut waiting = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        let known = loaded.iter().find(|loaded| match loaded.hook {
            Hook::TpBtf => loaded.hooked.btf == Some(name),
            Hook::RawTp => loaded.hooked.raw == name,
        });
        if let Some(loaded) = known {
            waiting.push((loaded.hooked, program));
        }
    }
    let (last, at_once): (Vec<_>, Vec<_>) = waiting
        .into_iter()
        .partition(|(hooked, _)| hooked.tracepoint == HAND_OVER);
    thread::scope(|scope| {
        let attaching: Vec<_> = at_once
            .into_iter()
            .map(|(hooked, program)| scope.spawn(move || attach_one(hooked, program)))
            .collect();
        attaching.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    last.into_iter()
        .try_for_each(|(hooked, program)| attach_one(hooked, program))
}

fn attach_one(hooked: Hooked, program: &mut Program) -> Result<(), ProbeError> {
    let Hooked {
        tracepoint,
        btf,
        raw,
    } = hooked;
    let (name, attached) = match program {
        Program::BtfTracePoint(program) => (btf, program.attach().map(|_| ())),
        Program::RawTracePoint(program) => (Some(raw), program.attach(tracepoint).map(|_| ())),
        _ => (None, Err(ProgramError::UnexpectedProgramType)),
    };
    attached.map_err(|error| ProbeError::Attach {
        program: name.unwrap_or(raw),
        tracepoint,
        source: errno(error),
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, ProbeError> {
    ebpf.program_mut(name).ok_or_else(|| ProbeError::Object {
        reason: format!("it has no program {name}"),
    })
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
    use crate::probe::capabilities;
    use kernoracle_common::field::{
        CfsRqRq, Field, GroupCfsRq, GroupParent, OwnCfsRq, OwnDepth, OwnParent, RqClock,
    };
    use told::told_of_each;

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
        let ebpf = object(&kernel, 64 * 1024, &[]).unwrap();
        Some((kernel, ebpf))
    }

    /// Until the first prediction most of the time is the verifier's, and its paths multiply unseen: `btf_switch` has come to 53,000
    /// instructions once, is 26,000 on 6.18, and had 8,000 as it was written.
    #[test]
    fn the_verifier_has_few_paths_to_walk() {
        let Some((mut kernel, _)) = loadable() else {
            return;
        };
        for hand_over in [kernel.layout.hand_over, false] {
            kernel.layout.hand_over = hand_over;
            let mut ebpf = object(&kernel, 64 * 1024, &[]).unwrap();
            let loaded = load(&mut ebpf, &kernel).unwrap();
            let walked = told_of_each(&ebpf, "verified_insns:").unwrap();
            assert_eq!(walked.len(), loaded.len());
            for (name, instructions) in walked {
                assert!(instructions < 40_000, "{name}: {instructions}");
            }
        }
    }

    #[test]
    fn who_wakes_is_asked_once() {
        let mut kernel = match Kernel::look() {
            Ok(kernel) => kernel,
            Err(error) => return println!("skipped: {error}"),
        };
        let hooked = |kernel: &Kernel| -> Vec<&str> {
            let wakers = Wakers::of(kernel);
            let names = HOOKED.iter().map(|hooked| hooked.tracepoint);
            names.filter(|name| wakers.need(name)).collect()
        };
        for (cpus, hand_over, expected) in [
            (1, true, None),
            (1, false, None),
            (2, true, Some(HAND_OVER)),
            (2, false, Some("sched_waking")),
        ] {
            kernel.possible_cpus = cpus;
            kernel.layout.hand_over = hand_over;
            let hooked = hooked(&kernel);
            let asked = ["sched_waking", HAND_OVER].map(|name| hooked.contains(&name));
            let wanted = ["sched_waking", HAND_OVER].map(|name| expected == Some(name));
            assert_eq!(asked, wanted, "{cpus} {hand_over}");
            assert_eq!(hooked.len(), 8 + usize::from(expected.is_some()));
        }
    }

    /// A kernel that takes `tp_btf` never loads the twins otherwise.
    #[test]
    fn raw_twins_load_and_attach_too() {
        let Some((kernel, mut ebpf)) = loadable() else {
            return;
        };
        let there = |hooked: &Hooked| hooked.tracepoint != HAND_OVER || kernel.layout.hand_over;
        let mut loaded = Vec::new();
        for hooked in HOOKED.into_iter().filter(there) {
            load_raw(&mut ebpf, hooked.raw).unwrap();
            loaded.push(Loaded {
                hooked,
                hook: Hook::RawTp,
            });
        }
        attach(&mut ebpf, &loaded).unwrap();
        assert!(describe(&loaded).starts_with("raw_tp sched_switch "));
    }

    /// Where a field is absent the verifier sees a zero in its place, from which nothing more may be read.
    #[test]
    fn kernels_that_lack_fields_take_the_programs_too() {
        let Some((mut kernel, mut ebpf)) = loadable() else {
            return;
        };
        let hooks = |ebpf: &mut Ebpf, kernel: &Kernel| -> Vec<Hook> {
            let loaded = load(ebpf, kernel).unwrap();
            loaded.iter().map(|loaded| loaded.hook).collect()
        };
        let all = hooks(&mut ebpf, &kernel);
        let offsets = kernel.layout.offsets;
        // CONFIG_FAIR_GROUP_SCHED is off; then one at a time, of those behind which others are read.
        let groups = [
            OwnDepth::NUMBER,
            OwnParent::NUMBER,
            OwnCfsRq::NUMBER,
            GroupParent::NUMBER,
            GroupCfsRq::NUMBER,
            CfsRqRq::NUMBER,
        ];
        for lacking in [
            &groups[..],
            &[OwnParent::NUMBER],
            &[OwnCfsRq::NUMBER],
            &[CfsRqRq::NUMBER],
            &[RqClock::NUMBER],
        ] {
            kernel.layout.offsets = offsets;
            for &number in lacking {
                kernel.layout.offsets[usize::from(number)] = None;
            }
            let mut ebpf = object(&kernel, 64 * 1024, &[]).unwrap();
            let hooks = hooks(&mut ebpf, &kernel);
            assert!(hooks == all, "without {lacking:?}: {hooks:?}");
        }
    }
}
