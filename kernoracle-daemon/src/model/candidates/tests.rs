//! Who is listed; and for the tests of the parts: tasks and scenes.

use super::scene::Scene;
use super::{Gatherer, Moment};
use crate::baseline::Table;
use crate::model::counted::Counted;
use crate::model::frame::View;
use crate::model::vector::Vector;
use crate::runqueue::{Expected, Picks, RunQueues, Sym};
use crate::trace::event::{Body, Comm, Event, Switch, Task, Wake, WakeKind};

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

/// One leaves CPU 0 in that state, and another enters.
fn switch(queues: &mut RunQueues, ts_ns: u64, (prev, next): (u32, u32), prev_state: u32) {
    let task = |pid: u32| Task {
        prio: 120,
        ..Task::unknown(pid, Comm::new("a"))
    };
    let switch = Switch {
        prev: task(prev),
        next: task(next),
        prev_state,
        preempt: false,
        merged: false,
        hidden_ns: 0,
    };
    queues.switch(ts_ns, 0, &switch);
}

/// Who is listed at the switch to task 1, so many others waiting, while the counts say that task 9 comes, which sleeps.
fn listed(waiting: u32) -> (RunQueues, Vec<Sym>) {
    const SLEEPS: u32 = 1;
    let mut queues = RunQueues::new();
    for pid in [9, 1] {
        woken(&mut queues, pid, "a");
    }
    switch(&mut queues, 10, (0, 9), 0);
    switch(&mut queues, 20, (9, 1), SLEEPS);
    for pid in 2..2 + waiting {
        woken(&mut queues, pid, "a");
    }
    let of = |pid| queues.by_pid(0, pid).expect("it lives");
    let mut table = Table::new(4);
    for _ in 0..9 {
        table.add(1, of(9).raw());
    }
    let mut counted = Counted::default();
    counted.odds.set(0, table.get(1));
    counted.odds.work_out();
    let moment = Moment {
        cpu: 0,
        current: of(1),
        now_ns: 20,
        refined: false,
        run: Expected::default(),
    };
    let mut view = View::default();
    Gatherer::default().gather(&queues, &counted, moment, &mut view);
    let syms = view.candidates.iter().filter_map(|one| one.sym).collect();
    (queues, syms)
}

#[test]
fn idle_has_a_sure_place_where_nothing_waits() {
    let (queues, syms) = listed(0);
    let sleeper = queues.by_pid(0, 9).expect("it lives");
    assert_eq!(syms, [queues.idle(0), sleeper]);
    for waiting in 1..6 {
        let (queues, syms) = listed(waiting);
        assert!(!syms.contains(&queues.idle(0)), "{waiting} wait: {syms:?}");
        // All others, and never the current task.
        assert_eq!(syms.len(), waiting as usize + 1);
    }
}

#[test]
fn behind_two_that_wait_come_those_with_the_most_votes() {
    let (queues, syms) = listed(5);
    let of = |pid| queues.by_pid(0, pid).expect("it lives");
    assert_eq!(syms[..3], [of(2), of(3), of(9)]);
}
