use super::*;
use crate::trace::event::{Body, Event, Fair, Switch, Task, Wake, WakeKind};

const NICE_0: u32 = 1 << 20;

fn fair(pid: u32, cfs_rq: u32, vruntime: u64, deadline: Option<u64>) -> Task {
    let own = Entity {
        vruntime,
        deadline,
        slice: deadline.map(|_| 3_000_000),
        weight: NICE_0,
        cfs_rq,
    };
    Task {
        pid,
        tgid: pid,
        comm: Comm::new("t"),
        prio: 120,
        fair: Some(Fair {
            own,
            ..Fair::default()
        }),
        ..Task::default()
    }
}

fn below(mut task: Task, group: Entity) -> Task {
    task.fair.as_mut().expect("fair").parents.push(group);
    task
}

fn idle() -> Task {
    Task {
        prio: 140,
        comm: Comm::new("swapper/0"),
        ..Task::default()
    }
}

fn switch(queues: &mut RunQueues, ts_ns: u64, prev: Task, prev_state: u32, next: Task) {
    let switch = Switch {
        prev,
        next,
        prev_state,
        preempt: false,
        merged: false,
        hidden_ns: 0,
    };
    queues.switch(ts_ns, 0, &switch);
}

fn event(ts_ns: u64, body: Body) -> Event {
    Event {
        ts_ns,
        seq: 0,
        cpu: 0,
        body,
    }
}

fn wakeup(task: Task) -> Body {
    Body::Wake(Wake {
        kind: WakeKind::Wakeup,
        waker_pid: 0,
        target_cpu: 0,
        task,
    })
}

fn waiting_pids(queues: &RunQueues) -> Vec<u32> {
    let mut pids: Vec<u32> = queues
        .cpu_ref(0)
        .runnable
        .iter()
        .map(|&sym| queues.task(sym).pid)
        .collect();
    pids.sort_unstable();
    pids
}

fn picks(queues: &RunQueues) -> (Option<u32>, Option<u32>) {
    let mut picker = Picker::default();
    let (_, picks) = picker.rank(queues, 0, &Expected::default());
    let pid = |sym: Option<Sym>| sym.map(|sym| queues.task(sym).pid);
    (pid(picks.if_sleeps), pid(picks.if_stays))
}

#[test]
fn a_preempted_task_waits_and_a_sleeping_one_does_not() {
    let mut queues = RunQueues::new();
    switch(&mut queues, 10, idle(), 0, fair(1, 1, 0, Some(5)));
    queues.apply(&event(11, wakeup(fair(2, 1, 0, Some(6)))));
    assert_eq!(waiting_pids(&queues), [2]);
    switch(
        &mut queues,
        20,
        fair(1, 1, 10, Some(5)),
        0,
        fair(2, 1, 0, Some(6)),
    );
    assert_eq!(waiting_pids(&queues), [1]);
    switch(
        &mut queues,
        30,
        fair(2, 1, 10, Some(5)),
        1,
        fair(1, 1, 10, Some(6)),
    );
    assert!(waiting_pids(&queues).is_empty());
    // The wake-up of a running task does not queue it twice.
    queues.apply(&event(31, wakeup(fair(1, 1, 0, Some(6)))));
    assert!(waiting_pids(&queues).is_empty());
}

#[test]
fn a_migrated_task_waits_elsewhere() {
    let mut queues = RunQueues::new();
    queues.apply(&event(1, wakeup(fair(7, 1, 0, None))));
    queues.apply(&event(
        2,
        Body::Migrate {
            pid: 7,
            from_cpu: 0,
            to_cpu: 3,
        },
    ));
    assert!(waiting_pids(&queues).is_empty());
    assert_eq!(queues.cpu_ref(3).runnable.len(), 1);
}

#[test]
fn a_reused_pid_is_another_task() {
    let mut queues = RunQueues::new();
    let (_, old) = {
        let switch = Switch {
            prev: idle(),
            next: fair(9, 1, 0, None),
            prev_state: 0,
            preempt: false,
            merged: false,
            hidden_ns: 0,
        };
        queues.switch(1, 0, &switch)
    };
    queues.apply(&event(
        2,
        Body::Exit {
            pid: 9,
            tgid: 9,
            comm: Comm::new("t"),
        },
    ));
    switch(&mut queues, 3, fair(9, 1, 0, None), 0x80, idle());
    assert_eq!(queues.live(), 0);
    queues.apply(&event(
        4,
        Body::Fork {
            pid: 9,
            tgid: 9,
            parent_pid: 0,
            comm: Comm::new("u"),
        },
    ));
    assert!(
        queues.get(old).is_none(),
        "the old symbol must not resolve to the new task"
    );
    assert_eq!(queues.live(), 1);
}

#[test]
fn a_gap_makes_the_queue_unsure() {
    let mut queues = RunQueues::new();
    switch(&mut queues, 10, idle(), 0, fair(1, 1, 0, None));
    queues.apply(&event(11, wakeup(fair(2, 1, 0, None))));
    queues.apply(&event(12, Body::Gap { lost: 3 }));
    assert!(waiting_pids(&queues).is_empty());
    assert_eq!(queues.cpu_ref(0).current, None);
}

