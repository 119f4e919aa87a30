//! Each rule by which an event is expected: what follows it costs nothing in its stream.

use super::{Codec, Columns, Stream, number, stream::Role};
use crate::trace::event::{Body, Comm, Entity, Event, Fair, Switch, Task, Wake, WakeKind};

const NICE_0: u32 = 1024 << 10;
const SLICE: u32 = 2_800_000;
const START: u64 = 1_000_000_000;

/// The streams that the last event fills; the ones before it are context.
fn cost(events: &[Event]) -> Vec<(u8, Vec<u8>)> {
    let (mut codec, mut columns) = (Codec::default(), Columns::new());
    let (last, before) = events.split_last().unwrap();
    for event in before {
        codec.event(&mut columns, &mut event.clone()).unwrap();
    }
    columns.take(|_, _| {});
    codec.event(&mut columns, &mut last.clone()).unwrap();
    let mut streams = Vec::new();
    columns.take(|stream, bytes| streams.push((stream.0, bytes.to_vec())));
    streams
}

fn costs(events: &[Event], stream: Stream) -> bool {
    cost(events).iter().any(|(id, _)| *id == stream.0)
}

/// What the last event has in a stream, as a number's symbol.
fn symbol(events: &[Event], stream: Stream) -> Option<u8> {
    cost(events)
        .into_iter()
        .find_map(|(id, bytes)| (id == stream.0).then(|| bytes[0]))
}

fn entity(vruntime: u64, cfs_rq: u32) -> Entity {
    let deadline = Some(vruntime + u64::from(SLICE));
    Entity {
        vruntime,
        deadline,
        slice: Some(SLICE),
        weight: NICE_0,
        cfs_rq,
    }
}

/// A fair task in a group of the root queue, which is 0.
fn task(pid: u32, group: u32) -> Task {
    let vruntime = u64::from(pid) << 32;
    let fair = Fair {
        own: entity(vruntime, group),
        sum_exec_ns: u64::from(pid) << 20,
        vlag: Some(-5),
        delayed: Some(false),
        depth: 1,
        parents: [entity(u64::from(group) << 24, 0)].into_iter().collect(),
    };
    let comm = Comm::new("t");
    Task {
        pid,
        tgid: pid,
        comm,
        prio: 120,
        policy: 0,
        kthread: false,
        on_rq: true,
        fair: Some(fair),
    }
}

fn fair(task: &mut Task) -> &mut Fair {
    task.fair.as_mut().unwrap()
}

/// The task after it has run, and its group with it.
fn ran(task: &Task, ns: u64) -> Task {
    let mut task = task.clone();
    let fair = fair(&mut task);
    fair.sum_exec_ns += ns;
    for entity in std::iter::once(&mut fair.own).chain(&mut fair.parents) {
        entity.vruntime += super::fair::virtual_ns(ns, entity.weight);
    }
    task
}

fn event(seq: u64, ts_ns: u64, body: Body) -> Event {
    Event {
        ts_ns: START + ts_ns,
        seq,
        cpu: 0,
        body,
    }
}

fn switch(seq: u64, ts_ns: u64, prev: &Task, next: &Task) -> Event {
    let (prev, next) = (prev.clone(), next.clone());
    let prev_state = u32::from(!prev.on_rq);
    event(
        seq,
        ts_ns,
        Body::Switch(Switch {
            prev,
            next,
            prev_state,
            preempt: false,
            merged: false,
            hidden_ns: 0,
        }),
    )
}

fn wake(seq: u64, ts_ns: u64, kind: WakeKind, waker_pid: u32, task: &Task) -> Event {
    event(
        seq,
        ts_ns,
        Body::Wake(Wake {
            kind,
            waker_pid,
            target_cpu: 0,
            task: task.clone(),
        }),
    )
}

#[test]
fn prev_is_who_entered_last() {
    let [a, b, c] = [task(1, 7), task(2, 8), task(3, 9)];
    let before = switch(0, 0, &a, &b);
    assert!(!costs(
        &[before.clone(), switch(1, 50, &b, &c)],
        Stream::WHO_PREV
    ));
    assert!(costs(&[before, switch(1, 50, &a, &c)], Stream::WHO_PREV));
}

