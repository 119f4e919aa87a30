//! Names do not travel with every record: they are those that the tasks have all the same.

use kernoracle::{
    probe::{Capture, Config},
    trace::event::{Body, Comm, Event, Task},
};
use kernoracle_tests::{capture::PATIENCE, live_or_skip};
use std::{
    collections::{HashMap, HashSet},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// EXIT_DEAD, EXIT_ZOMBIE and TASK_DEAD (include/linux/sched.h): what a task leaves with that ends.
const ENDS: u32 = 0xb0;

/// Workers one after another whose names are their pid and a number that grows, so that each record says whether its name can be
/// right: they rename themselves, are renamed by their parent, run another program, and end; each takes the pid of the first
/// where that is allowed.
const WORKERS: &str = "
import os, time
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
def write(path, text):
    try:
        with open(path, 'w') as file: file.write(text)
    except OSError: pass # Not allowed, or the worker has ended.
first, number = 0, 0
while True:
    number += 1
    if first: write('/proc/sys/kernel/ns_last_pid', str(first - 1))
    pid = os.fork()
    if pid == 0:
        write('/proc/self/comm', f's{os.getpid()}.{number}')
        for _ in range(3): time.sleep(0.0005)
        if number % 3 == 0: os.execv('/bin/sleep', ['sleep', '0.001'])
        os._exit(0)
    first = first or pid
    time.sleep(0.0008)
    if number % 2 == 0: write(f'/proc/{pid}/comm', f'o{pid}.{number}')
    os.waitpid(pid, 0)
";

struct Workers(Child);

impl Workers {
    fn start() -> Self {
        let child = Command::new("python3")
            .args(["-c", WORKERS])
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs");
        Self(child)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Gone already is as good; a worker ends by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(ring_bytes: u32) -> Config {
    Config {
        ring_bytes,
        cpus: Vec::new(),
        include_self: false,
        latency: Duration::from_millis(10),
    }
}

fn read(capture: &mut Capture, events: &mut Vec<Event>) {
    capture
        .drain(usize::MAX, &mut |event| events.push(event.clone()))
        .unwrap();
}

/// The tasks that an event shows in full.
fn tasks(body: &Body) -> impl Iterator<Item = &Task> {
    let tasks = match body {
        Body::Switch(switch) => [Some(&switch.prev), Some(&switch.next)],
        Body::Wake(wake) => [Some(&wake.task), None],
        Body::Snapshot(snapshot) => [Some(&snapshot.task), None],
        _ => [None, None],
    };
    tasks.into_iter().flatten()
}

#[test]
fn names_follow_renames_execs_and_reused_pids() {
    let _alone = live_or_skip!("python3");
    let mut capture = Capture::start(&config(16 << 20)).unwrap();
    let workers = Workers::start();
    let mut events = Vec::new();
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        capture.wait().unwrap();
        read(&mut capture, &mut events);
    }
    capture.stop().unwrap();
    read(&mut capture, &mut events);
    let parent = workers.0.id();
    drop(workers);
    assert_eq!(capture.malformed(), 0);
    events.sort_by_key(|event| event.ts_ns);

    // By what a fork, a rename and an exec have said, each worker's switches away from a CPU can be checked: its own doings are
    // over by then, and its parent's, which is on the same CPU.
    let mut names: HashMap<u32, Comm> = HashMap::new();
    // A worker that has ended can be preempted before its last switch, while its pid is another one's already.
    let mut ended: HashMap<u32, Comm> = HashMap::new();
    let mut told: HashMap<u32, HashSet<Comm>> = HashMap::new();
    let (mut checked, mut executed) = (0, 0);
    for event in &events {
        match &event.body {
            Body::Fork {
                pid,
                parent_pid,
                comm,
                ..
            } => {
                if *parent_pid == parent {
                    if let Some(name) = names.insert(*pid, *comm) {
                        ended.insert(*pid, name);
                    }
                } else {
                    // Whoever forks next gets the pid that the workers ask for.
                    names.remove(pid);
                }
            }
            Body::Rename { pid, comm, .. } | Body::Exec { pid, comm, .. } => {
                if let Some(name) = names.get_mut(pid) {
                    *name = *comm;
                    executed += u32::from(comm.bytes() == b"sleep");
                }
            }
            Body::Switch(switch) => {
                let prev = &switch.prev;
                let dead = switch.prev_state & ENDS != 0;
                if ended.get(&prev.pid) == Some(&prev.comm) {
                    if dead {
                        ended.remove(&prev.pid);
                    }
                } else if let Some(name) = names.get(&prev.pid) {
                    assert_eq!(prev.comm, *name, "of {}: {event:?}", prev.pid);
                    told.entry(prev.pid).or_default().insert(*name);
                    checked += 1;
                    if dead {
                        names.remove(&prev.pid);
                    }
                }
            }
            _ => {}
        }
    }
    let most = told.values().map(HashSet::len).max().unwrap_or(0);
    println!(
        "{checked} names of {} pids right, {executed} of another program, up to {most} names of a pid",
        told.len()
    );
    assert!(checked > 100 && executed > 5, "{checked}, {executed}");
    assert!(most > 2, "{most} names of a pid");
}

#[test]
fn no_name_is_wrong_or_missing_behind_losses() {
    let _alone = live_or_skip!("python3");
    let mut capture = Capture::start(&config(64 << 10)).unwrap();
    let workers = Workers::start();
    let mut events = Vec::new();
    let lost = |capture: &Capture| -> u64 {
        let counters = capture.counters().unwrap();
        counters.iter().map(|cpu| cpu.dropped).sum()
    };
    for _ in 0..10 {
        // Unread, the ring is full soon: on an emulated machine, within seconds.
        let before = lost(&capture);
        let begun = Instant::now();
        while lost(&capture) < before + 100 {
            assert!(begun.elapsed() < PATIENCE, "nothing is lost");
            thread::sleep(Duration::from_millis(100));
        }
        read(&mut capture, &mut events);
    }
    capture.stop().unwrap();
    read(&mut capture, &mut events);
    drop(workers);
    // Records that rely on an introduction which was lost would be malformed.
    assert_eq!(capture.malformed(), 0);
    let counters = capture.counters().unwrap();
    let (mut produced, mut dropped) = (0, 0);
    for cpu in &counters {
        produced += cpu.produced();
        dropped += cpu.dropped;
    }
    assert!(dropped > 0, "nothing was lost: {counters:?}");

    let mut arrived = 0;
    let mut numbers: HashMap<u32, u64> = HashMap::new();
    for event in &events {
        arrived += match event.body {
            Body::Gap { lost } => lost,
            _ => 1,
        };
        for task in tasks(&event.body) {
            assert!(!task.comm.bytes().is_empty(), "{event:?}");
            let Some((pid, number)) = worker(&task.comm) else {
                continue;
            };
            assert_eq!(pid, task.pid, "the name of another task: {event:?}");
            let last = numbers.entry(pid).or_default();
            assert!(
                number >= *last,
                "{last} was seen before, the name is old: {event:?}"
            );
            *last = number;
        }
    }
    assert_eq!(arrived, produced, "{counters:?}");
    println!("workers {numbers:?}, {dropped} events lost");
    assert!(!numbers.is_empty());
}

/// Pid and number in a worker's name.
fn worker(comm: &Comm) -> Option<(u32, u64)> {
    let name = str::from_utf8(comm.bytes()).ok()?;
    let (pid, number) = name.strip_prefix(['s', 'o'])?.split_once('.')?;
    Some((pid.parse().ok()?, number.parse().ok()?))
}
