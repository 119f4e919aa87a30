//! What both directions know from the events of the block so far, and expect the next ones by.

use super::fair::virtual_ns;
use crate::trace::event::{Entity, Fair, MAX_PARENTS, Task};
use foldhash::HashMap;

/// Entities of a task: its own and those above it.
pub const LEVELS: usize = MAX_PARENTS + 1;

/// What of a task seldom changes, and the shape of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Card {
    pub pid: u32,
    pub tgid: u32,
    pub comm: [u8; 16],
    pub prio: u8,
    pub policy: u8,
    pub depth: u8,
    pub layout: Layout,
}

/// Which fields a task has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout(pub u16);

impl Layout {
    pub const KTHREAD: u16 = 1 << 0;
    pub const FAIR: u16 = 1 << 1;
    const PARENTS_SHIFT: u32 = 2;
    pub const DELAYED: u16 = 1 << 4;
    const DEADLINE_SHIFT: u32 = 5;
    const SLICE_SHIFT: u32 = 9;
    const ALL: u16 = (1 << 13) - 1;

    /// Of bits read from a file.
    pub fn checked(bits: u16) -> Option<Self> {
        (bits & !Self::ALL == 0).then_some(Self(bits))
    }

    fn of(task: &Task) -> Self {
        let mut bits = u16::from(task.kthread) * Self::KTHREAD;
        if let Some(fair) = &task.fair {
            bits |= Self::FAIR | (fair.parents.len() as u16) << Self::PARENTS_SHIFT;
            bits |= u16::from(fair.delayed.is_some()) * Self::DELAYED;
            for (level, entity) in (0..).zip(std::iter::once(&fair.own).chain(&fair.parents)) {
                bits |= u16::from(entity.deadline.is_some()) << (Self::DEADLINE_SHIFT + level);
                bits |= u16::from(entity.slice.is_some()) << (Self::SLICE_SHIFT + level);
            }
        }
        Self(bits)
    }

    pub fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    pub fn parents(self) -> usize {
        usize::from(self.0 >> Self::PARENTS_SHIFT) & 3
    }

    pub fn deadline(self, level: usize) -> bool {
        self.has(1 << (Self::DEADLINE_SHIFT as usize + level))
    }

    pub fn slice(self, level: usize) -> bool {
        self.has(1 << (Self::SLICE_SHIFT as usize + level))
    }
}

impl Card {
    pub fn of(task: &Task) -> Self {
        // To the last field: a new one has to find its place in the file.
        let Task {
            pid,
            tgid,
            comm,
            prio,
            policy,
            kthread: _,
            on_rq: _,
            fair,
        } = task;
        let depth = fair.as_ref().map_or(0, |fair| fair.depth);
        Self {
            pid: *pid,
            tgid: *tgid,
            comm: comm.0,
            prio: *prio,
            policy: *policy,
            depth,
            layout: Layout::of(task),
        }
    }

    /// Gives a task these fields and the shape; what else it held stays.
    pub fn apply(&self, task: &mut Task) {
        task.pid = self.pid;
        task.tgid = self.tgid;
        task.comm.0 = self.comm;
        task.prio = self.prio;
        task.policy = self.policy;
        task.kthread = self.layout.has(Layout::KTHREAD);
        if !self.layout.has(Layout::FAIR) {
            task.fair = None;
            return;
        }
        let fair = task.fair.get_or_insert_default();
        fair.depth = self.depth;
        fair.parents.truncate(self.layout.parents());
        while fair.parents.len() < self.layout.parents() {
            fair.parents.push(Entity::default());
        }
    }
}

/// An entity as it was last seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownEntity {
    pub seen: bool,
    pub vruntime: u64,
    pub deadline: u64,
    pub slice: u32,
    pub weight: u32,
    pub cfs_rq: u32,
}

impl KnownEntity {
    pub fn of(entity: &Entity) -> Self {
        let Entity {
            vruntime,
            deadline,
            slice,
            weight,
            cfs_rq,
        } = *entity;
        Self {
            seen: true,
            vruntime,
            deadline: deadline.unwrap_or(0),
            slice: slice.unwrap_or(0),
            weight,
            cfs_rq,
        }
    }
}

/// A task as it was last seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownTask {
    pub card: Card,
    pub on_rq: bool,
    pub delayed: bool,
    pub own: KnownEntity,
    pub sum_exec_ns: u64,
    pub vlag: i64,
    /// The CPU whose run queue it belongs to.
    pub cpu: u32,
}

impl KnownTask {
    pub fn see(&mut self, on_rq: bool, fair: Option<&Fair>) {
        self.on_rq = on_rq;
        let Some(Fair {
            own,
            sum_exec_ns,
            vlag,
            delayed,
            depth: _,
            parents: _,
        }) = fair
        else {
            return;
        };
        self.own = KnownEntity::of(own);
        self.sum_exec_ns = *sum_exec_ns;
        self.vlag = vlag.unwrap_or(self.vlag);
        self.delayed = delayed.unwrap_or(false);
    }
}

