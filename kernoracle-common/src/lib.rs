//! The records that the eBPF programs write to the [`ring`] and the daemon reads from it.
//!
//! Everything is `repr(C)`, a multiple of eight bytes long and without implicit padding, so that a
//! record is copied out of the ring as it is. A record starts with a [`Header`], whose [`Kind`] says what
//! follows; how many entities a record ends with, its length says.
//!
//! What of a task seldom changes, its name among it, is its [`Card`], and goes through the ring when it has
//! changed: in an [`Introduction`], before the first record that needs it. Other records have the pid only.
#![no_std]

pub mod field;
pub mod ring;

/// Length of a task's name in the kernel (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;
/// Levels above a task's own entity that a shallow record has.
pub const SHALLOW: usize = 1;
/// Levels above a task's own entity that a deep record has.
pub const DEEP: usize = 3;
/// CPUs that `--cpu` can name and per-CPU counters are kept for.
pub const MAX_CPUS: usize = 1024;

/// What a record tells.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Switch = 1,
    Waking = 2,
    Wakeup = 3,
    WakeupNew = 4,
    Migrate = 5,
    Fork = 6,
    Exec = 7,
    Exit = 8,
    Rename = 9,
    Snapshot = 10,
    /// No event: the card of a task.
    Introduction = 11,
}

/// Bits of [`Header::flags`].
pub mod flags {
    /// There are [`super::DEEP`] entities above a task instead of [`super::SHALLOW`].
    pub const DEEP: u8 = 1 << 0;
    /// The task was preempted (the tracepoint's `preempt` argument).
    pub const PREEMPT: u8 = 1 << 1;
    /// The daemon ran between prev and next: its own switches were left out, and `hidden_ns` is the
    /// time that they took.
    pub const MERGED: u8 = 1 << 2;
    /// Of a [`super::Kind::Wakeup`]: it tells of the `sched_waking` before it too, which has no record of its own. Both
    /// were on this CPU, one right behind the other, or the first on a CPU that has handed the wake-up to this one.
    pub const WITH_WAKING: u8 = 1 << 3;
    /// Of a [`super::Kind::Switch`]: the entities above prev are those above next too, and there once.
    pub const SHARED: u8 = 1 << 4;
}

/// Bits of [`Card::flags`].
pub mod card_flags {
    /// Belongs to the fair class: what the scheduler knows of it is meaningful.
    pub const FAIR: u8 = 1 << 0;
    /// A kernel thread (`PF_KTHREAD`).
    pub const KTHREAD: u8 = 1 << 1;
}

/// Bits of [`Task::flags`].
pub mod task_flags {
    /// The record has the entities above it.
    pub const ABOVE: u8 = 1 << 0;
    /// `sched_entity.sched_delayed`: sleeps, but is still on the queue (6.12 and later).
    pub const DELAYED: u8 = 1 << 1;
    /// `task_struct.on_rq` is not zero.
    pub const ON_RQ: u8 = 1 << 2;
    /// `task_struct.on_cpu` is not zero (snapshot only).
    pub const ON_CPU: u8 = 1 << 3;
}

/// The start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// `CLOCK_MONOTONIC`, ns.
    pub ts_ns: u64,
    /// Events of this CPU that had found the ring full when this one was written, since the start; the low
    /// half.
    ///
    /// Not a sequence number: an interrupt between taking a number and reserving space would put its
    /// own record first and make the numbers jump without a loss. This sum only grows, whatever the
    /// order in which nested programs read it: the reader takes a rise over the greatest value so far
    /// as a loss, so nothing is taken for a gap that is none, and no loss is counted twice.
    pub lost: u32,
    /// The CPU that produced the record.
    pub cpu: u16,
    /// A [`Kind`].
    pub kind: u8,
    /// See [`flags`].
    pub flags: u8,
}

/// A `sched_entity`, a task's or a group's, as its queue sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Entity {
    /// ns, weighted; comparable only inside one `cfs_rq`.
    pub vruntime: u64,
    /// ns, in the units of `vruntime`; 0 where the kernel has none.
    pub deadline: u64,
    /// Identity of the `cfs_rq` that the entity is queued on (its kernel address).
    pub cfs_rq: u64,
    /// `load.weight`, scaled as the kernel scales it (1024 << 10 for nice 0 on 64 bit), saturated.
    pub weight: u32,
    /// ns, saturated; 0 where the kernel has none.
    pub slice: u32,
}