#[test]
fn eevdf_takes_the_earliest_deadline_among_the_eligible() {
    let mut queues = RunQueues::new();
    switch(
        &mut queues,
        10,
        idle(),
        0,
        fair(1, 1, 1_000_000, Some(4_000_000)),
    );
    // Mean vruntime of the three that wait: 2 ms. pid 4 has the earliest deadline and is not eligible.
    queues.apply(&event(11, wakeup(fair(2, 1, 0, Some(3_500_000)))));
    queues.apply(&event(12, wakeup(fair(3, 1, 1_000_000, Some(3_000_000)))));
    queues.apply(&event(13, wakeup(fair(4, 1, 5_000_000, Some(2_000_000)))));
    assert_eq!(picks(&queues).0, Some(3));
}

#[test]
fn cfs_takes_the_least_vruntime() {
    let mut queues = RunQueues::new();
    switch(&mut queues, 10, idle(), 0, fair(1, 1, 1_000_000, None));
    queues.apply(&event(11, wakeup(fair(2, 1, 900_000, None))));
    queues.apply(&event(12, wakeup(fair(3, 1, 800_000, None))));
    assert_eq!(picks(&queues), (Some(3), Some(3)));
}

#[test]
fn groups_are_compared_before_their_tasks() {
    let group = |vruntime| Entity {
        vruntime,
        deadline: Some(vruntime + 3_000_000),
        slice: Some(3_000_000),
        weight: NICE_0,
        cfs_rq: 100,
    };
    let mut queues = RunQueues::new();
    switch(
        &mut queues,
        10,
        idle(),
        0,
        below(fair(1, 1, 0, Some(3_000_000)), group(9_000_000)),
    );
    // pid 2 has the smaller numbers, but they mean nothing beside another queue's: its group is behind.
    queues.apply(&event(
        11,
        wakeup(below(fair(2, 1, 5, Some(3_000_005)), group(9_000_000))),
    ));
    queues.apply(&event(
        12,
        wakeup(below(fair(3, 2, 7_000, Some(3_007_000)), group(4_000_000))),
    ));
    assert_eq!(picks(&queues).0, Some(3));
}

#[test]
fn real_time_comes_first() {
    let mut queues = RunQueues::new();
    switch(&mut queues, 10, idle(), 0, fair(1, 1, 1_000_000, None));
    queues.apply(&event(11, wakeup(fair(2, 1, 0, None))));
    queues.apply(&event(
        12,
        wakeup(Task {
            pid: 3,
            tgid: 3,
            prio: 98,
            ..Task::default()
        }),
    ));
    assert_eq!(picks(&queues).0, Some(3));
}

#[test]
fn a_group_in_which_something_waits_keeps_the_turn() {
    let group = |deadline| Entity {
        vruntime: 4_000_000,
        deadline: Some(deadline),
        slice: Some(3_000_000),
        weight: NICE_0,
        cfs_rq: 100,
    };
    let (ours, other) = (group(7_000_000), group(6_000_000));
    let mut queues = RunQueues::new();
    let current = below(fair(1, 1, 0, Some(3_000_000)), ours);
    switch(&mut queues, 10, idle(), 0, current);
    let rival = below(fair(3, 2, 0, Some(3_000_000)), other);
    queues.apply(&event(11, wakeup(rival)));
    assert_eq!(picks(&queues).0, Some(3));
    // Eligible both, and the other's deadline is earlier: but ours has not left its queue.
    let sibling = below(fair(2, 1, 0, Some(3_000_000)), ours);
    queues.apply(&event(12, wakeup(sibling)));
    assert_eq!(picks(&queues).0, Some(2));
}

#[test]
fn a_group_in_which_all_sleep_delayed_counts_where_it_is_queued() {
    let group = Entity {
        vruntime: 10_000_000,
        deadline: Some(13_000_000),
        slice: Some(3_000_000),
        weight: NICE_0,
        cfs_rq: 100,
    };
    let with = |delayed| {
        let mut queues = RunQueues::new();
        let mut sleeper = below(fair(9, 5, 0, Some(3_000_000)), group);
        sleeper.fair.as_mut().expect("fair").delayed = Some(delayed);
        let current = fair(1, 100, 2_000_000, Some(5_000_000));
        switch(&mut queues, 10, idle(), 0, sleeper.clone());
        switch(&mut queues, 20, sleeper, 1, current);
        queues.apply(&event(21, wakeup(fair(2, 100, 3_000_000, Some(4_000_000)))));
        queues.apply(&event(22, wakeup(fair(3, 100, 2_200_000, Some(8_000_000)))));
        picks(&queues).0
    };
    // Of those two alone the mean is 2.6 ms, with the group 5.07 ms.
    assert_eq!(with(false), Some(3));
    assert_eq!(with(true), Some(2));
}
