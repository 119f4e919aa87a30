//! Predicting and learning allocate nothing once a trace's tasks are known: a counting allocator watches.

use kernoracle::model::Model;
use kernoracle::oracle::outcome::{Decision, Sink, Unscored};
use kernoracle::oracle::{Config, Engine, Learning, Oracle, StartFrom};
use kernoracle::trace::event::{
    Body, Comm, Entity, Event, Fair, MAX_PARENTS, Switch, Task, Wake, WakeKind,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the calls of each thread.
struct Counting;

fn count() {
    // While a thread ends there is nothing to count in.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, new_size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Counted {
    decisions: u64,
    refined: u64,
}

impl Sink for Counted {
    fn decision(&mut self, decision: &Decision) {
        self.decisions += 1;
        self.refined += u64::from(decision.refined.is_some());
    }

    fn unscored(&mut self, _: u64, _: u32, _: Unscored) {}

    fn gap(&mut self, _: u64, _: u32, _: u64) {}
}

/// Tasks in two groups; about a third of them wait.
const TASKS: u32 = 40;

fn task(number: u32, now_ns: u64) -> Task {
    let entity = |cfs_rq, vruntime: u64| Entity {
        vruntime,
        deadline: Some(vruntime + 2_800_000),
        slice: Some(2_800_000),
        weight: 1024 << 10,
        cfs_rq,
    };
    let group = 1 + number % 2;
    let mut parents = arrayvec::ArrayVec::<Entity, MAX_PARENTS>::new();
    parents.push(entity(0, now_ns / 2 + u64::from(group)));
    Task {
        pid: 100 + number,
        tgid: 100 + number,
        comm: Comm::new(["worker", "client"][number as usize % 2]),
        prio: 120,
        on_rq: true,
        fair: Some(Fair {
            own: entity(group, now_ns + u64::from(number) * 1_000),
            sum_exec_ns: 0,
            vlag: Some(0),
            delayed: Some(false),
            depth: 1,
            parents,
        }),
        ..Task::default()
    }
}

/// Each task in turn runs, wakes another one and sleeps, or is preempted.
fn trace(switches: u64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut random = 88_172_645_463_325_252_u64;
    let mut now_ns = 1_u64 << 40;
    let mut add = |ts_ns, body| {
        let seq = events.len() as u64;
        events.push(Event {
            ts_ns,
            seq,
            cpu: 0,
            body,
        });
    };
    let mut waiting: Vec<u32> = (1..TASKS / 3).collect();
    let mut current = 0;
    for _ in 0..switches {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        now_ns += 5_000 + random % 20_000;
        let woken = (random >> 20) as u32 % TASKS;
        if woken != current && !waiting.contains(&woken) {
            for kind in [WakeKind::Waking, WakeKind::Wakeup] {
                add(
                    now_ns,
                    Body::Wake(Wake {
                        kind,
                        waker_pid: 100 + current,
                        target_cpu: 0,
                        task: task(woken, now_ns),
                    }),
                );
            }
            waiting.push(woken);
        }
        if waiting.is_empty() {
            continue;
        }
        let stays = (random >> 40).is_multiple_of(4) || waiting.len() < 4;
        let next = waiting.remove(0);
        add(
            now_ns + 1_000,
            Body::Switch(Switch {
                prev: task(current, now_ns),
                next: task(next, now_ns),
                prev_state: u32::from(!stays),
                preempt: false,
                merged: false,
                hidden_ns: 0,
            }),
        );
        if stays {
            waiting.push(current);
        }
        current = next;
    }
    events
}

fn allocations(oracle: &mut Oracle, events: &[Event], counted: &mut Counted) -> u64 {
    let before = CALLS.get();
    for event in events {
        oracle.event(event, counted);
        oracle.settle();
    }
    CALLS.get() - before
}

#[test]
fn predicting_and_learning_allocate_nothing() {
    let config = Config {
        window: 64,
        seed: 1,
        // The linear parts and the counts learn at every switch; the network's steps, in candle, are not due here.
        learning: Learning::Inline { every: u32::MAX },
        engine: Engine::Plain,
        model: StartFrom::Default,
        live: false,
        timed: false,
    };
    let model = Model::embedded().expect("the binary holds a model");
    let mut oracle =
        Oracle::with_model(config, model, "embedded".to_owned()).expect("it is usable");
    let events = trace(30_000);
    // As many windows as the learner keeps go by, and every list grows to its size.
    let (warm_up, rest) = events.split_at(events.len() / 2);
    let mut counted = Counted::default();
    let first = allocations(&mut oracle, warm_up, &mut counted);
    assert!(first > 100, "the allocator counts: {first}");
    let decisions = counted.decisions;
    let calls = allocations(&mut oracle, rest, &mut counted);
    let decisions = counted.decisions - decisions;
    assert!(decisions > 10_000, "{decisions}");
    assert!(counted.refined > 5_000, "{}", counted.refined);
    assert_eq!(calls, 0, "allocations in {decisions} decisions");
}
