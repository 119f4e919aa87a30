//! What the programs do when nobody reads: losses, pauses and wake-ups of the reader; and rings that cannot be.

use kernoracle::{
    probe::{Capture, Config, ProbeError},
    trace::event::Body,
};
use kernoracle_tests::{
    capture::{PATIENCE, account, alone, collect, config, stop, switches},
    load::PingPong,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// While nobody reads.
fn sleep_until(enough: impl Fn() -> bool) {
    let begun = Instant::now();
    while !enough() {
        assert!(begun.elapsed() < PATIENCE, "it does not come");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_ring_loses_and_says_exactly_how_much() {
    let Some(_alone) = alone() else { return };
    let load = PingPong::start();
    let small = Config {
        ring_bytes: 64 * 1024,
        ..config()
    };
    let mut capture = Capture::start(&small).unwrap();
    let lost = |capture: &Capture| -> u64 {
        let counters = capture.counters().unwrap();
        counters.iter().map(|cpu| cpu.dropped).sum()
    };
    // Nobody reads: the ring fills.
    sleep_until(|| lost(&capture) > 0);
    let mut events = collect(&mut capture, Duration::from_millis(300));
    let before = lost(&capture);
    sleep_until(|| lost(&capture) > before);
    // While the load still runs: the short record of its exit would fit where no switch does.
    stop(&mut capture, &mut events);
    drop(load);
    let lost = account(&capture, &events);
    assert!(lost > 0, "{:?}", capture.counters());
    let tail = events.iter().rev().find(|event| event.cpu == 0).unwrap();
    assert!(
        matches!(tail.body, Body::Gap { .. }),
        "the loss behind the last record: {tail:?}"
    );
}

/// Nobody reads: it is the programs that end the burst.
#[test]
fn programs_begin_the_pause_before_more_is_queued_than_allowed() {
    const ALLOWED: u64 = 64 << 10;
    let Some(_alone) = alone() else { return };
    let mut capture = Capture::start(&config()).unwrap();
    let mut events = collect(&mut capture, Duration::from_millis(100));
    capture.limit(ALLOWED);
    assert!(!capture.paused().unwrap());
    let load = PingPong::start();
    sleep_until(|| {
        let activity = capture.activity().unwrap();
        activity.iter().map(|cpu| cpu.skipped).sum::<u64>() > 1000
    });
    assert!(capture.paused().unwrap());
    let before = capture.read_bytes();
    let drained = capture.drain(usize::MAX, &mut |event| events.push(event.clone()));
    assert_eq!(drained.unwrap().backlog_bytes, 0);
    // Forks and exits are recorded in a pause too.
    let queued = capture.read_bytes() - before;
    assert!((ALLOWED..2 * ALLOWED).contains(&queued), "{queued} bytes");
    stop(&mut capture, &mut events);
    drop(load);
    assert_eq!(account(&capture, &events), 0);
}

#[test]
fn programs_wake_the_reader_long_before_its_time() {
    const LONG: Duration = Duration::from_secs(60);
    let Some(_alone) = alone() else { return };
    let mut capture = Capture::start(&Config {
        ring_bytes: 256 * 1024,
        latency: LONG,
        ..config()
    })
    .unwrap();
    let mut events = Vec::new();
    let load = PingPong::start();
    let begun = Instant::now();
    // Again and again: what is looked for next is set back at each end of a drain.
    for _ in 0..20 {
        capture.wait().unwrap();
        assert!(begun.elapsed() < LONG, "it was its time that woke it");
        capture
            .drain(usize::MAX, &mut |event| events.push(event.clone()))
            .unwrap();
    }
    stop(&mut capture, &mut events);
    drop(load);
    assert!(switches(&events, 0).count() > 20 * 32);
    account(&capture, &events);
}

#[test]
fn bad_configurations_are_refused_in_one_line() {
    let refused = |config: Config| {
        let error = Capture::start(&config).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
        error
    };
    assert!(matches!(
        refused(Config {
            ring_bytes: 5000,
            ..config()
        }),
        ProbeError::RingSize {
            bytes: 5000,
            suggestion: 8192,
            ..
        }
    ));
    let Some(_alone) = alone() else { return };
    assert!(matches!(
        refused(Config {
            cpus: vec![0, 4096],
            ..config()
        }),
        ProbeError::NoCpu { cpu: 4096, .. }
    ));
}
