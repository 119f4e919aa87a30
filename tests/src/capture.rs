//! A capture in the test's own process: what it hands out, and whether that adds up.

use kernoracle::{
    probe::{Capture, Config, capabilities},
    trace::event::{Body, Event, Switch},
};
use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// One capture at a time: each test's load would fill the other's ring.
static ALONE: Mutex<()> = Mutex::new(());

/// The default ring, all CPUs, but those that test.
#[must_use]
pub fn config() -> Config {
    Config {
        ring_bytes: 16 << 20,
        cpus: Vec::new(),
        include_self: false,
        latency: Duration::from_millis(10),
    }
}

/// `None`, with the reason printed, where this kernel or user cannot.
pub fn alone() -> Option<MutexGuard<'static, ()>> {
    let guard = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing: Vec<_> = capabilities()
        .into_iter()
        .filter(|c| c.required && !c.ok)
        .collect();
    match missing.first() {
        None => Some(guard),
        Some(check) => {
            println!("skipped: {}: {}", check.name, check.detail);
            None
        }
    }
}

/// What is handed out in that time.
///
/// # Panics
///
/// If it cannot be read.
pub fn collect(capture: &mut Capture, time: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        capture.wait().unwrap();
        capture
            .drain(10_000, &mut |event| events.push(event.clone()))
            .unwrap();
    }
    events
}

/// How long a load may take to do what a test needs, on the slowest machine: one that is emulated beside others.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// As [`collect`], until that is `enough`.
///
/// # Panics
///
/// If that takes too long.
pub fn collect_until(capture: &mut Capture, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
    let begun = Instant::now();
    let mut events = Vec::new();
    while !enough(&events) {
        assert!(
            begun.elapsed() < PATIENCE,
            "too few events: {}",
            events.len()
        );
        events.extend(collect(capture, Duration::from_millis(100)));
    }
    events
}

/// The capture ends, and hands out what is left.
///
/// # Panics
///
/// If something is left behind.
pub fn stop(capture: &mut Capture, events: &mut Vec<Event>) {
    capture.stop().unwrap();
    capture
        .drain(usize::MAX, &mut |event| events.push(event.clone()))
        .unwrap();
    let again = capture
        .drain(usize::MAX, &mut |event| events.push(event.clone()))
        .unwrap();
    assert_eq!(
        (again.events, again.backlog_bytes),
        (0, 0),
        "all was handed out"
    );
}

/// `seen + lost == produced` for each CPU, by what was handed out; the losses.
///
/// # Panics
///
/// If they do not add up.
pub fn account(capture: &Capture, events: &[Event]) -> u64 {
    let mut all_lost = 0;
    for (cpu, counters) in capture.counters().unwrap().into_iter().enumerate() {
        let (mut next_seq, mut seen, mut lost, mut switches, mut ts) = (0, 0, 0, 0, 0);
        for event in events.iter().filter(|event| event.cpu as usize == cpu) {
            assert_eq!(
                event.seq, next_seq,
                "cpu {cpu}: numbers without a hole: {event:?}"
            );
            assert!(event.ts_ns >= ts, "cpu {cpu}: time runs forward: {event:?}");
            ts = event.ts_ns;
            match event.body {
                Body::Gap { lost: n } => {
                    assert!(n > 0, "cpu {cpu}: an empty gap");
                    lost += n;
                    next_seq += n;
                }
                ref body => {
                    switches += u64::from(matches!(body, Body::Switch(_)));
                    seen += 1;
                    next_seq += 1;
                }
            }
        }
        assert_eq!(
            seen + lost,
            counters.produced(),
            "cpu {cpu}: {seen} seen, {lost} lost: {counters:?}"
        );
        assert_eq!(lost, counters.dropped, "cpu {cpu}: {counters:?}");
        assert_eq!(
            switches + counters.dropped_switches,
            counters.switches,
            "cpu {cpu}: switches: {counters:?}"
        );
        assert_eq!(counters.impossible, 0, "cpu {cpu}: {counters:?}");
        all_lost += lost;
    }
    assert_eq!(capture.malformed(), 0);
    assert_eq!(capture.recursion_misses().unwrap(), 0);
    all_lost
}

pub fn switches(events: &[Event], cpu: u32) -> impl Iterator<Item = &Switch> {
    events
        .iter()
        .filter(move |event| event.cpu == cpu)
        .filter_map(|event| match &event.body {
            Body::Switch(switch) => Some(switch),
            _ => None,
        })
}
