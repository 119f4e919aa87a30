//! Any events, for tests.

use super::event::{Body, Comm, Entity, Event, Fair, Snapshot, Switch, Task, Wake, WakeKind};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Numbers that go wrong where something is too narrow, and close ones, which the guesses work on.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4_u64,
        (0..100_u64).prop_map(|n| u64::MAX - n),
        (0..10_u64).prop_map(|n| (1 << 40) + n * 2_800_000),
        any::<u64>(),
    ]
}

fn number32() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..4_u32,
        Just(1024 << 10),
        Just(2_800_000),
        Just(u32::MAX),
        any::<u32>()
    ]
}

fn comm() -> impl Strategy<Value = Comm> {
    prop_oneof![
        select(vec!["nginx", "ab", ""]).prop_map(Comm::new),
        any::<[u8; 16]>().prop_map(Comm)
    ]
}

fn entity() -> impl Strategy<Value = Entity> {
    (
        number(),
        option::of(number()),
        option::of(number32()),
        number32(),
        prop_oneof![0..3_u32, any::<u32>()],
    )
        .prop_map(|(vruntime, deadline, slice, weight, cfs_rq)| Entity {
            vruntime,
            deadline,
            slice,
            weight,
            cfs_rq,
        })
}

fn fair() -> impl Strategy<Value = Fair> {
    let vlag = option::of(prop_oneof![
        Just(0),
        any::<i64>(),
        number().prop_map(|n| n as i64)
    ]);
    (
        entity(),
        number(),
        vlag,
        option::of(any::<bool>()),
        any::<u8>(),
        vec(entity(), 0..=3),
    )
        .prop_map(|(own, sum_exec_ns, vlag, delayed, depth, parents)| Fair {
            own,
            sum_exec_ns,
            vlag,
            delayed,
            depth,
            parents: parents.into_iter().collect(),
        })
}

fn task() -> impl Strategy<Value = Task> {
    let ids = (prop_oneof![0..4_u32, any::<u32>()], 0..3_u32, comm());
    (
        ids,
        select(vec![0_u8, 120, 255]),
        0..2_u8,
        any::<(bool, bool)>(),
        option::weighted(0.8, fair()),
    )
        .prop_map(
            |((pid, tgid, comm), prio, policy, (kthread, on_rq), fair)| Task {
                pid,
                tgid,
                comm,
                prio,
                policy,
                kthread,
                on_rq,
                fair,
            },
        )
}

fn body() -> impl Strategy<Value = Body> {
    let switch = (task(), task(), number32(), any::<(bool, bool)>(), number()).prop_map(
        |(prev, next, prev_state, (preempt, merged), hidden_ns)| {
            Body::Switch(Switch {
                prev,
                next,
                prev_state,
                preempt,
                merged,
                hidden_ns,
            })
        },
    );
    let kind = select(vec![WakeKind::Waking, WakeKind::Wakeup, WakeKind::New]);
    let wake =
        (kind, number32(), number32(), task()).prop_map(|(kind, waker_pid, target_cpu, task)| {
            Body::Wake(Wake {
                kind,
                waker_pid,
                target_cpu,
                task,
            })
        });
    let snapshot = (task(), number32(), number32(), any::<bool>()).prop_map(
        |(task, state, target_cpu, on_cpu)| {
            Body::Snapshot(Snapshot {
                task,
                state,
                target_cpu,
                on_cpu,
            })
        },
    );
    let ids = || (number32(), number32(), number32());
    prop_oneof![
        4 => switch,
        4 => wake,
        1 => snapshot,
        1 => ids().prop_map(|(pid, from_cpu, to_cpu)| Body::Migrate { pid, from_cpu, to_cpu }),
        1 => (ids(), comm()).prop_map(|((pid, tgid, parent_pid), comm)| Body::Fork { pid, tgid, parent_pid, comm }),
        1 => (ids(), comm()).prop_map(|((pid, tgid, old_pid), comm)| Body::Exec { pid, tgid, old_pid, comm }),
        1 => (ids(), comm()).prop_map(|((pid, tgid, _), comm)| Body::Exit { pid, tgid, comm }),
        1 => (ids(), comm()).prop_map(|((pid, tgid, _), comm)| Body::Rename { pid, tgid, comm }),
        1 => number().prop_map(|lost| Body::Gap { lost }),
    ]
}

pub fn event() -> impl Strategy<Value = Event> {
    (
        number(),
        number(),
        prop_oneof![0..3_u32, any::<u32>()],
        body(),
    )
        .prop_map(|(ts_ns, seq, cpu, body)| Event {
            ts_ns,
            seq,
            cpu,
            body,
        })
}
