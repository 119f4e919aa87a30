use super::{bytes::Plain, *};
use crate::trace::event::{Fair, MAX_PARENTS};
use kernoracle_common::{Card, card_flags, check};
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
    }
}

fn above<const N: usize>() -> [Entity; N] {
    let mut entities = [Entity::default(); N];
    for (level, entity) in (1..).zip(&mut entities) {
        *entity = Entity {
            vruntime: 100 + level,
            deadline: 200 + level,
            cfs_rq: 0xffff_8880_0000_0000 + level,
            weight: 1024 << 10,
            slice: 2_800_000,
        };
    }
    entities
}

/// A task with that card.
fn task(card: Card, flags: u8) -> Task {
    Task {
        pid: card.pid,
        cpu: 2,
        flags,
        check: check(card.digest()),
        sum_exec_ns: 9,
        vlag: -5,
        vruntime: 100,
        deadline: 200,
        cfs_rq: 0xffff_8880_0000_0000,
    }
}

fn card(pid: u32, depth: u8, flags: u8) -> Card {
    let mut comm = [b'x'; 16];
    comm[4] = 0;
    Card {
        comm,
        pid,
        tgid: pid,
        weight: 1024 << 10,
        slice: 2_800_000,
        prio: 120,
        policy: 0,
        depth,
        flags,
        idle_cpu: 0,
    }
}

/// With these tasks introduced.
fn known(cards: &[Card]) -> Known {
    let mut known = Known::default();
    for &card in cards {
        let header = header_of(Kind::Introduction, 0);
        let bytes = bytes_of(&Introduction { header, card });
        assert!(decode(&bytes, ALL, &mut known).unwrap().is_none());
    }
    known
}

/// A record that has been read.
#[derive(Debug)]
struct Decoded {
    header: Header,
    body: Body,
}

impl Decoded {
    fn waking(&self) -> Option<Body> {
        let mut body = self.body.clone();
        let wakeup = as_waking(&self.header, &mut body)?;
        let waking = body.clone();
        wakeup.restore(&mut body);
        assert_eq!(body, self.body, "the wake-up's again");
        Some(waking)
    }
}

fn decode(bytes: &[u8], present: Present, known: &mut Known) -> Result<Option<Decoded>, BadRecord> {
    // What lies there from the record before must not show.
    let mut scratch = Scratch::default();
    let mut left = event::Task::unknown(99, Comm([b'z'; 16]));
    let parents = [event::Entity::default(); MAX_PARENTS];
    left.fair = Some(Fair {
        parents: parents.into(),
        ..Fair::default()
    });
    if let Body::Switch(switch) = &mut scratch.switch.body {
        (switch.prev, switch.next) = (left.clone(), left.clone());
        (switch.preempt, switch.merged) = (true, true);
    }
    if let Body::Wake(wake) = &mut scratch.wake.body {
        wake.task = left;
    }
    let decoded = super::decode(bytes, present, known, &mut scratch)?;
    Ok(decoded.map(|(header, event)| Decoded {
        header,
        body: event.body.clone(),
    }))
}

/// The event of a record that is one.
fn event_of<T: Plain>(record: &T, present: Present, known: &mut Known) -> Decoded {
    decode(&bytes_of(record), present, known)
        .unwrap()
        .expect("an event")
}

fn fair(task: &event::Task) -> &Fair {
    task.fair.as_ref().unwrap()
}

fn switch<const ABOVE: usize>(flags: u8, prev: Task, next: Task) -> Switch<ABOVE> {
    Switch {
        header: header_of(Kind::Switch, flags),
        hidden_ns: 44,
        prev_state: 1,
        reserved: 0,
        prev,
        next,
        above: above(),
    }
}

#[test]
fn deep_switch_is_read_whole() {
    let cards = [
        card(10, 5, card_flags::FAIR),
        card(11, 1, card_flags::FAIR | card_flags::KTHREAD),
    ];
    let record = switch::<{ 2 * DEEP }>(
        flags::DEEP | flags::PREEMPT | flags::MERGED,
        task(
            cards[0],
            task_flags::ABOVE | task_flags::DELAYED | task_flags::ON_RQ,
        ),
        task(cards[1], task_flags::ABOVE),
    );
    let mut known = known(&cards);
    let decoded = event_of(&record, ALL, &mut known);
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
    assert_eq!(next.parents[0].vruntime, 100 + 4, "behind prev's three");
    assert!(switch.next.kthread && !switch.next.on_rq);
}

