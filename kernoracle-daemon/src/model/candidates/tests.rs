//! For the tests of the parts: tasks and scenes.

use super::scene::Scene;
use crate::model::counted::Counted;
use crate::model::vector::Vector;
use crate::runqueue::{Expected, Picks, RunQueues, Sym};
use crate::trace::event::{Body, Comm, Event, Task, Wake, WakeKind};

/// A task that has been woken onto CPU 0, of normal priority.
pub fn woken(queues: &mut RunQueues, pid: u32, comm: &str) -> Sym {
    let task = Task {
        prio: 120,
        ..Task::unknown(pid, Comm::new(comm))
    };
    queues.apply(&Event {
        ts_ns: 1,
        seq: 0,
        cpu: 0,
        body: Body::Wake(Wake {
            kind: WakeKind::Wakeup,
            waker_pid: 0,
            target_cpu: 0,
            task,
        }),
    });
    queues.by_pid(0, pid).expect("it lives")
}

/// A prediction of what follows `current` on CPU 0, of which nothing else is known.
pub fn scene<'a>(queues: &'a RunQueues, counted: &'a Counted, current: Sym) -> Scene<'a> {
    Scene {
        queues,
        counted,
        cpu: 0,
        current: queues.task(current),
        now_ns: 2,
        run: Expected::default(),
        picks: Picks::default(),
        waiting: 0,
        unnamed: Vector::ZERO,
        current_since_ns: None,
        last_woken: None,
    }
}
