//! Predicting and learning allocate nothing once a trace's tasks are known: a counting allocator watches.

#[path = "../benches/common/oracle.rs"]
mod oracle;
#[path = "../benches/common/stream.rs"]
mod stream;

use kernoracle::oracle::outcome::{Decision, Sink, Unscored};
use kernoracle::oracle::{Learning, Oracle};
use kernoracle::trace::event::Event;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use stream::{Shape, Stream};

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
    // The linear parts and the counts learn at every switch and windows are kept; the network's steps, in candle, are not due here.
    let mut oracle = oracle::embedded(Learning::NEVER - 1, false);
    let mut stream = Stream::new(Shape {
        cpus: 2,
        tasks: 40,
        waiting: 13,
    });
    let mut events = Vec::new();
    // As many windows as the learner keeps go by, and every list grows to its size.
    stream.fill(&mut events, 20_000);
    let mut counted = Counted::default();
    let first = allocations(&mut oracle, &events, &mut counted);
    assert!(first > 100, "the allocator counts: {first}");
    let decisions = counted.decisions;
    stream.fill(&mut events, 20_000);
    let calls = allocations(&mut oracle, &events, &mut counted);
    let decisions = counted.decisions - decisions;
    assert!(decisions > 10_000, "{decisions}");
    assert!(counted.refined > 5_000, "{}", counted.refined);
    assert_eq!(calls, 0, "allocations in {decisions} decisions");
}
