use super::*;
use proptest::prelude::*;

const ALL: Present = Present {
    deadline: true,
    slice: true,
    vlag: true,
    vlag_shared: false,
    delayed: true,
};
const NONE: Present = Present {
    deadline: false,
    slice: false,
    vlag: false,
    vlag_shared: false,
    delayed: false,
};

fn bytes_of<T: Plain>(value: &T) -> Vec<u8> {
    // SAFETY: a plain type has no padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }
        .to_vec()
}

fn header_of(kind: Kind, flags: u8) -> Header {
    Header {
        ts_ns: 7,
        lost: 3,
        cpu: 1,
        kind: kind as u8,
        flags,
        reserved: 0,
    }
}

fn task<const N: usize>(pid: u32, depth: u8, flags: u8) -> Task<N> {
    let mut entities = [Entity::default(); N];
    for (level, entity) in entities.iter_mut().enumerate() {
        let level = level as u64;
        *entity = Entity {
            vruntime: 100 + level,
            deadline: 200 + level,
            cfs_rq: 0xffff_8880_0000_0000 + level,
            weight: 1024 << 10,
            slice: 2_800_000,
        };
    }
    let mut comm = [b'x'; 16];
    comm[4] = 0;
    let head = TaskHead {
        comm,
        pid,
        tgid: pid,
        sum_exec_ns: 9,
        vlag: -5,
        prio: 120,
        policy: 0,
        depth,
        flags,
        cpu: 2,
    };
    Task { head, entities }
}

fn fair(task: &event::Task) -> &Fair {
    task.fair.as_ref().unwrap()
}

#[test]
fn deep_switch_is_read_whole() {
    let switch = Switch::<DEEP> {
        header: header_of(Kind::Switch, flags::DEEP | flags::PREEMPT | flags::MERGED),
        prev_state: 1,
        hidden_ns: 44,
        prev: task(
            10,
            5,
            task_flags::FAIR | task_flags::DELAYED | task_flags::ON_RQ,
        ),
        next: task(11, 1, task_flags::FAIR | task_flags::KTHREAD),
    };
    let mut queues = Queues::default();
    let decoded = decode(&bytes_of(&switch), ALL, &mut queues).unwrap();
    assert_eq!(
        (
            decoded.header.cpu,
            decoded.header.lost,
            decoded.header.ts_ns
        ),
        (1, 3, 7)
    );
    let Body::Switch(switch) = decoded.body else {
        panic!("{:?}", decoded.body)
    };
    assert!(switch.preempt && switch.merged);
    assert_eq!((switch.prev_state, switch.hidden_ns), (1, 44));
    assert_eq!(switch.prev.comm.bytes(), b"xxxx");
    assert_eq!(switch.prev.comm.0[5..], [0; 11]);
    let prev = fair(&switch.prev);
    assert_eq!((prev.depth, prev.parents.len()), (5, 3));
    assert_eq!((prev.delayed, prev.vlag), (Some(true), Some(-5)));
    assert_eq!(prev.own.deadline, Some(200));
    // Small numbers in order of first sight, the same for the same queue.
    assert_eq!(
        [
            prev.own.cfs_rq,
            prev.parents[0].cfs_rq,
            prev.parents[2].cfs_rq
        ],
        [1, 2, 4]
    );
    let next = fair(&switch.next);
    assert_eq!((next.own.cfs_rq, next.parents.len()), (1, 1));
    assert!(switch.next.kthread && !switch.next.on_rq);
}

#[test]
fn absent_fields_are_none_not_zero() {
    let wake = Wake::<SHALLOW> {
        header: header_of(Kind::Waking, 0),
        waker_pid: 5,
        waker_tgid: 5,
        task: task(10, 0, task_flags::FAIR),
    };
    let Body::Wake(wake) = decode(&bytes_of(&wake), NONE, &mut Queues::default())
        .unwrap()
        .body
    else {
        panic!("no wake-up")
    };
    assert_eq!(
        (wake.waker_pid, wake.target_cpu, wake.kind),
        (5, 2, WakeKind::Waking)
    );
    let fair = fair(&wake.task);
    assert_eq!(
        (fair.vlag, fair.delayed, fair.own.deadline, fair.own.slice),
        (None, None, None, None)
    );
    assert!(fair.parents.is_empty());
}