#[test]
fn what_is_above_both_tasks_is_given_to_both() {
    let cards = [10, 11].map(|pid| card(pid, 1, card_flags::FAIR));
    let [prev, next] = cards.map(|card| task(card, task_flags::ABOVE));
    let record = switch::<SHALLOW>(flags::SHARED, prev, next);
    let mut known = known(&cards);
    let Body::Switch(switch) = event_of(&record, ALL, &mut known).body else {
        panic!("no switch")
    };
    let (prev, next) = (fair(&switch.prev), fair(&switch.next));
    assert_eq!(prev.parents.len(), 1);
    assert_eq!(prev.parents, next.parents);
}

#[test]
fn only_one_task_may_have_a_group_above_it() {
    for (prev, next) in [(task_flags::ABOVE, 0), (0, task_flags::ABOVE)] {
        let cards = [(10, prev), (11, next)]
            .map(|(pid, above)| card(pid, u8::from(above != 0), card_flags::FAIR));
        let record = switch::<SHALLOW>(0, task(cards[0], prev), task(cards[1], next));
        let mut known = known(&cards);
        let Body::Switch(switch) = event_of(&record, ALL, &mut known).body else {
            panic!("no switch")
        };
        assert_eq!(fair(&switch.prev).parents.len(), usize::from(prev != 0));
        assert_eq!(fair(&switch.next).parents.len(), usize::from(next != 0));
    }
}

