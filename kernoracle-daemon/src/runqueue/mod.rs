//! Who is runnable where, rebuilt from events alone.
//!
//! Every task has a slot; a [`Sym`] names a slot together with its generation, so that a reused pid or
//! slot is never taken for the task that had it before.

mod delayed;
mod history;
mod pick;
mod resume;
mod task;
mod wakees;

pub use delayed::{Delayed, Sleeper};
pub use history::RunHistory;
pub use pick::{Expected, Picker, Picks, Standing};
pub use task::{CODE, Status, Sym, TaskInfo};
pub use wakees::{Wakee, Wakees};

use crate::trace::event::{Body, Comm, Entity, Event, Snapshot, Switch, Task, Wake, WakeKind};
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
    salt: u64,
}

impl RunQueues {
    pub fn new() -> Self {
        Self::salted(0)
    }

    /// Instances of tasks get other codes with another `salt`.
    pub fn salted(salt: u64) -> Self {
        Self {
            by_pid: HashMap::new(),
            salt,
            ..Self::default()
        }
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

    /// Applies an event other than a switch. Returns the CPU whose queue gained a runnable task.
    pub fn apply(&mut self, event: &Event) -> Option<u32> {
        match &event.body {
            Body::Wake(wake) => self.wake(event.ts_ns, event.cpu, wake),
            Body::Migrate {
                pid,
                from_cpu: _,
                to_cpu,
            } => {
                self.migrate(*pid, *to_cpu);
                None
            }
            Body::Fork {
                pid,
                tgid,
                parent_pid,
                comm,
            } => {
                self.fork(event.ts_ns, event.cpu, *pid, *tgid, *parent_pid, *comm);
                None
            }
            Body::Exec {
                pid,
                tgid,
                old_pid,
                comm,
            } => {
                if old_pid != pid {
                    // A thread that execs takes over the leader's pid.
                    self.exit(*old_pid);
                }
                self.rename(*pid, *tgid, *comm);
                None
            }
            Body::Rename { pid, tgid, comm } => {
                self.rename(*pid, *tgid, *comm);
                None
            }
            Body::Exit { pid, .. } => {
                if let Some(&sym) = self.by_pid.get(pid) {
                    self.task_mut(sym).exiting = true;
                }
                None
            }
            Body::Snapshot(snapshot) => self.snapshot(event.ts_ns, snapshot),
            Body::Gap { .. } => {
                self.gap(event.cpu);
                None
            }
            Body::Switch(_) => None,
        }
    }

    /// Applies a switch. Returns the symbols of prev and next.
    pub fn switch(&mut self, ts_ns: u64, cpu: u32, switch: &Switch) -> (Sym, Sym) {
        self.ensure_cpu(cpu);
        let prev = self.seen(ts_ns, cpu, &switch.prev);
        let next = self.seen(ts_ns, cpu, &switch.next);
        let since = self.cpus[cpu as usize].current_since_ns;
        let known = self.cpus[cpu as usize].current == Some(prev);
        if !known && let Some(stale) = self.cpus[cpu as usize].current.take() {
            // The trace is inconsistent: what was thought to run is somewhere else, or asleep.
            self.task_mut(stale).status = Status::Unknown;
        }

        let is_idle = prev == self.idle[cpu as usize];
        let told = switch.prev_state != Switch::UNKNOWN_STATE;
        let still_runnable = switch.prev_state == 0 || switch.preempt;
        if !is_idle {
            self.dequeue(prev);
            // A task that was woken between falling asleep and its switch-out stays on the queue.
            let gone = self.task(prev).exiting && !still_runnable && told;
            if gone {
                self.forget(prev);
            } else {
                let task = self.task_mut(prev);
                task.left_ns = Some(ts_ns);
                task.last_left_runnable = still_runnable;
                // TASK_UNINTERRUPTIBLE (include/linux/sched.h).
                task.deep_sleep = told && switch.prev_state & 2 != 0;
                let woke = task.wakees.woken_now().next().is_some();
                task.wakees.left();
                let run_ns = since.map_or(0, |since| ts_ns.saturating_sub(since));
                let run = u64::from(run_ns.max(1).ilog2().min(31)) << 3
                    | u64::from(still_runnable) << 2
                    | u64::from(task.deep_sleep) << 1
                    | u64::from(woke);
                task.ran = task.ran << 8 | run;
                task.forks += (f32::from(task.forks_now) - task.forks) * 0.15;
                task.forks_now = 0;
                if told {
                    task.voluntary += (f32::from(u8::from(!still_runnable)) - task.voluntary) * 0.1;
                }
                if let (true, Some(since)) = (known, since) {
                    task.runs
                        .push(ts_ns.saturating_sub(since).saturating_sub(switch.hidden_ns));
                }
                if still_runnable {
                    self.enqueue(prev, cpu, ts_ns);
                } else if !told {
                    self.task_mut(prev).status = Status::Unknown;
                } else {
                    self.delay(cpu, prev);
                    let task = self.task_mut(prev);
                    task.status = Status::Sleeping;
                    task.since_ns = ts_ns;
                }
            }
        }

        let before = self.task_mut(prev);
        before.followed = before.followed << 16 | next.short();
        self.settle_delayed(cpu, next);
        self.dequeue(next);
        let task = self.task_mut(next);
        task.status = Status::Running;
        task.cpu = cpu;
        task.entered_ns = Some(ts_ns);
        task.switches += 1;
        let queue = &mut self.cpus[cpu as usize];
        queue.current = Some(next);
        queue.current_since_ns = Some(ts_ns);
        queue.wakes = 0;
        queue.last_woken = None;
        (prev, next)
    }

    fn ensure_cpu(&mut self, cpu: u32) {
        while self.cpus.len() <= cpu as usize {
            let cpu = self.cpus.len() as u32;
            let sym = self.allocate(0);
            let task = self.task_mut(sym);
            task.name = Comm::new(&format!("swapper/{cpu}"));
            task.cpu = cpu;
            task.kthread = true;
            task.renamed();
            self.idle.push(sym);
            self.cpus.push(Cpu::default());
        }
    }

    fn allocate(&mut self, pid: u32) -> Sym {
        if let Some(slot) = self.free.pop() {
            let sym = self.tasks[slot as usize].sym.next_generation();
            self.tasks[slot as usize] = TaskInfo::new(sym, pid, self.salt);
            sym
        } else {
            let sym = Sym::first(self.tasks.len());
            self.tasks.push(TaskInfo::new(sym, pid, self.salt));
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

    /// Takes over what an event says of a task.
    fn seen(&mut self, ts_ns: u64, cpu: u32, task: &Task) -> Sym {
        let mut sym = self.intern(cpu, task.pid);
        let known = self.task(sym);
        if task.pid != 0
            && known.tgid != Task::UNKNOWN_TGID
            && task.tgid != Task::UNKNOWN_TGID
            && known.tgid != task.tgid
        {
            // The pid was given out again and the events that told so are lost.
            self.forget(sym);
            sym = self.intern(cpu, task.pid);
        }
        let info = self.task_mut(sym);
        info.seen_ns = ts_ns;
        if task.tgid != Task::UNKNOWN_TGID {
            info.tgid = task.tgid;
        }
        if task.prio != Task::UNKNOWN_PRIO {
            info.prio = task.prio;
        }
        if task.policy != Task::UNKNOWN_POLICY {
            info.policy = task.policy;
        }
        info.kthread = task.kthread;
        if task.pid != 0 && info.name != task.comm {
            info.name = task.comm;
            info.renamed();
        }
        match &task.fair {
            Some(fair) => {
                info.fair.clone_from(&task.fair);
                let mut queue = fair.own.cfs_rq;
                for parent in &fair.parents {
                    self.groups.insert(queue, *parent);
                    queue = parent.cfs_rq;
                }
            }
            // Real time and idle tasks have no place in a fair queue; a source without scheduler state says nothing.
            None if task.prio < 100 => info.fair = None,
            None => {}
        }
        sym
    }

    fn wake(&mut self, ts_ns: u64, cpu: u32, wake: &Wake) -> Option<u32> {
        self.ensure_cpu(wake.target_cpu);
        self.ensure_cpu(cpu);
        let waker = self.intern(cpu, wake.waker_pid);
        let sym = self.seen(ts_ns, wake.target_cpu, &wake.task);
        if wake.task.pid == 0 {
            return None;
        }
        if wake.kind == WakeKind::Waking {
            self.task_mut(sym).waker = Some(waker);
            if wake.waker_pid != 0 && waker != sym {
                let waker = self.task_mut(waker);
                waker.wakees.woke(sym);
                waker.woke = waker.woke << 16 | sym.short();
            }
            return None;
        }
        self.woken(ts_ns, sym, wake.target_cpu)
    }

    fn woken(&mut self, ts_ns: u64, sym: Sym, cpu: u32) -> Option<u32> {
        let task = self.task_mut(sym);
        if task.status == Status::Running {
            // Woken before it was switched out: its switch-out will say that it is runnable.
            task.woken_ns = Some(ts_ns);
            return None;
        }
        if task.status == Status::Sleeping {
            let slept = ts_ns.saturating_sub(task.since_ns);
            task.sleeps.push(slept);
        }
        if let Some(before) = task.woken_ns {
            task.periods.push(ts_ns.saturating_sub(before));
        }
        task.woken_ns = Some(ts_ns);
        self.enqueue(sym, cpu, ts_ns);
        let queue = &mut self.cpus[cpu as usize];
        queue.wakes += 1;
        queue.last_woken = Some(sym);
        Some(cpu)
    }

    fn migrate(&mut self, pid: u32, to_cpu: u32) {
        self.ensure_cpu(to_cpu);
        let Some(&sym) = self.by_pid.get(&pid) else {
            return;
        };
        let since = self.task(sym).since_ns;
        if self.task(sym).status == Status::Runnable {
            self.dequeue(sym);
            self.enqueue(sym, to_cpu, since);
        } else {
            self.task_mut(sym).cpu = to_cpu;
        }
    }

    fn fork(&mut self, ts_ns: u64, cpu: u32, pid: u32, tgid: u32, parent: u32, comm: Comm) {
        if let Some(&stale) = self.by_pid.get(&pid) {
            self.forget(stale);
        }
        let parent = self.intern(cpu, parent);
        let forks = &mut self.task_mut(parent).forks_now;
        *forks = forks.saturating_add(1);
        let sym = self.intern(cpu, pid);
        let task = self.task_mut(sym);
        task.born = Some((parent, ts_ns));
        task.tgid = tgid;
        task.name = comm;
        task.cpu = cpu;
        task.waker = Some(parent);
        task.status = Status::Sleeping;
        task.since_ns = ts_ns;
        task.renamed();
    }

    fn rename(&mut self, pid: u32, tgid: u32, comm: Comm) {
        if let Some(&sym) = self.by_pid.get(&pid) {
            let task = self.task_mut(sym);
            if tgid != Task::UNKNOWN_TGID {
                task.tgid = tgid;
            }
            task.name = comm;
            task.renamed();
        }
    }

    fn exit(&mut self, pid: u32) {
        if let Some(&sym) = self.by_pid.get(&pid) {
            self.forget(sym);
        }
    }

    fn snapshot(&mut self, ts_ns: u64, snapshot: &Snapshot) -> Option<u32> {
        self.ensure_cpu(snapshot.target_cpu);
        if snapshot.task.pid == 0 {
            return None;
        }
        if let Some(&sym) = self.by_pid.get(&snapshot.task.pid)
            && self.task(sym).status != Status::Unknown
        {
            // Events since recording began know better.
            return None;
        }
        let sym = self.seen(ts_ns, snapshot.target_cpu, &snapshot.task);
        let cpu = snapshot.target_cpu;
        self.task_mut(sym).cpu = cpu;
        if snapshot.on_cpu {
            let queue = &mut self.cpus[cpu as usize];
            if queue.current.is_none() {
                queue.current = Some(sym);
                self.task_mut(sym).status = Status::Running;
            }
            return None;
        }
        // A delayed task sleeps though it is on the queue.
        if snapshot.state == 0 {
            self.enqueue(sym, cpu, ts_ns);
            return Some(cpu);
        }
        let task = self.task_mut(sym);
        task.status = Status::Sleeping;
        task.since_ns = ts_ns;
        None
    }

    /// After a loss nobody knows who waits for the CPU or who runs.
    fn gap(&mut self, cpu: u32) {
        self.ensure_cpu(cpu);
        for sym in std::mem::take(&mut self.cpus[cpu as usize].runnable) {
            let task = self.task_mut(sym);
            task.status = Status::Unknown;
            task.queue_index = None;
        }
        let queue = &mut self.cpus[cpu as usize];
        queue.delayed.clear();
        let current = queue.current.take();
        queue.current_since_ns = None;
        queue.wakes = 0;
        queue.last_woken = None;
        if let Some(sym) = current {
            self.task_mut(sym).status = Status::Unknown;
        }
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
    }

    fn dequeue(&mut self, sym: Sym) {
        let task = self.task_mut(sym);
        let Some(index) = task.queue_index.take() else {
            return;
        };
        let cpu = task.cpu as usize;
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
