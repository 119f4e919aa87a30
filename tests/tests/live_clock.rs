//! Times of events against the clock that a task reads for itself.

use kernoracle::{
    priority,
    probe::{Capture, Config},
    trace::event::{Body, Event},
};
use kernoracle_tests::live_or_skip;
use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A parent that waits for its child on the same CPU time and again, and looks at the clock before and behind; prints each pair of times, in ns.
const TURNS: &str = "import os, time
receive, send = os.pipe()
os.sched_setaffinity(0, [0])
if os.fork() == 0:
    os.close(receive)
    for turn in range(2000):
        time.sleep(.01 if turn % 400 == 0 else .0002)
        os.write(send, b'x')
    os._exit(0)
turns = []
for turn in range(2000):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    os.read(receive, 1)
    turns.append((before, time.clock_gettime_ns(time.CLOCK_MONOTONIC)))
for turn in turns: print(*turn)";

/// The parent leaves the CPU between its two looks at the clock, is woken between them, and comes back between them.
#[test]
fn events_are_when_the_task_says_that_they_were() {
    let _alone = live_or_skip!("python3");
    let mut capture = Capture::start(&Config {
        ring_bytes: 16 << 20,
        cpus: Vec::new(),
        include_self: false,
        latency: Duration::from_millis(10),
    })
    .unwrap();
    if let Err(error) = priority::favour_reader(1) {
        println!("the reader keeps its priority: {error}");
    }
    let turns = thread::spawn(|| {
        let child = Command::new("python3")
            .args(["-c", TURNS])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let pid = child.id();
        (pid, child.wait_with_output().expect("its output is read"))
    });
    let mut events: Vec<Event> = Vec::new();
    let end = Instant::now() + Duration::from_secs(60);
    while !turns.is_finished() && Instant::now() < end {
        capture.wait().unwrap();
        capture
            .drain(10_000, &mut |event| events.push(event.clone()))
            .unwrap();
    }
    let (pid, output) = turns.join().unwrap();
    let turns: Vec<(u64, u64)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (before, after) = line.split_once(' ').expect("two times");
            (before.parse().unwrap(), after.parse().unwrap())
        })
        .collect();
    assert_eq!(turns.len(), 2000);
    let within = |ts: u64| {
        let behind = turns.partition_point(|&(before, _)| before <= ts);
        behind > 0 && ts <= turns[behind - 1].1
    };
    let (first, last) = (turns[0].0, turns[1999].1);
    let mut left = [0, 0];
    let mut entered = [0, 0];
    let mut woken = [0, 0];
    for event in events.iter().filter(|e| (first..=last).contains(&e.ts_ns)) {
        let count = match &event.body {
            Body::Switch(switch) if switch.prev.pid == pid && switch.prev_state != 0 => &mut left,
            Body::Switch(switch) if switch.next.pid == pid => &mut entered,
            Body::Wake(wake) if wake.task.pid == pid => &mut woken,
            _ => continue,
        };
        count[usize::from(within(event.ts_ns))] += 1;
    }
    println!("left {left:?}, entered {entered:?}, woken {woken:?}: outside, within");
    for [outside, within] in [left, entered, woken] {
        // Not all: it need not wait, may be preempted elsewhere, and the host may halt the machine between the kernel's look at its clock and ours.
        assert!(within >= 1900, "{within} within, {outside} outside");
        assert!(outside <= 40, "{within} within, {outside} outside");
    }
}