#[test]
fn a_record_has_the_name_of_its_card() {
    let [prev, next] = [10, 11].map(|pid| card(pid, 0, 0));
    let renamed = Card {
        comm: [b'y'; 16],
        ..next
    };
    let mut known = known(&[prev, next, renamed, next]);
    let mut names = |next| {
        let record = switch::<0>(0, task(prev, 0), task(next, 0));
        match event_of(&record, ALL, &mut known).body {
            Body::Switch(switch) => [switch.prev.comm, switch.next.comm].map(|comm| comm.0[0]),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(names(next), [b'x', b'x']);
    // Though the card before has been told again behind it, by a program that read it earlier.
    assert_eq!(names(renamed), [b'x', b'y']);
}

#[test]
fn a_task_that_was_not_introduced_is_told_not_guessed() {
    let [prev, next] = [10, 11].map(|pid| card(pid, 0, 0));
    let other = Card {
        comm: [b'y'; 16],
        ..next
    };
    for cards in [&[prev][..], &[prev, other]] {
        let record = switch::<0>(0, task(prev, 0), task(next, 0));
        assert_eq!(
            decode(&bytes_of(&record), ALL, &mut known(cards)).unwrap_err(),
            BadRecord::Stranger { pid: 11 }
        );
    }
}

fn wake<const ABOVE: usize>(kind: Kind, flags: u8, task: Task) -> Wake<ABOVE> {
    Wake {
        header: header_of(kind, flags),
        waker_pid: 5,
        reserved: 0,
        task,
        above: above(),
    }
}

/// A kernel may have any of the fields without the others.
#[test]
fn each_optional_field_is_asked_for_by_itself() {
    let card = card(10, 1, card_flags::FAIR);
    let record = wake::<SHALLOW>(Kind::Wakeup, 0, task(card, task_flags::ABOVE));
    let mut known = known(&[card]);
    let one = |field: usize| Present {
        deadline: field == 0,
        slice: field == 1,
        vlag: field == 2,
        vlag_shared: false,
        delayed: field == 3,
    };
    for field in 0..4 {
        let Body::Wake(wake) = event_of(&record, one(field), &mut known).body else {
            panic!("no wake-up")
        };
        let fair = fair(&wake.task);
        for entity in [&fair.own, &fair.parents[0]] {
            let there = (entity.deadline.is_some(), entity.slice.is_some());
            assert_eq!(there, (field == 0, field == 1), "{entity:?}");
        }
        let there = (fair.vlag.is_some(), fair.delayed.is_some());
        assert_eq!(there, (field == 2, field == 3), "{fair:?}");
    }
}

#[test]
fn absent_fields_are_none_not_zero() {
    let card = card(10, 0, card_flags::FAIR);
    let record = wake::<0>(Kind::Waking, 0, task(card, 0));
    let mut known = known(&[card]);
    let Body::Wake(wake) = event_of(&record, NONE, &mut known).body else {
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
    let cards = [10, 11].map(|pid| card(pid, 0, card_flags::FAIR));
    let vlags = |prev_state| {
        let record = Switch {
            prev_state,
            ..switch::<0>(0, task(cards[0], 0), task(cards[1], 0))
        };
        match event_of(&record, present, &mut known(&cards)).body {
            Body::Switch(switch) => (fair(&switch.prev).vlag, fair(&switch.next).vlag),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(vlags(1), (Some(-5), None));
    assert_eq!(vlags(0), (None, None));
}

fn snapshot<const ABOVE: usize>(card: Card, flags: u8) -> Snapshot<ABOVE> {
    Snapshot {
        header: header_of(Kind::Snapshot, 0),
        state: 0,
        reserved: 0,
        task: task(card, flags),
        above: above(),
    }
}

#[test]
fn other_classes_have_no_fair_state() {
    let card = card(10, 0, 0);
    let record = snapshot::<0>(card, task_flags::ON_RQ | task_flags::ON_CPU);
    let mut known = known(&[card]);
    let Body::Snapshot(snapshot) = event_of(&record, ALL, &mut known).body else {
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
    let error = decode(&bytes[..40], ALL, &mut Known::default()).unwrap_err();
    assert_eq!(
        error,
        BadRecord::Length {
            kind: Kind::Exec,
            len: 40,
            expected: bytes.len()
        }
    );
    let Body::Exec { comm, old_pid, .. } = event_of(&life, ALL, &mut Known::default()).body else {
        panic!("no exec")
    };
    assert_eq!((comm.bytes(), old_pid), (&[b'a'; 15][..], 2));
}

/// Every task that the bytes name, as these rely on it.
fn introduce(known: &mut Known, bytes: &mut [u8], at: &[usize], depth: u8, flags: u8) {
    for &at in at {
        let pid = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let cpu = u16::from_le_bytes(bytes[at + 4..at + 6].try_into().unwrap());
        let card = Card {
            idle_cpu: if pid == 0 { cpu.into() } else { 0 },
            ..card(pid, depth, flags)
        };
        bytes[at + 7] = check(card.digest());
        known.introduced.add(card);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes, ALL, &mut Known::default());
    }

    /// Whatever the fields and the cards hold, a record of the right length and kind is an event, and no other length is.
    #[test]
    fn right_lengths_are_read(
        kind in 1..=11_u8,
        head in any::<u8>(),
        above in any::<[bool; 2]>(),
        depth in any::<u8>(),
        card in any::<u8>(),
        mut bytes in prop::collection::vec(any::<u8>(), 600),
    ) {
        bytes[14] = kind;
        bytes[15] = head;
        let levels = if head & flags::DEEP == 0 { SHALLOW } else { DEEP };
        let shared = head & flags::SHARED != 0;
        let entity = size_of::<Entity>();
        let (prev, next) = (32, 32 + size_of::<Task>());
        let (len, tasks): (usize, &[usize]) = match kind {
            1 => {
                let tasks = if shared { 1 } else { above.iter().filter(|&&above| above).count() };
                (size_of::<Switch<0>>() + tasks * levels * entity, &[prev, next])
            }
            2..=4 => (size_of::<Wake<0>>() + usize::from(above[0]) * levels * entity, &[24]),
            5 => (size_of::<Migrate>(), &[]),
            10 => (size_of::<Snapshot<0>>() + usize::from(above[0]) * levels * entity, &[24]),
            11 => (size_of::<Introduction>(), &[]),
            _ => (size_of::<Life>(), &[]),
        };
        for (&at, &above) in tasks.iter().zip(&above) {
            bytes[at + 6] &= !task_flags::ABOVE;
            bytes[at + 6] |= u8::from(above) * task_flags::ABOVE;
        }
        bytes.truncate(len);
        let mut known = Known::default();
        introduce(&mut known, &mut bytes, tasks, depth, card);
        prop_assert_eq!(decode(&bytes, ALL, &mut known).unwrap().is_none(), kind == 11);
        bytes.pop();
        prop_assert!(decode(&bytes, ALL, &mut known).is_err());
    }
}

#[test]
fn a_wakeup_tells_of_its_waking() {
    let card = card(10, 1, card_flags::FAIR);
    let read = |flags| {
        let task = task(card, task_flags::ABOVE | task_flags::ON_RQ);
        let record = wake::<SHALLOW>(Kind::Wakeup, flags, task);
        event_of(&record, ALL, &mut known(&[card]))
    };
    assert!(read(0).waking().is_none());
    let both = read(flags::WITH_WAKING);
    let (Some(Body::Wake(waking)), Body::Wake(wakeup)) = (both.waking(), &both.body) else {
        panic!("{both:?}");
    };
    assert_eq!(
        (waking.kind, wakeup.kind),
        (WakeKind::Waking, WakeKind::Wakeup)
    );
    assert_eq!((waking.waker_pid, waking.task.pid), (5, 10));
    assert!(!waking.task.on_rq && wakeup.task.on_rq);
}
