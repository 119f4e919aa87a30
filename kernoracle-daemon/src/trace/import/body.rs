//! The scheduler's events as text: the kernel's own (`prev_comm=…`) and that of libtraceevent's plugin
//! (`comm:pid [prio] S ==> …`).

use super::{
    head::{self, rsplit, split, word_after},
    lines::Wrong,
};
use crate::trace::event::{Comm, WakeKind};

/// Who is named, and with which priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub pid: u32,
    pub comm: Comm,
    pub prio: u8,
}

/// An event's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Switch {
        prev: Who,
        state: u32,
        preempt: bool,
        next: Who,
    },
    Wake {
        kind: WakeKind,
        who: Who,
        target_cpu: u32,
    },
    Migrate {
        pid: u32,
        from_cpu: u32,
        to_cpu: u32,
    },
    Fork {
        pid: u32,
        parent_pid: u32,
        comm: Comm,
    },
    Exec {
        pid: u32,
        old_pid: u32,
        comm: Comm,
    },
    Exit {
        pid: u32,
        comm: Comm,
    },
    Rename {
        pid: u32,
        comm: Comm,
    },
}

/// `EVENT: fields`, or `system:EVENT: fields`. `None` for an event that is of no use here.
pub fn parse(text: &[u8]) -> Result<Option<Parsed>, Wrong> {
    let (name, fields) = head::word(text);
    let Some(name) = name.strip_suffix(b":") else {
        return Err(Wrong::Foreign);
    };
    let name = name.rsplit(|&byte| byte == b':').next().unwrap_or(name);
    let fields = fields.trim_ascii();
    let (parsed, why) = match name {
        b"sched_switch" => (switch(fields), Wrong::Switch),
        b"sched_waking" => (wake(fields, WakeKind::Waking), Wrong::Wake),
        b"sched_wakeup" => (wake(fields, WakeKind::Wakeup), Wrong::Wake),
        b"sched_wakeup_new" => (wake(fields, WakeKind::New), Wrong::Wake),
        b"sched_migrate_task" => (migrate(fields), Wrong::Migrate),
        b"sched_process_fork" => (fork(fields), Wrong::Fork),
        b"sched_process_exec" => (exec(fields), Wrong::Exec),
        b"sched_process_exit" => (exit(fields), Wrong::Exit),
        b"task_rename" => (rename(fields), Wrong::Rename),
        _ => return Ok(None),
    };
    parsed.map(Some).ok_or(why)
}

fn switch(fields: &[u8]) -> Option<Parsed> {
    let keyed = || {
        // A name may hold the arrow; the right one is where both sides are whole.
        arrows(fields, b" ==> next_comm=").find_map(|(prev, next)| {
            let (prev, state) = rsplit(prev, b" prev_state=")?;
            let prev = keyed_who(prev, b"prev_comm=", b" prev_pid=", b" prev_prio=")?;
            let next = keyed_who(next, b"", b" next_pid=", b" next_prio=")?;
            let (state, preempt) = state_of(state, KERNEL)?;
            Some((prev, state, preempt, next))
        })
    };
    let short = || {
        arrows(fields, b" ==> ").find_map(|(prev, next)| {
            let (prev, state) = rsplit(prev, b" ")?;
            let (state, preempt) = state_of(state, PLUGIN)?;
            Some((short_who(prev)?, state, preempt, short_who(next)?))
        })
    };
    let (prev, state, preempt, next) = keyed().or_else(short)?;
    Some(Parsed::Switch {
        prev,
        state,
        preempt,
        next,
    })
}

/// All ways to cut at `arrow`.
fn arrows<'a>(text: &'a [u8], arrow: &'static [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let at = text.windows(arrow.len()).enumerate();
    at.filter(move |&(_, window)| window == arrow)
        .map(move |(at, _)| (&text[..at], &text[at + arrow.len()..]))
}

fn wake(fields: &[u8], kind: WakeKind) -> Option<Parsed> {
    let (who, cpu) = if let Some((who, cpu)) = rsplit(fields, b" target_cpu=") {
        // `success=1` stood between them before 4.3.
        let (before, prio) = rsplit(who, b" prio=")?;
        let prio = head::prio(head::word(prio).0)?;
        let (comm, pid) = rsplit(before, b" pid=")?;
        let comm = comm_of(comm.strip_prefix(b"comm=")?)?;
        let pid = head::pid(pid)?;
        (Who { pid, comm, prio }, cpu)
    } else {
        let (who, cpu) = rsplit(fields, b" CPU:")?;
        let who = rsplit(who, b" success=").map_or(who, |(who, _)| who);
        (short_who(who)?, cpu)
    };
    Some(Parsed::Wake {
        kind,
        who,
        target_cpu: head::cpu(cpu)?,
    })
}

