//! The events of a trace, as the oracle sees them: live, replayed or imported, they are the same.

use arrayvec::ArrayVec;
use std::fmt;

/// Levels of the group hierarchy that are kept above the task's own entity.
pub const MAX_PARENTS: usize = 3;

/// A task's name: at most 15 bytes, not necessarily UTF-8, zero-padded.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// From any name; what is longer than 15 bytes is cut, as the kernel does.
    pub fn new(name: &str) -> Self {
        Self::cut(name.as_bytes())
    }

    /// From any bytes; what is longer than 15 is cut.
    pub fn cut(name: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let len = name.len().min(15);
        bytes[..len].copy_from_slice(&name[..len]);
        Self(bytes)
    }

    /// The bytes before the first zero.
    pub fn bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&b| b == 0).unwrap_or(16);
        &self.0[..len]
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.bytes()))
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}

/// A `sched_entity`, a task's or a group's, as its queue sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// ns, weighted; comparable only inside one `cfs_rq`.
    pub vruntime: u64,
    /// ns, in the units of `vruntime`; absent before 6.6.
    pub deadline: Option<u64>,
    /// ns; absent before 6.6.
    pub slice: Option<u32>,
    /// `load.weight` as the kernel scales it: 1024 << 10 for nice 0 on 64 bit.
    pub weight: u32,
    /// Which `cfs_rq` the entity is queued on: a small number given in order of first sight.
    pub cfs_rq: u32,
}

/// The fair scheduler's state of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fair {
    /// The task's own entity.
    pub own: Entity,
    /// ns that the task has run in its life.
    pub sum_exec_ns: u64,
    /// `vlag`, in the units of `vruntime`; absent before 6.6.
    pub vlag: Option<i64>,
    /// Sleeps but is still queued; absent before 6.12.
    pub delayed: Option<bool>,
    /// Levels above the task's own entity, also those beyond [`MAX_PARENTS`].
    pub depth: u8,
    /// The group entities above, upwards from the task.
    pub parents: ArrayVec<Entity, MAX_PARENTS>,
}

/// A task at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    pub pid: u32,
    /// Or [`Self::UNKNOWN_TGID`].
    pub tgid: u32,
    pub comm: Comm,
    /// Kernel priority: 0..=99 real time, 100..=139 fair, 140 idle task. Or [`Self::UNKNOWN_PRIO`].
    pub prio: u8,
    /// `SCHED_*`. Or [`Self::UNKNOWN_POLICY`].
    pub policy: u8,
    pub kthread: bool,
    /// `task_struct.on_rq` was not zero.
    pub on_rq: bool,
    /// For tasks of the fair class, where the source of the trace knows it.
    pub fair: Option<Fair>,
}

impl Task {
    /// The source of the trace does not say; else only the idle task has it.
    pub const UNKNOWN_TGID: u32 = 0;
    /// The source of the trace does not say.
    pub const UNKNOWN_PRIO: u8 = u8::MAX;
    /// The source of the trace does not say.
    pub const UNKNOWN_POLICY: u8 = u8::MAX;

    /// A task of which only pid and name are known.
    pub fn unknown(pid: u32, comm: Comm) -> Self {
        Self {
            pid,
            tgid: Self::UNKNOWN_TGID,
            comm,
            prio: Self::UNKNOWN_PRIO,
            policy: Self::UNKNOWN_POLICY,
            kthread: false,
            on_rq: false,
            fair: None,
        }
    }
}

/// `sched_switch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    pub prev: Task,
    pub next: Task,
    /// As the tracepoint gives it: 0 is runnable. Or [`Self::UNKNOWN_STATE`].
    pub prev_state: u32,
    pub preempt: bool,
    /// The daemon ran between prev and next and was left out.
    pub merged: bool,
    /// ns that the daemon held this CPU since the last switch that was recorded here.
    pub hidden_ns: u64,
}

impl Switch {
    /// The source of the trace does not say in which state the task left.
    pub const UNKNOWN_STATE: u32 = u32::MAX;
}

/// Which of the wake-up tracepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeKind {
    /// `sched_waking`: in the waker's context, before a CPU is chosen.
    Waking,
    /// `sched_wakeup`: the task is on a run queue.
    Wakeup,
    /// `sched_wakeup_new`: a new task is on a run queue for the first time.
    New,
}

/// A wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    pub kind: WakeKind,
    /// What ran on the producing CPU; 0 is its idle task (an interrupt woke the task).
    pub waker_pid: u32,
    /// The CPU whose run queue the task belongs to.
    pub target_cpu: u32,
    pub task: Task,
}

/// One task of the snapshot taken when recording began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub task: Task,
    /// `task_struct.__state`: 0 is runnable.
    pub state: u32,
    /// The CPU whose run queue the task belongs to.
    pub target_cpu: u32,
    /// It was running at that moment.
    pub on_cpu: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "events are passed by reference; a box would allocate for each"
)]
pub enum Body {
    Switch(Switch),
    Wake(Wake),
    Migrate {
        pid: u32,
        from_cpu: u32,
        to_cpu: u32,
    },
    Fork {
        pid: u32,
        tgid: u32,
        parent_pid: u32,
        comm: Comm,
    },
    Exec {
        pid: u32,
        tgid: u32,
        old_pid: u32,
        comm: Comm,
    },
    Exit {
        pid: u32,
        tgid: u32,
        comm: Comm,
    },
    Rename {
        pid: u32,
        tgid: u32,
        comm: Comm,
    },
    Snapshot(Snapshot),
    /// Events of this CPU were lost just before this point.
    Gap {
        lost: u64,
    },
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, ns.
    pub ts_ns: u64,
    /// Number of the event among those of its CPU; lost events have numbers too. A [`Body::Gap`]
    /// carries the number of the first event that is missing.
    pub seq: u64,
    /// The CPU that produced the event.
    pub cpu: u32,
    pub body: Body,
}
