//! Who is runnable where, rebuilt from events alone.
//!
//! Every task has a slot; a [`Sym`] names a slot together with its generation, so that a reused pid or
//! slot is never taken for the task that had it before.

mod apply;
mod codes;
mod delayed;
mod fair_queue;
mod history;
mod pick;
mod resume;
mod task;
mod tree;
mod wakees;

pub use codes::{CODE, Codes, Roles, role};
pub use delayed::{Delayed, Sleeper};
use fair_queue::FairQueue;
pub use history::{RunHistory, Usual};
pub use pick::{Expected, LISTED, Picker, Picks, Standing};
pub use task::{Status, Sym, TaskInfo};
pub use wakees::{Wakee, Wakees};

use crate::trace::event::{Comm, Entity};
use foldhash::{HashMap, HashMapExt as _};

/// The run queue of one CPU.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// What runs, once a switch or the snapshot has told.
    pub current: Option<Sym>,
    /// When `current` was switched in; `None` if that was before the trace, or behind a gap.
    pub current_since_ns: Option<u64>,
    /// Tasks that wait for this CPU, in no order, without `current`.
    pub runnable: Vec<Sym>,
    /// Sum of their hashes.
    pub waiting: u64,
    /// Those of them that wait on a `cfs_rq`, by that.
    fair: Vec<FairQueue>,
    /// The others of them: real-time tasks, and those of which nothing is known.
    unfair: Vec<Sym>,
    /// Queues out of use: their memory is used again.
    spare: Vec<FairQueue>,
    /// Entities that sleep and are still queued, in the order in which they fell asleep.
    pub delayed: Vec<Delayed>,
    /// Wake-ups onto this CPU since the last switch.
    pub wakes: u32,
    /// The last task woken onto this CPU since the last switch.
    pub last_woken: Option<Sym>,
}

/// All tasks and run queues of a machine.
#[derive(Clone, Debug, Default)]
pub struct RunQueues {
    tasks: Vec<TaskInfo>,
    free: Vec<u32>,
    by_pid: HashMap<u32, Sym>,
    cpus: Vec<Cpu>,
    idle: Vec<Sym>,
    /// The entity that stands for a `cfs_rq` on the queue above it, by the `cfs_rq`'s id.
    groups: HashMap<u32, Entity>,
    /// What each group was owed when it last left its queue, ns of vruntime.
    group_lags: HashMap<u32, i64>,
    live: usize,
    codes: Codes,
}

impl RunQueues {
    pub fn new() -> Self {
        Self::coded(Codes::default())
    }

    /// With the tasks' codes drawn by `codes`.
    pub fn coded(codes: Codes) -> Self {
        Self {
            by_pid: HashMap::new(),
            codes,
            ..Self::default()
        }
    }

    /// Draws the codes of all tasks anew, by `codes` from here on.
    pub fn recode(&mut self, codes: Codes) {
        self.codes = codes;
        let named = |task: &&mut TaskInfo| task.name != Comm::default();
        for task in self.tasks.iter_mut().filter(named) {
            task.renamed(&self.codes);
        }
    }