/// Virtual time of an entity since it began to run.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub from_vruntime: u64,
    pub since_ns: u64,
    pub weight: u32,
}

impl Running {
    /// Its vruntime after `ns` of running.
    pub fn after(&self, ns: u64) -> u64 {
        self.from_vruntime.wrapping_add(virtual_ns(ns, self.weight))
    }

    /// Its vruntime at `ts_ns`; a time before it began counts as that beginning.
    pub fn at(&self, ts_ns: u64) -> u64 {
        self.after(ts_ns.saturating_sub(self.since_ns))
    }
}

/// A `cfs_rq`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    /// The group entity whose children are queued here.
    pub owner: KnownEntity,
    /// The owner, while it runs.
    pub owner_running: Option<Running>,
    /// The entity of this queue that runs.
    pub current: Option<Running>,
    /// vruntime of the entity of this queue that was seen last.
    pub last_vruntime: u64,
}

impl Queue {
    /// Where new entities of this queue are likely placed.
    pub fn about(&self, ts_ns: u64) -> u64 {
        self.current
            .map_or(self.last_vruntime, |running| running.at(ts_ns))
    }
}

/// A CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Number of the next event.
    pub seq: u64,
    /// Slot of the task that entered last, and when.
    pub current: Option<(usize, u64)>,
    /// Slot of the task that was last seen waking and not yet woken.
    pub waking: Option<usize>,
}

/// Where something of a small number is. It is asked for several times an event, so the usual numbers are found without a hash; a
/// file may hold any.
#[derive(Debug, Default)]
struct Slots {
    /// Of the numbers below [`Self::NEAR`], one more than the slot; 0 for none.
    near: Vec<u32>,
    far: HashMap<u32, usize>,
}

impl Slots {
    const NEAR: u32 = 1024;

    #[inline]
    fn of(&mut self, number: u32, new: impl FnOnce() -> usize) -> usize {
        match self.near.get(number as usize) {
            Some(&slot) if slot != 0 => slot as usize - 1,
            _ => self.new_or_far(number, new),
        }
    }

    #[cold]
    fn new_or_far(&mut self, number: u32, new: impl FnOnce() -> usize) -> usize {
        if number >= Self::NEAR {
            return *self.far.entry(number).or_insert_with(new);
        }
        let place = number as usize;
        if place >= self.near.len() {
            self.near.resize(place + 1, 0);
        }
        let slot = new();
        self.near[place] = slot as u32 + 1;
        slot
    }

    fn clear(&mut self) {
        self.near.clear();
        self.far.clear();
    }
}

/// Everything, by name.
#[derive(Debug, Default)]
pub struct State {
    pub tasks: Vec<KnownTask>,
    slots: HashMap<(u32, u32), usize>,
    pub queues: Vec<Queue>,
    queue_slots: Slots,
    cpus: Vec<Cpu>,
    cpu_slots: Slots,
    /// Of the event before: time, CPU and kind (0 to 3).
    pub last_ts_ns: u64,
    pub last_cpu: u32,
    pub last_kind: u8,
}

impl State {
    /// As at the start of a block.
    pub fn clear(&mut self) {
        let Self {
            tasks,
            slots,
            queues,
            queue_slots,
            cpus,
            cpu_slots,
            last_ts_ns,
            last_cpu,
            last_kind,
        } = self;
        tasks.clear();
        slots.clear();
        queues.clear();
        queue_slots.clear();
        cpus.clear();
        cpu_slots.clear();
        (*last_ts_ns, *last_cpu, *last_kind) = (0, 0, 0);
    }

    /// The slot of a task; every CPU has an idle task of its own with pid 0.
    pub fn slot(&self, pid: u32, cpu: u32) -> Option<usize> {
        self.slots.get(&Self::name(pid, cpu)).copied()
    }

    /// Gives the next slot to a task, in place of the slot that its name had.
    pub fn introduce(&mut self, pid: u32, cpu: u32) -> usize {
        self.tasks.push(KnownTask {
            cpu,
            ..KnownTask::default()
        });
        self.slots
            .insert(Self::name(pid, cpu), self.tasks.len() - 1);
        self.tasks.len() - 1
    }

    fn name(pid: u32, cpu: u32) -> (u32, u32) {
        (pid, if pid == 0 { cpu } else { 0 })
    }

    /// Where in [`Self::queues`] a `cfs_rq` is.
    pub fn queue(&mut self, cfs_rq: u32) -> usize {
        let queues = &mut self.queues;
        self.queue_slots.of(cfs_rq, || {
            queues.push(Queue::default());
            queues.len() - 1
        })
    }

    pub fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        let cpus = &mut self.cpus;
        let index = self.cpu_slots.of(cpu, || {
            cpus.push(Cpu::default());
            cpus.len() - 1
        });
        &mut self.cpus[index]
    }
}