#[test]
fn shared_vlag_is_given_only_where_it_is_the_lag() {
    let present = Present {
        vlag_shared: true,
        ..ALL
    };
    let vlags = |prev_state| {
        let switch = Switch::<SHALLOW> {
            header: header_of(Kind::Switch, 0),
            prev_state,
            hidden_ns: 0,
            prev: task(10, 0, task_flags::FAIR),
            next: task(11, 0, task_flags::FAIR),
        };
        match decode(&bytes_of(&switch), present, &mut Queues::default())
            .unwrap()
            .body
        {
            Body::Switch(switch) => (fair(&switch.prev).vlag, fair(&switch.next).vlag),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(vlags(1), (Some(-5), None));
    assert_eq!(vlags(0), (None, None));
}

#[test]
fn other_classes_have_no_fair_state() {
    let snapshot = Snapshot::<SHALLOW> {
        header: header_of(Kind::Snapshot, 0),
        state: 0,
        task: task(10, 0, task_flags::ON_RQ | task_flags::ON_CPU),
    };
    let Body::Snapshot(snapshot) = decode(&bytes_of(&snapshot), ALL, &mut Queues::default())
        .unwrap()
        .body
    else {
        panic!("no snapshot")
    };
    assert_eq!(snapshot.task.fair, None);
    assert!(snapshot.on_cpu && snapshot.task.on_rq);
}

#[test]
fn a_wrong_length_is_told_with_both_lengths() {
    let life = Life {
        header: header_of(Kind::Exec, 0),
        pid: 1,
        tgid: 1,
        other_pid: 2,
        reserved: 0,
        comm: [b'a'; 16],
    };
    let bytes = bytes_of(&life);
    let error = decode(&bytes[..40], ALL, &mut Queues::default()).unwrap_err();
    assert_eq!(
        error,
        BadRecord::Length {
            kind: Kind::Exec,
            len: 40,
            expected: bytes.len()
        }
    );
    let Body::Exec { comm, old_pid, .. } =
        decode(&bytes, ALL, &mut Queues::default()).unwrap().body
    else {
        panic!("no exec")
    };
    assert_eq!((comm.bytes(), old_pid), (&[b'a'; 15][..], 2));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes, ALL, &mut Queues::default());
    }

    /// Whatever the fields hold, a record of the right length and kind is an event.
    #[test]
    fn right_lengths_are_read(
        kind in 1..=10_u8,
        deep in any::<bool>(),
        mut bytes in prop::collection::vec(any::<u8>(), 600),
    ) {
        let len = match (kind, deep) {
            (1, false) => size_of::<Switch<SHALLOW>>(),
            (1, true) => size_of::<Switch<DEEP>>(),
            (2..=4, false) => size_of::<Wake<SHALLOW>>(),
            (2..=4, true) => size_of::<Wake<DEEP>>(),
            (5, _) => size_of::<Migrate>(),
            (10, false) => size_of::<Snapshot<SHALLOW>>(),
            (10, true) => size_of::<Snapshot<DEEP>>(),
            _ => size_of::<Life>(),
        };
        bytes.truncate(len);
        bytes[20] = kind;
        bytes[21] = u8::from(deep) * flags::DEEP;
        prop_assert!(decode(&bytes, ALL, &mut Queues::default()).is_ok());
        bytes.pop();
        prop_assert!(decode(&bytes, ALL, &mut Queues::default()).is_err());
    }
}

#[test]
fn a_wakeup_tells_of_its_waking() {
    let wake = |flags| Wake::<SHALLOW> {
        header: header_of(Kind::Wakeup, flags),
        waker_pid: 3,
        waker_tgid: 3,
        task: task(10, 1, task_flags::FAIR | task_flags::ON_RQ),
    };
    let read = |flags| decode(&bytes_of(&wake(flags)), ALL, &mut Queues::default()).unwrap();
    assert!(read(0).waking().is_none());
    let both = read(flags::WITH_WAKING);
    let (Some(Body::Wake(waking)), Body::Wake(wakeup)) = (both.waking(), &both.body) else {
        panic!("{both:?}");
    };
    assert_eq!(
        (waking.kind, wakeup.kind),
        (WakeKind::Waking, WakeKind::Wakeup)
    );
    assert_eq!((waking.waker_pid, waking.task.pid), (3, 10));
    assert!(!waking.task.on_rq && wakeup.task.on_rq);
}