/// What of a task seldom changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Card {
    pub comm: [u8; COMM_LEN],
    pub pid: u32,
    pub tgid: u32,
    /// See [`Entity::weight`], of the task's own.
    pub weight: u32,
    /// See [`Entity::slice`], of the task's own.
    pub slice: u32,
    /// Kernel priority: 0..=99 real time, 100..=139 fair, 140 idle task.
    pub prio: u8,
    /// `SCHED_*`.
    pub policy: u8,
    /// Entities above the task's own, saturated.
    pub depth: u8,
    /// See [`card_flags`].
    pub flags: u8,
    /// The CPU of an idle task, each of which has pid 0; else 0.
    pub idle_cpu: u32,
}

const CARD_WORDS: usize = size_of::<Card>() / size_of::<u64>();

/// Odd, and otherwise arbitrary: the digits of the golden ratio and of square roots.
const FACTORS: [u64; CARD_WORDS] = [
    0x9e37_79b9_7f4a_7c15,
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
];

impl Card {
    /// What stands for a card where one word has to do. 64 bits: two cards of a place have the same once in 2^64.
    #[expect(
        clippy::inline_always,
        reason = "in a program, a call is a BPF function of its own, which gets the card through memory"
    )]
    #[inline(always)]
    pub fn digest(self) -> u64 {
        // SAFETY: a card has no padding, and the size of the words.
        let words: [u64; CARD_WORDS] = unsafe { core::mem::transmute(self) };
        let mut sum = 1_u64;
        let mut word = 0;
        while word < CARD_WORDS {
            let value = words[word];
            // A product with an odd factor moves bits up only.
            sum = sum.wrapping_add((value ^ value >> 32).wrapping_mul(FACTORS[word]));
            word += 1;
        }
        sum
    }
}

/// What a record has of its task's card: the upper byte of the [`Card::digest`].
pub const fn check(digest: u64) -> u8 {
    (digest >> 56) as u8
}

/// Tells a task's card, which holds for the records of that pid behind this one that have its [`check`]. Not an event: it has no
/// number, and what needs it is lost if there is no space for it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Introduction {
    pub header: Header,
    pub card: Card,
}

/// Places in the programs' memory of who has been introduced, a power of two. Tasks that share one are introduced again
/// whenever the other has been in between.
pub const PLACES: usize = 8192;

/// The place of a task, below `PLACES + MAX_CPUS`.
pub const fn place(pid: u32, idle_cpu: u32) -> usize {
    if pid == 0 {
        PLACES + idle_cpu as usize % MAX_CPUS
    } else {
        pid as usize % PLACES
    }
}

/// A task with what the scheduler knows of it, its [`Card`] left out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Task {
    pub pid: u32,
    /// The CPU whose run queue the task belongs to; of an idle task, its own.
    pub cpu: u16,
    /// See [`task_flags`].
    pub flags: u8,
    /// See [`check`]: tells this card from those that the task had before, or has now.
    pub check: u8,
    /// `se.sum_exec_runtime`, ns.
    pub sum_exec_ns: u64,
    /// `se.vlag`, in the units of `vruntime`; 0 where the kernel has none.
    pub vlag: i64,
    /// See [`Entity::vruntime`], of the task's own.
    pub vruntime: u64,
    /// See [`Entity::deadline`], of the task's own.
    pub deadline: u64,
    /// See [`Entity::cfs_rq`], of the task's own.
    pub cfs_rq: u64,
}

/// `sched_switch`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Switch<const ABOVE: usize> {
    pub header: Header,
    /// ns that the daemon held this CPU since the last record of a switch here.
    pub hidden_ns: u64,
    /// `prev_state` as the tracepoint gives it: 0 is runnable.
    pub prev_state: u32,
    pub reserved: u32,
    pub prev: Task,
    pub next: Task,
    /// Those above prev upwards, then those above next, of each if [`task_flags::ABOVE`] says so; with
    /// [`flags::SHARED`] those of both.
    pub above: [Entity; ABOVE],
}

/// `sched_waking`, `sched_wakeup`, `sched_wakeup_new`: the woken task and who woke it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Wake<const ABOVE: usize> {
    pub header: Header,
    /// The task that ran on the producing CPU, or on the one that handed the wake-up to it; 0 if the wake-up came from an interrupt
    /// handler over the idle task.
    pub waker_pid: u32,
    pub reserved: u32,
    pub task: Task,
    pub above: [Entity; ABOVE],
}

/// One task of the snapshot that is taken once recording is on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<const ABOVE: usize> {
    pub header: Header,
    /// `task_struct.__state`: 0 is runnable.
    pub state: u32,
    pub reserved: u32,
    pub task: Task,
    pub above: [Entity; ABOVE],
}

