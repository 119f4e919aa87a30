//! The capture on the running kernel: counts, order and chains of what it hands out.

use kernoracle::{
    priority,
    probe::{Capture, Config},
    trace::event::{Body, Event, Switch, Task, WakeKind},
};
use kernoracle_tests::{
    capture::{
        Account, PATIENCE, account, alone, collect, collect_until, config, stop, switches, watch,
        watch_end,
    },
    load::{PingPong, TakingTurns},
};
use std::{
    collections::HashMap,
    process::Command,
    sync::MutexGuard,
    thread,
    time::{Duration, Instant},
};

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

/// What is asked of the events of a ping-pong on CPU 0, as they come.
#[derive(Default)]
struct Chain {
    account: Account,
    /// By CPU.
    running: HashMap<u32, Task>,
    run: HashMap<u32, u64>,
    chained: u32,
    /// Of CPU 0.
    switches: u32,
}

impl Chain {
    fn see(&mut self, event: &Event) {
        self.account.add(event);
        let switch = match &event.body {
            Body::Switch(switch) => switch,
            Body::Gap { .. } => {
                // That it is there is told in the end.
                self.running.remove(&event.cpu);
                return;
            }
            _ => return,
        };
        let Switch { prev, next, .. } = switch;
        let (cpu, own) = (event.cpu, std::process::id());
        assert!(prev.tgid != own && next.tgid != own, "own: {switch:?}");
        assert_ne!(prev.pid, next.pid, "cpu {cpu}: {switch:?}");
        // Of the load only: kernels are seen, by their own ftrace, to pass over the trace point when
        // some tasks leave the CPU.
        let running = self.running.insert(cpu, next.clone());
        if let Some(load) = running.filter(|task| task.comm.bytes() == b"python3") {
            assert_eq!(
                prev.pid, load.pid,
                "cpu {cpu}: {load:?} was running: {switch:?}"
            );
            self.chained += 1;
        }
        if cpu == 0 {
            self.switches += 1;
            for task in [prev, next] {
                if task.pid != 0 && task.comm.bytes() == b"python3" {
                    check_task(task, &mut self.run);
                }
            }
        }
    }
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
    let mut chain = Chain::default();
    let begun = Instant::now();
    let mut time = Duration::from_secs(2);
    while chain.switches <= 2000 {
        assert!(begun.elapsed() < PATIENCE, "{} switches", chain.switches);
        watch(&mut capture, time, &mut |event| chain.see(event));
        time = Duration::from_millis(100);
    }
    drop(load);
    watch_end(&mut capture, &mut |event| chain.see(event));
    let Chain {
        account,
        run,
        chained,
        ..
    } = chain;
    assert_eq!(
        account.end(&capture),
        0,
        "nothing is lost with the default ring"
    );
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

/// As [`alone`], on a machine where a CPU can hand a wake-up to another one.
fn alone_with_two_cpus() -> Option<MutexGuard<'static, ()>> {
    let alone = alone()?;
    if thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
        println!("skipped: there is one CPU");
        return None;
    }
    Some(alone)
}

/// Where the kernel hands a wake-up to another CPU, an interrupt puts the task on the queue: not whom that finds has woken it.
#[test]
fn who_woke_a_task_on_another_cpu_is_known() {
    let Some(_alone) = alone_with_two_cpus() else {
        return;
    };
    let load = PingPong::start_on(1);
    let first = load.first();
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

/// A wake-up is on its way to the other CPU a good part of the time, so it is at one start of six or so that recording begins.
#[test]
fn who_woke_a_task_is_known_from_the_first_wake_up_on() {
    let Some(_alone) = alone_with_two_cpus() else {
        return;
    };
    let load = PingPong::start_on(1);
    let first = load.first();
    for start in 0..25 {
        let mut capture = Capture::start(&config()).unwrap();
        let is_waking = |wake: &(u32, WakeKind, u32)| wake.1 == WakeKind::Waking;
        let of = |events: &[Event], pid| {
            let wakes = wakers(events, |task| task.pid == pid).into_iter();
            wakes.filter(is_waking).collect::<Vec<_>>()
        };
        let mut events = collect_until(&mut capture, |events| of(events, first).len() > 10);
        stop(&mut capture, &mut events);
        let second = of(&events, first).last().expect("more than ten").2;
        for (woken, waker) in [(first, second), (second, first)] {
            let wakes = of(&events, woken);
            assert!(!wakes.is_empty(), "start {start}: nobody wakes {woken}");
            let wrong = wakes.into_iter().position(|wake| wake.2 != waker);
            assert_eq!(wrong, None, "start {start}: {waker} wakes {woken}");
        }
    }
}

/// Who is woken by a task of its own CPU has not been woken by the one of another CPU that did so last, before recording began.
#[test]
fn who_woke_a_task_before_recording_began_does_not_wake_it_again() {
    let Some(_alone) = alone_with_two_cpus() else {
        return;
    };
    let load = TakingTurns::start();
    let (near, sleepers) = load.pids();
    for start in 0..25 {
        let mut capture = Capture::start(&config()).unwrap();
        let mut events = collect(&mut capture, Duration::from_millis(150));
        stop(&mut capture, &mut events);
        let (mut current, mut by_near) = (0, 0);
        for event in events.iter().filter(|event| event.cpu == 1) {
            match &event.body {
                Body::Switch(switch) => current = switch.next.pid,
                Body::Wake(wake) if current == near && sleepers.contains(&wake.task.pid) => {
                    assert_eq!(wake.waker_pid, near, "start {start}: {event:?}");
                    by_near += 1;
                }
                _ => {}
            }
        }
        assert!(by_near > 10, "start {start}: {by_near} wake-ups");
    }
}
