//! What is remembered of one task.

use super::codes::{CODE, Codes, role};
use super::{RunHistory, Usual, Wakees};
use crate::trace::event::{Comm, Entity, Fair};

/// Names a task for as long as it lives: slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sym(u32);

const SLOT_BITS: u32 = 20;

impl Sym {
    pub(super) fn first(slot: usize) -> Self {
        // pid_max is at most 2^22, but a million live tasks at once is beyond what one window serves.
        assert!(slot < 1 << SLOT_BITS, "more than 2^20 tasks alive at once");
        Self(slot as u32)
    }

    pub(super) fn next_generation(self) -> Self {
        Self(self.0.wrapping_add(1 << SLOT_BITS))
    }

    #[cfg(test)]
    pub(crate) fn for_test(slot: usize) -> Self {
        Self::first(slot)
    }

    /// Index into the table of tasks.
    pub fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    /// From what [`Self::raw`] gave.
    pub fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// 64 bits that sums over sets of tasks are made of.
    pub fn hash(self) -> u64 {
        mix(u64::from(self.0).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// 16 bits that tell a few tasks apart.
    pub(super) fn short(self) -> u64 {
        mix(u64::from(self.0).wrapping_add(0x51ed_270b)) & 0xffff
    }

    /// As a number, unique while the task lives.
    pub fn raw(self) -> u32 {
        self.0
    }
}

/// Whether a task waits for a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// No event has told, or events were lost.
    #[default]
    Unknown,
    Running,
    Runnable,
    Sleeping,
}

/// One task.
///
/// In this order in memory: what is asked of every task that may come next stands in front, in four cache lines, and right behind them its
/// state in the fair class; of hundreds that switch in turn no more than these have to be near the core. What its own events change stands behind.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct TaskInfo {
    pub sym: Sym,
    pub pid: u32,
    pub tgid: u32,
    pub cpu: u32,
    pub status: Status,
    pub prio: u8,
    pub policy: u8,
    pub kthread: bool,
    /// It sleeps uninterruptibly: a device or a lock will wake it, not a timer or a message.
    pub deep_sleep: bool,
    pub last_left_runnable: bool,
    pub(super) exiting: bool,
    pub(super) forks_now: u8,
    /// Since when it has been runnable or asleep, ns.
    pub since_ns: u64,
    /// How long it usually sleeps.
    pub sleeps: Usual,
    /// A number for its normalised name, the same for all tasks of that role.
    pub role: u32,
    /// Share of the last switch-outs at which it slept; a decaying mean.
    pub voluntary: f32,
    pub woken_ns: Option<u64>,
    pub left_ns: Option<u64>,
    pub waker: Option<Sym>,
    pub switches: u64,
    /// How long it usually runs.
    pub runs: Usual,
    /// And from one wake-up to the next.
    pub periods: Usual,
    /// What stands for the task in the model's input: its normalised name and its instance, never its pid.
    pub code: [f32; CODE],
    /// The scheduler's state when an event last told it.
    pub fair: Option<Fair>,
    /// As what it stands in the queue of its `cfs_rq`, if it does.
    pub(super) queued: Option<Entity>,
    pub(super) queue_index: Option<u32>,
    pub name: Comm,
    /// When the state below was last seen, ns.
    pub seen_ns: u64,
    pub entered_ns: Option<u64>,
    /// Whom it wakes.
    pub wakees: Wakees,
    /// Who forked it, and when, ns.
    pub born: Option<(Sym, u64)>,
    /// Tasks that it forks in a run; a decaying mean.
    pub forks: f32,
    /// Who followed it in its last four runs, 16 bits each, the last one lowest.
    pub followed: u64,
    /// Whom it woke last, likewise.
    pub woke: u64,
    /// Its last eight runs, 8 bits each, the last one lowest: `log2` of the length in ns (5 bits), and whether it stayed runnable, slept
    /// uninterruptibly, and woke somebody.
    pub ran: u64,
    pub last_runs: RunHistory,
    pub(super) last_sleeps: RunHistory,
    pub(super) last_periods: RunHistory,
}

const _: () = assert!(std::mem::offset_of!(TaskInfo, fair) <= 4 * 64);

impl TaskInfo {
    /// Its state in the fair class, if it is in that.
    pub(super) fn in_fair_class(&self) -> Option<&Fair> {
        self.fair.as_ref().filter(|_| self.prio >= 100)
    }

    pub(super) fn new(sym: Sym, pid: u32) -> Self {
        Self {
            sym,
            pid,
            tgid: 0,
            name: Comm::default(),
            prio: 120,
            policy: 0,
            kthread: false,
            status: Status::Unknown,
            cpu: 0,
            fair: None,
            seen_ns: 0,
            since_ns: 0,
            woken_ns: None,
            entered_ns: None,
            left_ns: None,
            last_left_runnable: false,
            waker: None,
            deep_sleep: false,
            runs: Usual::default(),
            sleeps: Usual::default(),
            periods: Usual::default(),
            last_runs: RunHistory::default(),
            last_sleeps: RunHistory::default(),
            last_periods: RunHistory::default(),
            wakees: Wakees::default(),
            born: None,
            forks: 0.0,
            followed: 0,
            woke: 0,
            ran: 0,
            role: 0,
            forks_now: 0,
            voluntary: 0.5,
            switches: 0,
            code: [0.0; CODE],
            exiting: false,
            queue_index: None,
            queued: None,
        }
    }

    /// What it did before `now_ns` is not known; what it is, and where it stands, is.
    pub(super) fn forget_habits(&mut self, now_ns: u64) {
        let fresh = Self::new(self.sym, self.pid);
        let since_ns = if self.status == Status::Sleeping {
            now_ns
        } else {
            self.since_ns
        };
        *self = Self {
            tgid: self.tgid,
            name: self.name,
            prio: self.prio,
            policy: self.policy,
            kthread: self.kthread,
            status: self.status,
            cpu: self.cpu,
            fair: self.fair.take(),
            seen_ns: self.seen_ns,
            since_ns,
            role: self.role,
            code: self.code,
            exiting: self.exiting,
            queue_index: self.queue_index,
            queued: self.queued.take(),
            ..fresh
        };
    }

    /// Draws the code again: the name is new, or the way to draw codes.
    pub(super) fn renamed(&mut self, codes: &Codes) {
        self.role = role(self.name);
        self.code = codes.code(self.sym, self.name);
    }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