#[test]
fn numbers_follow_each_other_also_across_gaps() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let gap = event(10, 0, Body::Gap { lost: 5 });
    assert!(!costs(&[gap.clone(), switch(15, 50, &a, &b)], Stream::SEQ));
    assert!(costs(&[gap, switch(11, 50, &a, &b)], Stream::SEQ));
}

#[test]
fn who_is_waking_wakes_and_who_runs_is_the_waker() {
    let [a, b, c] = [task(1, 7), task(2, 8), task(3, 9)];
    let before = [switch(0, 0, &a, &b), wake(1, 10, WakeKind::Waking, 2, &c)];
    let with = |event: Event| [&before[..], &[event]].concat();
    let same = cost(&with(wake(2, 20, WakeKind::Wakeup, 2, &c)));
    assert!(
        same.iter()
            .all(|(id, _)| ![Stream::WHO_OTHER.0, Stream::WAKER.0].contains(id))
    );
    assert!(costs(
        &with(wake(2, 20, WakeKind::Wakeup, 2, &a)),
        Stream::WHO_OTHER
    ));
    assert!(costs(
        &with(wake(2, 20, WakeKind::Wakeup, 1, &c)),
        Stream::WAKER
    ));
    // Migrations lie between the two.
    let migrate = |pid| {
        event(
            2,
            15,
            Body::Migrate {
                pid,
                from_cpu: 0,
                to_cpu: 1,
            },
        )
    };
    assert!(!costs(&with(migrate(3)), Stream::WAKER));
    assert!(costs(&with(migrate(1)), Stream::WAKER));
}

#[test]
fn run_time_is_the_time_since_the_switch() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let after = |ran_ns| [switch(0, 0, &b, &a), switch(1, 9_000, &ran(&a, ran_ns), &b)];
    assert!(!costs(&after(9_000), Role::Prev.sum_exec()));
    assert_eq!(
        symbol(&after(9_003), Role::Prev.sum_exec()),
        Some(number::split(3).symbol)
    );

    let mut hidden = after(7_000);
    let Body::Switch(last) = &mut hidden[1].body else {
        unreachable!()
    };
    last.hidden_ns = 2_000;
    assert!(!costs(&hidden, Role::Prev.sum_exec()));
}

#[test]
fn vruntimes_follow_the_run_time_by_weight() {
    for weight in [NICE_0, 335 << 10, 3] {
        let [mut a, b] = [task(1, 7), task(2, 8)];
        fair(&mut a).own.weight = weight;
        let moved = ran(&a, 9_000);
        let events = |prev: &Task| [switch(0, 0, &b, &a), switch(1, 9_100, prev, &b)];
        for level in 0..2 {
            assert!(
                !costs(&events(&moved), Role::Prev.vruntime(level)),
                "weight {weight}, level {level}"
            );
        }
        let mut off = moved.clone();
        fair(&mut off).own.vruntime += 1;
        assert_eq!(
            symbol(&events(&off), Role::Prev.vruntime(0)),
            Some(number::split(1).symbol)
        );
    }
}

#[test]
fn a_group_is_known_by_any_of_its_tasks() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let mut sibling = task(3, 7);
    let after = ran(&a, 9_000);
    let before = [
        switch(0, 0, &b, &a),
        wake(1, 10, WakeKind::Waking, 1, &sibling),
        switch(2, 9_000, &after, &b),
    ];
    fair(&mut sibling).parents = fair(&mut after.clone()).parents.clone();
    let events = [&before[..], &[switch(3, 9_500, &ran(&b, 500), &sibling)]].concat();
    assert!(!costs(&events, Role::Next.vruntime(1)));
}

#[test]
fn a_running_group_moves_with_the_clock() {
    let [a, b, sibling] = [task(1, 7), task(2, 8), task(3, 7)];
    let mut woken = sibling.clone();
    fair(&mut woken).parents[0].vruntime += 4_003;
    let events = [
        switch(0, 0, &b, &a),
        wake(1, 10, WakeKind::Waking, 1, &sibling),
        wake(2, 4_000, WakeKind::Wakeup, 1, &woken),
    ];
    assert!(!costs(&events[..2], Role::Waking.vruntime(1)));
    assert_eq!(
        symbol(&events, Role::Wakeup.vruntime(1)),
        Some(number::split(3).symbol)
    );
}

