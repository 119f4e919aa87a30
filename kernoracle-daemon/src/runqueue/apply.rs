//! What each event changes.

use super::{RunQueues, Status, Sym};
use crate::trace::event::{Body, Comm, Event, Snapshot, Switch, Task, Wake, WakeKind};

impl RunQueues {
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
                    task.runs = (task.last_runs)
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
        let waits = self.task(sym).queue_index.is_some();
        if waits {
            self.leave_queue(sym);
        }
        let info = &mut self.tasks[sym.slot()];
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
            info.renamed(&self.codes);
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
        if waits {
            self.join_queue(sym);
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
            task.sleeps = task.last_sleeps.push(slept);
        }
        if let Some(before) = task.woken_ns {
            task.periods = task.last_periods.push(ts_ns.saturating_sub(before));
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
        let task = &mut self.tasks[sym.slot()];
        task.born = Some((parent, ts_ns));
        task.tgid = tgid;
        task.name = comm;
        task.cpu = cpu;
        task.waker = Some(parent);
        task.status = Status::Sleeping;
        task.since_ns = ts_ns;
        task.renamed(&self.codes);
    }

    fn rename(&mut self, pid: u32, tgid: u32, comm: Comm) {
        if let Some(&sym) = self.by_pid.get(&pid) {
            let task = &mut self.tasks[sym.slot()];
            if tgid != Task::UNKNOWN_TGID {
                task.tgid = tgid;
            }
            task.name = comm;
            task.renamed(&self.codes);
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
    pub(super) fn gap(&mut self, cpu: u32) {
        self.ensure_cpu(cpu);
        for sym in std::mem::take(&mut self.cpus[cpu as usize].runnable) {
            let task = self.task_mut(sym);
            task.status = Status::Unknown;
            task.queue_index = None;
            task.queued = None;
        }
        let queue = &mut self.cpus[cpu as usize];
        queue.waiting = 0;
        queue.fair.clear();
        queue.unfair.clear();
        queue.delayed.clear();
        let current = queue.current.take();
        queue.current_since_ns = None;
        queue.wakes = 0;
        queue.last_woken = None;
        if let Some(sym) = current {
            self.task_mut(sym).status = Status::Unknown;
        }
    }
}
