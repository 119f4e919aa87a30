//! Rebuilding the state after a pause: what happened meanwhile is not known, only who lives.

use super::{RunQueues, Status};

impl RunQueues {
    /// Nobody knows who runs and who waits. Snapshots and events tell from here on.
    pub fn unsure(&mut self) {
        for cpu in 0..self.cpus() {
            self.gap(cpu);
        }
        for sym in self.by_pid.values() {
            self.tasks[sym.slot()].status = Status::Unknown;
        }
    }

    /// Time starts again from before what has been seen: like [`Self::unsure`], and the scheduler's numbers, which
    /// would be those of the future, are forgotten. What tasks are wont to do stays known.
    pub fn rewind(&mut self) {
        self.unsure();
        for sym in self.by_pid.values() {
            self.tasks[sym.slot()].fair = None;
        }
        self.groups.clear();
        self.group_lags.clear();
    }

    /// Forgets what tasks are wont to do. Who lives, who waits and the scheduler's numbers stay known, as they are after the snapshot of a start.
    pub fn forget_habits(&mut self, now_ns: u64) {
        for &sym in self.by_pid.values() {
            self.tasks[sym.slot()].forget_habits(now_ns);
        }
    }

    /// Every task on a run queue has been told of since [`Self::unsure`]: the others sleep. Those that
    /// were about to end have ended.
    pub fn sure(&mut self, ts_ns: u64) {
        let mut ended = Vec::new();
        for &sym in self.by_pid.values() {
            let task = &mut self.tasks[sym.slot()];
            if task.status != Status::Unknown {
                continue;
            }
            if task.exiting {
                ended.push(sym);
            }
            task.status = Status::Sleeping;
            task.since_ns = task.left_ns.unwrap_or(ts_ns);
        }
        for sym in ended {
            self.forget(sym);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::{Body, Comm, Entity, Event, Fair, Snapshot, Task, Wake, WakeKind};

    fn task(pid: u32) -> Task {
        Task {
            pid,
            tgid: pid,
            comm: Comm::new("t"),
            prio: 120,
            ..Task::default()
        }
    }

    fn event(body: Body) -> Event {
        Event {
            ts_ns: 1,
            seq: 0,
            cpu: 0,
            body,
        }
    }

    fn wake(pid: u32) -> Event {
        event(Body::Wake(Wake {
            kind: WakeKind::Wakeup,
            waker_pid: 0,
            target_cpu: 0,
            task: task(pid),
        }))
    }

    fn snapshot(pid: u32, on_cpu: bool) -> Event {
        event(Body::Snapshot(Snapshot {
            task: task(pid),
            state: 0,
            target_cpu: 0,
            on_cpu,
        }))
    }

    #[test]
    fn the_snapshot_says_who_waits_and_the_others_sleep() {
        let mut queues = RunQueues::new();
        for pid in 1..=4 {
            queues.apply(&wake(pid));
        }
        queues.apply(&event(Body::Exit {
            pid: 4,
            tgid: 4,
            comm: Comm::new("t"),
        }));
        assert_eq!((queues.cpu(0).runnable.len(), queues.live()), (4, 4));

        queues.unsure();
        assert!(queues.cpu(0).runnable.is_empty());
        // 3 was woken before the snapshot came to it.
        queues.apply(&wake(3));
        queues.apply(&snapshot(2, true));
        queues.apply(&snapshot(3, false));
        queues.sure(9);

        let status = |pid| queues.task(queues.by_pid(0, pid).unwrap()).status;
        assert_eq!(
            [1, 2, 3].map(status),
            [Status::Sleeping, Status::Running, Status::Runnable]
        );
        assert_eq!(queues.by_pid(0, 4), None, "it was about to end");
        assert_eq!(queues.live(), 3);
        assert_eq!(queues.cpu(0).runnable.len(), 1);
    }

    #[test]
    fn played_again_nothing_of_the_future_is_known() {
        let mut queues = RunQueues::new();
        let told = |vruntime| {
            let own = Entity {
                vruntime,
                weight: 1024,
                ..Entity::default()
            };
            let mut task = task(1);
            task.fair = Some(Fair {
                own,
                ..Fair::default()
            });
            event(Body::Wake(Wake {
                kind: WakeKind::Wakeup,
                waker_pid: 0,
                target_cpu: 0,
                task,
            }))
        };
        queues.apply(&told(5));
        let sym = queues.by_pid(0, 1).unwrap();
        assert!(queues.task(sym).fair.is_some());

        queues.rewind();
        assert_eq!(queues.task(sym).status, Status::Unknown);
        assert!(queues.task(sym).fair.is_none());

        queues.apply(&told(3));
        assert_eq!(queues.by_pid(0, 1), Some(sym), "the same task");
        assert_eq!(queues.task(sym).fair.as_ref().unwrap().own.vruntime, 3);
    }
}
