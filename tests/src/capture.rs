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

/// Hands `see` what is handed out in that time.
///
/// # Panics
///
/// If it cannot be read.
pub fn watch(capture: &mut Capture, time: Duration, see: &mut impl FnMut(&Event)) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        capture.wait().unwrap();
        capture.drain(10_000, &mut |event| see(event)).unwrap();
    }
}

/// What is handed out in that time. To keep it takes fresh memory, which of a load that switches without a rest takes more time than there is: [`watch`] it.
///
/// # Panics
///
/// If it cannot be read.
pub fn collect(capture: &mut Capture, time: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    watch(capture, time, &mut |event| events.push(event.clone()));
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

/// The capture ends, and hands `see` what is left.
///
/// # Panics
///
/// If something is left behind.
pub fn watch_end(capture: &mut Capture, see: &mut impl FnMut(&Event)) {
    capture.stop().unwrap();
    capture.drain(usize::MAX, &mut |event| see(event)).unwrap();
    let again = capture.drain(usize::MAX, &mut |event| see(event)).unwrap();
    assert_eq!(
        (again.events, again.backlog_bytes),
        (0, 0),
        "all was handed out"
    );
}

/// The capture ends, and hands out what is left.
///
/// # Panics
///
/// If something is left behind.
pub fn stop(capture: &mut Capture, events: &mut Vec<Event>) {
    watch_end(capture, &mut |event| events.push(event.clone()));
}

/// What was handed out of one CPU.
#[derive(Clone, Debug, Default)]
struct HandedOut {
    next_seq: u64,
    seen: u64,
    lost: u64,
    switches: u64,
    ts_ns: u64,
}

/// Whether what was handed out adds up.
#[derive(Clone, Debug, Default)]
pub struct Account {
    cpus: Vec<HandedOut>,
}

impl Account {
    /// # Panics
    ///
    /// If it does not follow the last one of its CPU.
    pub fn add(&mut self, event: &Event) {
        let cpu = event.cpu as usize;
        if self.cpus.len() <= cpu {
            self.cpus.resize_with(cpu + 1, HandedOut::default);
        }
        let out = &mut self.cpus[cpu];
        assert_eq!(
            event.seq, out.next_seq,
            "cpu {cpu}: numbers without a hole: {event:?}"
        );
        assert!(
            event.ts_ns >= out.ts_ns,
            "cpu {cpu}: time runs forward: {event:?}"
        );
        out.ts_ns = event.ts_ns;
        match event.body {
            Body::Gap { lost: n } => {
                assert!(n > 0, "cpu {cpu}: an empty gap");
                out.lost += n;
                out.next_seq += n;
            }
            ref body => {
                out.switches += u64::from(matches!(body, Body::Switch(_)));
                out.seen += 1;
                out.next_seq += 1;
            }
        }
    }

    /// `seen + lost == produced` for each CPU; the losses.
    ///
    /// # Panics
    ///
    /// If they do not add up.
    pub fn end(mut self, capture: &Capture) -> u64 {
        let counters = capture.counters().unwrap();
        assert!(self.cpus.len() <= counters.len(), "{:?}", self.cpus);
        self.cpus.resize_with(counters.len(), HandedOut::default);
        let mut all_lost = 0;
        for (cpu, (out, counters)) in self.cpus.iter().zip(counters).enumerate() {
            assert_eq!(
                out.seen + out.lost,
                counters.produced(),
                "cpu {cpu}: {out:?}: {counters:?}"
            );
            assert_eq!(out.lost, counters.dropped, "cpu {cpu}: {counters:?}");
            assert_eq!(
                out.switches + counters.dropped_switches,
                counters.switches,
                "cpu {cpu}: switches: {counters:?}"
            );
            assert_eq!(counters.impossible, 0, "cpu {cpu}: {counters:?}");
            all_lost += out.lost;
        }
        assert_eq!(capture.malformed(), 0);
        assert_eq!(capture.recursion_misses().unwrap(), 0);
        all_lost
    }
}

/// [`Account`] of all that was handed out; the losses.
///
/// # Panics
///
/// If they do not add up.
pub fn account(capture: &Capture, events: &[Event]) -> u64 {
    let mut account = Account::default();
    for event in events {
        account.add(event);
    }
    account.end(capture)
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
