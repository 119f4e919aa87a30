//! The capture on the running kernel: counts, order and chains of what it hands out.

use kernoracle::{
    priority,
    probe::{Capture, Config, ProbeError, capabilities},
    trace::event::{Body, Event, Switch, Task, WakeKind},
};
use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

/// One capture at a time: each test's load would fill the other's ring.
static ALONE: Mutex<()> = Mutex::new(());

fn config() -> Config {
    Config {
        ring_bytes: 16 << 20,
        cpus: Vec::new(),
        include_self: false,
        latency: Duration::from_millis(10),
    }
}

/// `None`, with the reason printed, where this kernel or user cannot.
fn alone() -> Option<MutexGuard<'static, ()>> {
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

/// Two processes that hand a byte back and forth, until killed.
struct PingPong(Child);

impl PingPong {
    /// Both on CPU 0.
    fn start() -> Self {
        Self::start_on(0)
    }

    /// The second one on CPU `other`.
    fn start_on(other: u32) -> Self {
        let script = "import os, sys
a, b = os.pipe(), os.pipe()
os.sched_setaffinity(0, [0])
if os.fork() == 0:
    os.sched_setaffinity(0, [int(sys.argv[1])])
    os.close(a[1]); os.close(b[0])
    while os.read(a[0], 1): os.write(b[1], b'x')
    os._exit(0)
while True:
    os.write(a[1], b'x')
    os.read(b[0], 1)";
        let child = Command::new("python3")
            .args(["-c", script, &other.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        Self(child)
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        // The other one ends when the pipe breaks: it holds no other end. Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(capture: &mut Capture, time: Duration) -> Vec<Event> {
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
const PATIENCE: Duration = Duration::from_secs(60);

/// As [`collect`], until that is `enough`.
fn collect_until(capture: &mut Capture, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
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

/// While nobody reads.
fn sleep_until(enough: impl Fn() -> bool) {
    let begun = Instant::now();
    while !enough() {
        assert!(begun.elapsed() < PATIENCE, "it does not come");
        thread::sleep(Duration::from_millis(50));
    }
}

fn stop(capture: &mut Capture, events: &mut Vec<Event>) {
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
fn account(capture: &Capture, events: &[Event]) -> u64 {
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

fn switches(events: &[Event], cpu: u32) -> impl Iterator<Item = &Switch> {
    events
        .iter()
        .filter(move |event| event.cpu == cpu)
        .filter_map(|event| match &event.body {
            Body::Switch(switch) => Some(switch),
            _ => None,
        })
}

/// Run time only grows; a fair task has a queue and a weight.
fn check_task(task: &Task, run: &mut HashMap<u32, u64>) {
    let Some(fair) = &task.fair else {
        assert!(
            task.pid == 0 || !(100..140).contains(&task.prio),
            "{task:?}"
        );
        return;
    };
    assert!(fair.own.weight > 0, "{task:?}");
    assert_eq!(
        fair.parents.len(),
        usize::from(fair.depth).min(3),
        "{task:?}"
    );
    let before = run.insert(task.pid, fair.sum_exec_ns).unwrap_or(0);
    assert!(
        fair.sum_exec_ns >= before,
        "ran {before} ns before: {task:?}"
    );
}

#[test]
fn counts_add_up_and_switches_chain_under_load() {
    let Some(_alone) = alone() else { return };
    // As the daemon does: whatever else the machine is busy with would make it late.
    if let Err(error) = priority::favour_reader(1) {
        println!("the reader keeps its priority: {error}");
    }
    let load = PingPong::start();
    let mut capture = Capture::start(&config()).unwrap();
    let mut events = collect(&mut capture, Duration::from_secs(2));
    let many = |events: &[Event]| switches(events, 0).count() > 2000;
    events.extend(collect_until(&mut capture, many));
    drop(load);
    stop(&mut capture, &mut events);
    assert_eq!(
        account(&capture, &events),
        0,
        "nothing is lost with the default ring"
    );

    let own = std::process::id();
    let mut run = HashMap::new();
    let mut chained = 0;
    for cpu in 0..capture.origin().cpus {
        let mut running: Option<&Task> = None;
        for switch in switches(&events, cpu) {
            let Switch { prev, next, .. } = switch;
            assert!(prev.tgid != own && next.tgid != own, "own: {switch:?}");
            assert_ne!(prev.pid, next.pid, "cpu {cpu}: {switch:?}");
            // Of the load only: kernels are seen, by their own ftrace, to pass over the trace point when
            // some tasks leave the CPU.
            if let Some(load) = running.filter(|task| task.comm.bytes() == b"python3") {
                assert_eq!(
                    prev.pid, load.pid,
                    "cpu {cpu}: {load:?} was running: {switch:?}"
                );
                chained += 1;
            }
            running = Some(next);
        }
        for switch in switches(&events, cpu) {
            for task in [&switch.prev, &switch.next]
                .into_iter()
                .filter(|task| task.pid != 0)
            {
                if cpu == 0 && task.comm.bytes() == b"python3" {
                    check_task(task, &mut run);
                }
            }
        }
    }
    assert!(chained > 1000, "{chained} switches away from the load");
    assert!(run.len() >= 2, "both tasks of the load were seen: {run:?}");
}

#[test]
fn snapshot_has_the_tasks_that_slept_before() {
    let Some(_alone) = alone() else { return };
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let mut capture = Capture::start(&config()).unwrap();
    let mut events = collect(&mut capture, Duration::from_millis(100));
    stop(&mut capture, &mut events);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    account(&capture, &events);
    let snapshot = |pid: u32| {
        events.iter().find_map(|event| match &event.body {
            Body::Snapshot(snapshot) if snapshot.task.pid == pid => Some(snapshot),
            _ => None,
        })
    };
    let found = snapshot(sleeper.id()).expect("the sleeping task is in the snapshot");
    assert_eq!(found.task.comm.bytes(), b"sleep");
    assert_eq!(snapshot(std::process::id()), None, "own tasks are left out");
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
fn own_switches_are_kept_when_asked_for() {
    let Some(_alone) = alone() else { return };
    let mut capture = Capture::start(&Config {
        include_self: true,
        ..config()
    })
    .unwrap();
    let mut events = collect(&mut capture, Duration::from_millis(300));
    stop(&mut capture, &mut events);
    account(&capture, &events);
    let own = std::process::id();
    let is_own = |switch: &Switch| switch.prev.tgid == own || switch.next.tgid == own;
    let cpus = capture.origin().cpus;
    assert!((0..cpus).any(|cpu| switches(&events, cpu).any(is_own)));
    assert!(
        capture
            .counters()
            .unwrap()
            .iter()
            .all(|counters| counters.own == 0)
    );
    assert!(capture.origin().includes_self);
}

#[test]
fn only_the_named_cpu_is_recorded() {
    let Some(_alone) = alone() else { return };
    let load = PingPong::start();
    let mut capture = Capture::start(&Config {
        cpus: vec![0],
        ..config()
    })
    .unwrap();
    let mut events = collect_until(&mut capture, |events| switches(events, 0).count() > 100);
    drop(load);
    stop(&mut capture, &mut events);
    account(&capture, &events);
    for event in &events {
        match &event.body {
            Body::Switch(_) => assert_eq!(event.cpu, 0),
            Body::Wake(wake) => assert!(event.cpu == 0 || wake.target_cpu == 0, "{event:?}"),
            Body::Migrate {
                from_cpu, to_cpu, ..
            } => assert!(*from_cpu == 0 || *to_cpu == 0),
            _ => {}
        }
    }
}

/// Wake-ups of a task of the load: who woke it, and whether it was `sched_waking`.
fn wakers(events: &[Event], woken: impl Fn(&Task) -> bool) -> Vec<(u32, WakeKind, u32)> {
    let wakes = events.iter().filter_map(|event| match &event.body {
        Body::Wake(wake) if woken(&wake.task) => Some((event.cpu, wake.kind, wake.waker_pid)),
        _ => None,
    });
    wakes.collect()
}

/// Where the kernel hands a wake-up to another CPU, an interrupt puts the task on the queue: not whom that finds has woken it.
#[test]
fn who_woke_a_task_on_another_cpu_is_known() {
    let Some(_alone) = alone() else { return };
    if thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
        return println!("skipped: there is one CPU");
    }
    let load = PingPong::start_on(1);
    let first = load.0.id();
    thread::sleep(Duration::from_millis(300));
    for cpus in [vec![], vec![0]] {
        let mut capture = Capture::start(&Config {
            cpus: cpus.clone(),
            ..config()
        })
        .unwrap();
        let mut events = collect_until(&mut capture, |events| {
            let of_load = wakers(events, |task| task.comm.bytes() == b"python3");
            let wakings = of_load
                .into_iter()
                .filter(|wake| wake.1 == WakeKind::Waking);
            let (of_first, of_second): (Vec<_>, Vec<_>) = wakings.partition(|wake| wake.2 != first);
            of_first.len() > 200 && of_second.len() > 100
        });
        stop(&mut capture, &mut events);
        account(&capture, &events);

        let of_first = wakers(&events, |task| task.pid == first);
        let second = of_first.first().expect("the first is woken").2;
        assert!(second != 0 && second != first, "{second}");
        let count = |wakes: &[(u32, WakeKind, u32)], kind| {
            let of_kind = wakes.iter().filter(|wake| wake.1 == kind);
            of_kind.count()
        };
        let (waking, wakeup) = (WakeKind::Waking, WakeKind::Wakeup);
        let wakings = count(&of_first, waking);
        assert!(wakings > 100, "{wakings} wake-ups");
        assert!(count(&of_first, wakeup).abs_diff(wakings) <= 1);
        assert!(
            of_first
                .iter()
                .all(|wake| wake.1 != waking || wake.2 == second)
        );

        // The second one's are told of by its own CPU, or, where that is not recorded, by the first one's, as far as that has a part in them.
        let of_second = wakers(&events, |task| task.pid == second);
        assert!(
            of_second
                .iter()
                .all(|wake| wake.1 != waking || wake.2 == first)
        );
        // Not every byte finds its reader asleep.
        let (of_second_wakings, wakeups) = (count(&of_second, waking), count(&of_second, wakeup));
        assert!(of_second_wakings > 50, "{of_second_wakings} wake-ups");
        assert!(of_second_wakings + 1 >= wakeups);
        assert!(!cpus.is_empty() || of_second_wakings <= wakeups + 1);
        println!("{cpus:?}: {wakings} and {of_second_wakings} wake-ups, {wakeups} to the end");
        let elsewhere = of_second.iter().any(|wake| wake.0 != 0);
        assert!(cpus.is_empty() || !elsewhere, "CPU 0 alone is recorded");
    }
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