#[test]
fn who_is_placed_anew_lands_near_its_queue() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let mut placed = b.clone();
    fair(&mut placed).parents[0].vruntime = (7 << 24) + 4_000 - 2;
    let events = [
        switch(0, 0, &b, &a),
        wake(1, 4_000, WakeKind::Wakeup, 1, &placed),
    ];
    assert_eq!(
        symbol(&events, Role::Wakeup.vruntime(1)),
        Some(number::split(-2).symbol)
    );
}

#[test]
fn deadlines_stay_or_are_set_anew_or_move_along() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let costs_with = |vruntime: u64, deadline: u64| {
        let mut woken = b.clone();
        fair(&mut woken).own.vruntime = vruntime;
        fair(&mut woken).own.deadline = Some(deadline);
        costs(
            &[
                switch(0, 0, &b, &a),
                wake(1, 10, WakeKind::Wakeup, 1, &woken),
            ],
            Role::Wakeup.deadline(0),
        )
    };
    let Entity {
        vruntime, deadline, ..
    } = fair(&mut b.clone()).own;
    let deadline = deadline.unwrap();
    assert!(!costs_with(vruntime + 70, deadline));
    assert!(!costs_with(vruntime + 70, vruntime + 70 + u64::from(SLICE)));
    let mut early = task(2, 8);
    fair(&mut early).own.deadline = Some(vruntime + 100);
    let mut moved = early.clone();
    fair(&mut moved).own.vruntime += 70;
    fair(&mut moved).own.deadline = Some(vruntime + 170);
    let events = [
        switch(0, 0, &early, &a),
        wake(1, 10, WakeKind::Wakeup, 1, &moved),
    ];
    assert!(!costs(&events, Role::Wakeup.deadline(0)));
    assert!(costs_with(vruntime + 70, deadline + 1));
}

#[test]
fn vlags_stay_or_are_zero_or_absent_or_the_deadline() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let costs_with = |vlag| {
        let mut woken = b.clone();
        fair(&mut woken).vlag = vlag;
        costs(
            &[
                switch(0, 0, &b, &a),
                wake(1, 10, WakeKind::Wakeup, 1, &woken),
            ],
            Role::Wakeup.vlag(),
        )
    };
    let deadline = fair(&mut b.clone()).own.deadline.unwrap();
    for vlag in [None, Some(0), Some(-5), Some(deadline as i64)] {
        assert!(!costs_with(vlag), "{vlag:?}");
    }
    assert!(costs_with(Some(-6)));
}

#[test]
fn who_sleeps_leaves_the_queue_or_is_delayed() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let mask = |on_rq, delayed, prev_state| {
        let mut prev = ran(&a, 9_000);
        prev.on_rq = on_rq;
        fair(&mut prev).delayed = Some(delayed);
        let mut last = switch(1, 9_000, &prev, &b);
        let Body::Switch(body) = &mut last.body else {
            unreachable!()
        };
        body.prev_state = prev_state;
        symbol(&[switch(0, 0, &b, &a), last], Role::Prev.mask()).unwrap()
    };
    let (running, sleeping, late) = (
        mask(true, false, 0),
        mask(false, false, 1),
        mask(true, true, 1),
    );
    assert_eq!(running, 0);
    assert_eq!(sleeping, 0);
    // That it is still queued is news; that it is then a delayed one is not.
    assert_eq!(late.count_ones(), 1);
    assert_eq!(mask(true, false, 1).count_ones(), 2);
}

#[test]
fn a_change_of_name_or_priority_is_told_once() {
    let [a, b] = [task(1, 7), task(2, 8)];
    let mut renamed = a.clone();
    renamed.comm = Comm::new("other");
    renamed.prio = 130;
    let events = [
        switch(0, 0, &b, &a),
        switch(1, 10, &renamed, &b),
        switch(2, 20, &b, &renamed),
    ];
    assert!(costs(&events[..1], Stream::CARD));
    assert!(costs(&events[..2], Stream::CARD));
    assert!(!costs(&events, Stream::CARD));
}