/// `sched_migrate_task`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Migrate {
    pub header: Header,
    pub pid: u32,
    pub from_cpu: u32,
    pub to_cpu: u32,
    pub reserved: u32,
}

/// `sched_process_fork`, `_exec`, `_exit` and `task_rename`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub header: Header,
    pub pid: u32,
    pub tgid: u32,
    /// The parent of a fork; the old pid of an exec; else 0.
    pub other_pid: u32,
    pub reserved: u32,
    /// The name from here on.
    pub comm: [u8; COMM_LEN],
}

/// Counters that each CPU keeps, whether or not its records reached the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events produced that are no switches: those in the ring and those dropped. A record is one, with
    /// [`flags::WITH_WAKING`] two, an [`Introduction`] none.
    pub others: u64,
    /// Events that found the ring full.
    pub dropped: u64,
    /// Switches produced. Apart from the others, for switches of a CPU do not nest: no atomic addition is needed.
    pub switches: u64,
    /// Of `dropped`, the switches.
    pub dropped_switches: u64,
    /// Switches from or to the daemon that were left out.
    pub own: u64,
    /// Records that could not be: of a CPU beyond [`MAX_CPUS`], or with a hierarchy that has no end.
    pub impossible: u64,
    /// Switches during a pause: neither produced nor dropped.
    pub skipped: u64,
}

impl Counters {
    /// Events produced: those in the ring and those dropped.
    pub const fn produced(&self) -> u64 {
        self.others + self.switches
    }
}

/// Indexes of [`PerCpu::checks`]. Each program has its own: one may interrupt another (a task that wakes itself does so with interrupts on),
/// but none itself.
pub mod slot {
    /// The task that leaves in a switch.
    pub const PREV: usize = 0;
    /// The task that enters in a switch.
    pub const NEXT: usize = 1;
    pub const WAKING: usize = 2;
    pub const WAKEUP: usize = 3;
    pub const WAKEUP_NEW: usize = 4;
    pub const SNAPSHOT: usize = 5;
}

/// How the clock of a CPU's run queue stands to `CLOCK_MONOTONIC`. Differences count modulo 2^64.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// By how much the run queue's is behind, ns.
    pub behind_ns: u64,
    /// When they were last compared, by the run queue's; 0: never.
    pub compared_ns: u64,
    /// The least difference of the last [`Self::comparisons`].
    pub least_ns: u64,
    /// The least difference of the lot before.
    pub least_before_ns: u64,
    pub comparisons: u64,
}

/// What each CPU keeps between records.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PerCpu {
    pub counters: Counters,
    /// ns that the daemon held the CPU since the last record of a switch.
    pub hidden_ns: u64,
    /// When the daemon came onto the CPU, `CLOCK_MONOTONIC` ns; 0 while another task runs.
    pub own_since_ns: u64,
    /// ns that the idle task has run, up to its last switch-out.
    pub idle_ns: u64,
    /// When the idle task came onto the CPU, `CLOCK_MONOTONIC` ns; 0 while another task runs.
    pub idle_since_ns: u64,
    pub clock: Clock,
    /// The [`check`]s of the cards of the record that is being written, by [`slot`].
    pub checks: [u8; 8],
    /// The task that is being woken, whose `sched_wakeup` tells of its `sched_waking` too; 0 if none.
    pub waking_pid: u32,
    /// Who wakes it.
    pub waker_pid: u32,
}

/// The task that the daemon displaced on a CPU, until the daemon leaves it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Displaced {
    /// Not zero if the rest is valid.
    pub present: u64,
    /// See [`Switch::prev_state`].
    pub prev_state: u64,
    /// [`flags::DEEP`] and [`flags::PREEMPT`] of the switch to the daemon.
    pub flags: u64,
    pub card: Card,
    pub task: Task,
    pub above: [Entity; DEEP],
}

/// What user space tells the programs while they run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// Nothing is recorded while this is zero.
    pub recording: u32,
    /// The daemon's thread group in the initial pid name space; 0 keeps the daemon's own switches.
    pub own_tgid: u32,
    /// Not zero: the task iterator only writes its caller's thread group to `own_tgid`.
    pub identify: u32,
    /// Not zero: switches are only counted, wake-ups and migrations left out. Forks, execs, exits and
    /// renames are recorded as ever, so that the reader still knows who lives.
    pub paused: u32,
    /// Not zero: the task iterator leaves out tasks that wait for nothing but a wake-up.
    pub only_queued: u32,
    pub reserved: u32,
}