fn migrate(fields: &[u8]) -> Option<Parsed> {
    Some(Parsed::Migrate {
        pid: head::pid(word_after(fields, b" pid=")?)?,
        from_cpu: head::cpu(word_after(fields, b" orig_cpu=")?)?,
        to_cpu: head::cpu(word_after(fields, b" dest_cpu=")?)?,
    })
}

fn fork(fields: &[u8]) -> Option<Parsed> {
    let (parent, child) = rsplit(fields, b" child_comm=")?;
    let (comm, pid) = rsplit(child, b" child_pid=")?;
    let parent_pid =
        word_after(parent, b" pid=").or_else(|| word_after(parent, b" parent_pid="))?;
    Some(Parsed::Fork {
        pid: head::pid(pid)?,
        parent_pid: head::pid(parent_pid)?,
        comm: comm_of(comm)?,
    })
}

fn exec(fields: &[u8]) -> Option<Parsed> {
    let (rest, old_pid) = rsplit(fields, b" old_pid=")?;
    let (file, pid) = rsplit(rest, b" pid=")?;
    let file = file.strip_prefix(b"filename=")?;
    // `begin_new_exec` takes the last part of the path for the name.
    let name = file.rsplit(|&byte| byte == b'/').next().unwrap_or(file);
    Some(Parsed::Exec {
        pid: head::pid(pid)?,
        old_pid: head::pid(old_pid)?,
        comm: Comm::cut(name),
    })
}

fn exit(fields: &[u8]) -> Option<Parsed> {
    let (rest, _prio) = rsplit(fields, b" prio=")?;
    let (comm, pid) = rsplit(rest, b" pid=")?;
    Some(Parsed::Exit {
        pid: head::pid(pid)?,
        comm: comm_of(comm.strip_prefix(b"comm=")?)?,
    })
}

fn rename(fields: &[u8]) -> Option<Parsed> {
    let (before, rest) = split(fields, b" newcomm=")?;
    let comm = rsplit(rest, b" oom_score_adj=").map_or(rest, |(comm, _)| comm);
    let pid = before.strip_prefix(b"pid=")?;
    Some(Parsed::Rename {
        pid: head::pid(head::word(pid).0)?,
        comm: comm_of(comm)?,
    })
}

/// `COMMKEY… PIDKEY… PRIOKEY…`
fn keyed_who(text: &[u8], comm_key: &[u8], pid_key: &[u8], prio_key: &[u8]) -> Option<Who> {
    let text = text.strip_prefix(comm_key)?;
    let (text, prio) = rsplit(text, prio_key)?;
    let (comm, pid) = rsplit(text, pid_key)?;
    Some(Who {
        pid: head::pid(pid)?,
        comm: comm_of(comm)?,
        prio: head::prio(prio)?,
    })
}

/// `comm:pid [prio]`
fn short_who(text: &[u8]) -> Option<Who> {
    let (text, prio) = rsplit(text.strip_suffix(b"]")?, b" [")?;
    let (comm, pid) = rsplit(text, b":")?;
    Some(Who {
        pid: head::pid(pid)?,
        comm: comm_of(comm)?,
        prio: head::prio(prio)?,
    })
}

/// A name as the kernel gives it: at most 15 bytes.
fn comm_of(bytes: &[u8]) -> Option<Comm> {
    (bytes.len() <= 15).then(|| Comm::cut(bytes))
}

/// Letters of states and their bits. `TASK_IDLE` is uninterruptible and no load.
type Letters = &'static [(u8, u32)];

/// `TP_printk` of sched_switch (include/trace/events/sched.h); the last five are those of kernels before 4.14.
const KERNEL: Letters = &[
    (b'S', 1),
    (b'D', 2),
    (b'T', 4),
    (b't', 8),
    (b'X', 0x10),
    (b'Z', 0x20),
    (b'P', 0x40),
    (b'I', 0x402),
    (b'x', 0x80),
    (b'K', 0x100),
    (b'W', 0x200),
    (b'N', 0x400),
    (b'n', 0x800),
];

/// The plugin names the same bits by older letters: dead and zombie were the other way round.
const PLUGIN: Letters = &[
    (b'S', 1),
    (b'D', 2),
    (b'T', 4),
    (b't', 8),
    (b'Z', 0x10),
    (b'X', 0x20),
    (b'x', 0x40),
    (b'W', 0x402),
];