    /// How the tasks' codes are drawn.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Tasks known to be alive, the idle tasks not counted.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The run queue of a CPU, made when first named.
    pub fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        self.ensure_cpu(cpu);
        &mut self.cpus[cpu as usize]
    }

    /// The run queue of a CPU that has been named before.
    pub fn cpu_ref(&self, cpu: u32) -> &Cpu {
        &self.cpus[cpu as usize]
    }

    /// CPUs named so far.
    pub fn cpus(&self) -> u32 {
        self.cpus.len() as u32
    }

    /// The idle task of a CPU that has been named before.
    pub fn idle(&self, cpu: u32) -> Sym {
        self.idle[cpu as usize]
    }

    /// A task, if it still is the one that the symbol was given to.
    pub fn get(&self, sym: Sym) -> Option<&TaskInfo> {
        self.tasks.get(sym.slot()).filter(|task| task.sym == sym)
    }

    /// The task that has a pid now; pid 0 is the idle task of `cpu`.
    pub fn by_pid(&self, cpu: u32, pid: u32) -> Option<Sym> {
        if pid == 0 {
            return self.idle.get(cpu as usize).copied();
        }
        self.by_pid.get(&pid).copied()
    }

    /// A task known to be current.
    ///
    /// # Panics
    ///
    /// If the slot was never given out.
    pub fn task(&self, sym: Sym) -> &TaskInfo {
        &self.tasks[sym.slot()]
    }

    pub(crate) fn task_mut(&mut self, sym: Sym) -> &mut TaskInfo {
        &mut self.tasks[sym.slot()]
    }

    fn ensure_cpu(&mut self, cpu: u32) {
        while self.cpus.len() <= cpu as usize {
            let cpu = self.cpus.len() as u32;
            let sym = self.allocate(0);
            let task = &mut self.tasks[sym.slot()];
            task.name = Comm::new(&format!("swapper/{cpu}"));
            task.cpu = cpu;
            task.kthread = true;
            task.renamed(&self.codes);
            self.idle.push(sym);
            self.cpus.push(Cpu::default());
        }
    }

    fn allocate(&mut self, pid: u32) -> Sym {
        if let Some(slot) = self.free.pop() {
            let sym = self.tasks[slot as usize].sym.next_generation();
            self.tasks[slot as usize] = TaskInfo::new(sym, pid);
            sym
        } else {
            let sym = Sym::first(self.tasks.len());
            self.tasks.push(TaskInfo::new(sym, pid));
            sym
        }
    }

    /// The symbol of a pid, made on first sight.
    fn intern(&mut self, cpu: u32, pid: u32) -> Sym {
        if pid == 0 {
            self.ensure_cpu(cpu);
            return self.idle[cpu as usize];
        }
        if let Some(&sym) = self.by_pid.get(&pid) {
            return sym;
        }
        let sym = self.allocate(pid);
        self.by_pid.insert(pid, sym);
        self.live += 1;
        sym
    }

    fn enqueue(&mut self, sym: Sym, cpu: u32, ts_ns: u64) {
        self.dequeue(sym);
        self.ensure_cpu(cpu);
        self.undelay(self.task(sym).cpu, sym);
        self.undelay(cpu, sym);
        let index = self.cpus[cpu as usize].runnable.len();
        self.cpus[cpu as usize].runnable.push(sym);
        let task = self.task_mut(sym);
        task.status = Status::Runnable;
        task.cpu = cpu;
        task.since_ns = ts_ns;
        task.queue_index = Some(index as u32);
        let queue = &mut self.cpus[cpu as usize];
        queue.waiting = queue.waiting.wrapping_add(sym.hash());
        self.join_queue(sym);
    }

    /// Puts a task that waits into its place among those that do.
    fn join_queue(&mut self, sym: Sym) {
        let task = &mut self.tasks[sym.slot()];
        let cpu = &mut self.cpus[task.cpu as usize];
        let Some(fair) = task.in_fair_class() else {
            cpu.unfair.push(sym);
            return;
        };
        let entity = fair.own;
        let queue =
            (cpu.fair.iter().position(|queue| queue.id == entity.cfs_rq)).unwrap_or_else(|| {
                let mut queue = cpu.spare.pop().unwrap_or_default();
                queue.reset(entity.cfs_rq, entity.vruntime);
                cpu.fair.push(queue);
                cpu.fair.len() - 1
            });
        cpu.fair[queue].insert(sym, &entity, task.since_ns);
        task.queued = Some(entity);
    }

    /// Takes a task that waits out of its place.
    fn leave_queue(&mut self, sym: Sym) {
        let task = &mut self.tasks[sym.slot()];
        let cpu = &mut self.cpus[task.cpu as usize];
        let Some(entity) = task.queued.take() else {
            if let Some(at) = cpu.unfair.iter().position(|other| *other == sym) {
                cpu.unfair.swap_remove(at);
            }
            return;
        };
        let Some(at) = cpu.fair.iter().position(|queue| queue.id == entity.cfs_rq) else {
            return;
        };
        cpu.fair[at].remove(sym, &entity, task.since_ns);
        if cpu.fair[at].is_empty() {
            let empty = cpu.fair.swap_remove(at);
            cpu.spare.push(empty);
        }
    }

    fn dequeue(&mut self, sym: Sym) {
        let task = self.task_mut(sym);
        let Some(index) = task.queue_index.take() else {
            return;
        };
        let cpu = task.cpu as usize;
        self.leave_queue(sym);
        self.cpus[cpu].waiting = self.cpus[cpu].waiting.wrapping_sub(sym.hash());
        self.cpus[cpu].runnable.swap_remove(index as usize);
        if let Some(&moved) = self.cpus[cpu].runnable.get(index as usize) {
            self.task_mut(moved).queue_index = Some(index);
        }
    }

    fn forget(&mut self, sym: Sym) {
        let pid = self.task(sym).pid;
        if self.by_pid.get(&pid) != Some(&sym) {
            return;
        }
        self.by_pid.remove(&pid);
        self.live -= 1;
        self.dequeue(sym);
        self.undelay(self.task(sym).cpu, sym);
        for cpu in &mut self.cpus {
            if cpu.current == Some(sym) {
                cpu.current = None;
            }
        }
        // The slot's next owner gets the next generation; until then the symbol stays resolvable.
        self.task_mut(sym).status = Status::Unknown;
        self.free.push(sym.slot() as u32);
    }

    /// The entity that stands for a `cfs_rq` on the queue above it; `None` for a root queue.
    pub(crate) fn group(&self, cfs_rq: u32) -> Option<&Entity> {
        self.groups.get(&cfs_rq)
    }
}

#[cfg(test)]
mod tests;