/// `R`, `R+`, `S`, `D|K`: the state, and whether the task was preempted.
fn state_of(text: &[u8], letters: Letters) -> Option<(u32, bool)> {
    let text = text.trim_ascii();
    let (text, preempt) = match text.strip_suffix(b"+") {
        Some(text) => (text, true),
        None => (text, false),
    };
    if text == b"R" {
        return Some((0, preempt));
    }
    let bits = text
        .split(|&byte| byte == b'|')
        .try_fold(0, |state, part| {
            let &[letter] = part else { return None };
            let &(_, bits) = letters.iter().find(|&&(known, _)| known == letter)?;
            Some(state | bits)
        })?;
    Some((bits, preempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(pid: u32, comm: &str, prio: u8) -> Who {
        Who {
            pid,
            comm: Comm::new(comm),
            prio,
        }
    }

    fn parsed(text: &str) -> Parsed {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_switch_in_both_spellings() {
        let expected = Parsed::Switch {
            prev: who(35, "kworker/1:1-ev", 120),
            state: 0x402,
            preempt: false,
            next: who(0, "swapper/1", 120),
        };
        assert_eq!(
            parsed(
                "sched:sched_switch: prev_comm=kworker/1:1-ev prev_pid=35 prev_prio=120 prev_state=I ==> next_comm=swapper/1 next_pid=0 next_prio=120"
            ),
            expected
        );
        assert_eq!(
            parsed("sched_switch:         kworker/1:1-ev:35 [120] W ==> swapper/1:0 [120]"),
            expected
        );
    }

    #[test]
    fn names_may_hold_anything() {
        for name in [
            "a ==> b",
            "x prev_pid=3",
            "a [1] S ==> b",
            ":1 [2]",
            "",
            "[LOST 3 EVENTS]",
        ] {
            let expected = Parsed::Switch {
                prev: who(7, name, 0),
                state: 0,
                preempt: true,
                next: who(8, name, 139),
            };
            assert_eq!(
                parsed(&format!(
                    "sched_switch: prev_comm={name} prev_pid=7 prev_prio=-1 prev_state=R+ ==> next_comm={name} next_pid=8 next_prio=139"
                )),
                expected
            );
            assert_eq!(
                parsed(&format!(
                    "sched_switch: {name}:7 [-1] R+ ==> {name}:8 [139]"
                )),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn the_other_events() {
        let waking = |text| match parsed(text) {
            Parsed::Wake {
                kind,
                who,
                target_cpu,
            } => (kind, who, target_cpu),
            other => panic!("{other:?}"),
        };
        let bash = who(16678, "ba sh", 120);
        assert_eq!(
            waking("sched:sched_waking: comm=ba sh pid=16678 prio=120 target_cpu=001"),
            (WakeKind::Waking, bash, 1)
        );
        assert_eq!(
            waking("sched_wakeup: comm=ba sh pid=16678 prio=120 success=1 target_cpu=001"),
            (WakeKind::Wakeup, bash, 1)
        );
        assert_eq!(
            waking("sched_wakeup_new:     ba sh:16678 [120] CPU:000"),
            (WakeKind::New, bash, 0)
        );
        assert_eq!(
            parsed("sched_migrate_task: comm=perf pid=30681 prio=120 orig_cpu=0 dest_cpu=1"),
            Parsed::Migrate {
                pid: 30681,
                from_cpu: 0,
                to_cpu: 1
            }
        );
        assert_eq!(
            parsed("sched_process_fork: comm=bash pid=1 child_comm=bash child_pid=2"),
            Parsed::Fork {
                pid: 2,
                parent_pid: 1,
                comm: Comm::new("bash")
            }
        );
        assert_eq!(
            parsed("sched_process_exec: filename=/usr/bin/a-very-long-program pid=2 old_pid=2"),
            Parsed::Exec {
                pid: 2,
                old_pid: 2,
                comm: Comm::new("a-very-long-pro")
            }
        );
        assert_eq!(
            parsed("sched_process_exit: comm=bash pid=2 prio=120 group_dead=true"),
            Parsed::Exit {
                pid: 2,
                comm: Comm::new("bash")
            }
        );
        assert_eq!(
            parsed("task:task_rename: pid=2 oldcomm=a newcomm=b oom_score_adj=0"),
            Parsed::Rename {
                pid: 2,
                comm: Comm::new("b")
            }
        );
        assert_eq!(parse(b"irq:irq_handler_entry: irq=1"), Ok(None));
    }

    #[test]
    fn half_an_event_is_wrong() {
        assert_eq!(
            parse(b"sched_switch: prev_comm=a prev_pid=1"),
            Err(Wrong::Switch)
        );
        assert_eq!(
            parse(b"sched_switch: prev_comm=a prev_pid=9999999 prev_prio=1 prev_state=S ==> next_comm=b next_pid=1 next_prio=1"),
            Err(Wrong::Switch)
        );
        assert_eq!(
            parse(b"sched_wakeup: comm=a pid=1 prio=1 target_cpu=9999"),
            Err(Wrong::Wake)
        );
    }
}
