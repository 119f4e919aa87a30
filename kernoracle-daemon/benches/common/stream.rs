//! A made-up stream of events that goes on for ever and stays as it is: on each CPU so many tasks live and so many of them wait.
//!
//! The tasks of a CPU are in two groups. Each runs for a time of its own, give or take a little; three times in four it wakes another one,
//! most often the same, and then sleeps, else it is preempted. The group behind comes next, and in it the earliest deadline.

use kernoracle::trace::event::{
    Body, Comm, Entity, Event, Fair, MAX_PARENTS, Snapshot, Switch, Task, Wake, WakeKind,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

const NICE_0: u32 = 1024 << 10;
/// ns; what 6.6 and later take by default on two CPUs or more.
const SLICE_NS: u64 = 2_800_000;
const GROUPS: usize = 2;
/// Different names of tasks.
const ROLES: usize = 8;

/// What stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub cpus: u32,
    /// That live on each CPU.
    pub tasks: u32,
    /// That wait on each CPU at every switch, behind the one that runs.
    pub waiting: u32,
}

/// A task's own times, ns.
struct Actor {
    vruntime: u64,
    deadline: u64,
    exec: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The task that runs wakes another one, if it is about to sleep.
    Wake,
    Leave,
}

struct Cpu {
    number: u32,
    actors: Vec<Actor>,
    /// vruntime of each group, ns.
    groups: [u64; GROUPS],
    /// What waits in each group, by deadline.
    waiting: [BTreeSet<(u64, usize)>; GROUPS],
    asleep: Vec<usize>,
    /// Index in `asleep` of each task that is.
    bed: Vec<usize>,
    current: usize,
    /// Is about to sleep.
    sleeps: bool,
    ran_ns: u64,
    seq: u64,
}

/// Makes events, the earliest first.
pub struct Stream {
    shape: Shape,
    random: ChaCha8Rng,
    cpus: Vec<Cpu>,
    /// What each CPU does next, and when.
    due: BinaryHeap<Reverse<(u64, usize, Step)>>,
    begun: bool,
}

impl Stream {
    /// # Panics
    ///
    /// If nothing waits, or fewer tasks live than are to wait behind the one that runs.
    pub fn new(shape: Shape) -> Self {
        let Shape {
            cpus,
            tasks,
            waiting,
        } = shape;
        assert!(waiting > 0 && tasks > waiting, "{shape:?}");
        let cpus: Vec<Cpu> = (0..cpus)
            .map(|number| Cpu::new(number, tasks as usize, waiting as usize))
            .collect();
        let due = (0..cpus.len())
            .map(|cpu| Reverse((START_NS + cpu as u64 * 100, cpu, Step::Wake)))
            .collect();
        Self {
            shape,
            random: ChaCha8Rng::seed_from_u64(1),
            cpus,
            due,
            begun: false,
        }
    }

    /// Puts the events of so many more switches in place of what is in `events`. The first ones are a snapshot of all tasks.
    pub fn fill(&mut self, events: &mut Vec<Event>, switches: usize) {
        events.clear();
        if !self.begun {
            self.begun = true;
            for cpu in &mut self.cpus {
                cpu.snapshot(self.shape.tasks, events);
            }
        }
        let mut left = switches;
        while left > 0 {
            let Reverse((now_ns, at, step)) = self.due.pop().expect("every CPU has a next step");
            let cpu = &mut self.cpus[at];
            let next = match step {
                Step::Wake => {
                    cpu.ran_ns = cpu.run_time(&mut self.random);
                    cpu.wake(now_ns, &mut self.random, self.shape.tasks, events);
                    (now_ns + cpu.ran_ns / 3, at, Step::Leave)
                }
                Step::Leave => {
                    cpu.leave(now_ns, self.shape.tasks, events);
                    left -= 1;
                    (now_ns + cpu.ran_ns * 2 / 3, at, Step::Wake)
                }
            };
            self.due.push(Reverse(next));
        }
    }
}

const START_NS: u64 = 1 << 40;

impl Cpu {
    fn new(number: u32, tasks: usize, waiting: usize) -> Self {
        let mut cpu = Self {
            number,
            actors: (0..tasks)
                .map(|task| Actor {
                    vruntime: START_NS + task as u64 * 100,
                    deadline: START_NS + task as u64 * 100 + SLICE_NS,
                    exec: 0,
                })
                .collect(),
            groups: [START_NS; GROUPS],
            waiting: Default::default(),
            asleep: Vec::new(),
            bed: vec![0; tasks],
            current: 0,
            sleeps: false,
            ran_ns: 10_000,
            seq: 0,
        };
        for task in 1..=waiting {
            cpu.enqueue(task);
        }
        for task in waiting + 1..tasks {
            cpu.fall_asleep(task);
        }
        cpu
    }

    fn fall_asleep(&mut self, task: usize) {
        self.bed[task] = self.asleep.len();
        self.asleep.push(task);
    }

    fn get_up(&mut self, task: usize) {
        let bed = self.bed[task];
        self.asleep.swap_remove(bed);
        if let Some(&moved) = self.asleep.get(bed) {
            self.bed[moved] = bed;
        }
    }

    fn sleeps(&self, task: usize) -> bool {
        self.asleep.get(self.bed[task]) == Some(&task)
    }

    fn enqueue(&mut self, task: usize) {
        let group = task % GROUPS;
        if self.waiting[group].is_empty() {
            // A group that was away owes nothing.
            let least = self.groups.iter().copied().max().expect("there are groups");
            self.groups[group] = self.groups[group].max(least - 10_000);
        }
        self.waiting[group].insert((self.actors[task].deadline, task));
    }

    fn task(&self, task: usize, all: u32) -> Task {
        let Actor {
            vruntime,
            deadline,
            exec,
        } = self.actors[task];
        let entity = |cfs_rq, vruntime, deadline| Entity {
            vruntime,
            deadline: Some(deadline),
            slice: Some(SLICE_NS as u32),
            weight: NICE_0,
            cfs_rq,
        };
        let group = task % GROUPS;
        let root = self.number * (1 + GROUPS as u32);
        let mut parents = arrayvec::ArrayVec::<Entity, MAX_PARENTS>::new();
        let of_group = self.groups[group];
        parents.push(entity(root, of_group, of_group + SLICE_NS));
        let pid = 100 + self.number * all + task as u32;
        Task {
            pid,
            tgid: pid,
            comm: Comm::new(&format!("load{}", task % ROLES)),
            prio: 120,
            on_rq: true,
            fair: Some(Fair {
                own: entity(root + 1 + group as u32, vruntime, deadline),
                sum_exec_ns: exec,
                vlag: Some(0),
                delayed: Some(false),
                depth: 1,
                parents,
            }),
            ..Task::default()
        }
    }

    fn push(&mut self, ts_ns: u64, body: Body, events: &mut Vec<Event>) {
        events.push(Event {
            ts_ns,
            seq: self.seq,
            cpu: self.number,
            body,
        });
        self.seq += 1;
    }

    fn snapshot(&mut self, all: u32, events: &mut Vec<Event>) {
        for task in 0..self.actors.len() {
            let snapshot = Snapshot {
                task: self.task(task, all),
                state: u32::from(self.sleeps(task)),
                target_cpu: self.number,
                on_cpu: task == self.current,
            };
            self.push(START_NS, Body::Snapshot(snapshot), events);
        }
    }

    fn run_time(&self, random: &mut ChaCha8Rng) -> u64 {
        5_000 + self.current as u64 % 7 * 3_000 + random.random_range(0..2_000)
    }

    fn wake(&mut self, now_ns: u64, random: &mut ChaCha8Rng, all: u32, events: &mut Vec<Event>) {
        self.sleeps = !self.asleep.is_empty() && random.random_bool(0.75);
        if !self.sleeps {
            return;
        }
        let partner = (self.current * 5 + 3) % self.actors.len();
        let woken = if self.sleeps(partner) && random.random_bool(0.9) {
            partner
        } else {
            self.asleep[random.random_range(0..self.asleep.len())]
        };
        let wake = |cpu: &Self, kind| {
            Body::Wake(Wake {
                kind,
                waker_pid: 100 + cpu.number * all + cpu.current as u32,
                target_cpu: cpu.number,
                task: cpu.task(woken, all),
            })
        };
        self.get_up(woken);
        let waking = wake(self, WakeKind::Waking);
        self.push(now_ns, waking, events);
        // It is placed near those that are there, a little behind.
        let about = self.actors[self.current].vruntime;
        let actor = &mut self.actors[woken];
        actor.vruntime = actor.vruntime.max(about.saturating_sub(5_000));
        actor.deadline = actor.vruntime + SLICE_NS;
        self.enqueue(woken);
        let wakeup = wake(self, WakeKind::Wakeup);
        self.push(now_ns + 500, wakeup, events);
    }

    fn leave(&mut self, now_ns: u64, all: u32, events: &mut Vec<Event>) {
        let prev = self.current;
        let actor = &mut self.actors[prev];
        actor.vruntime += self.ran_ns;
        actor.exec += self.ran_ns;
        // One that is preempted has used its slice up.
        if !self.sleeps || actor.vruntime >= actor.deadline {
            actor.deadline = actor.vruntime + SLICE_NS;
        }
        self.groups[prev % GROUPS] += self.ran_ns;
        let group = (0..GROUPS)
            .filter(|&group| !self.waiting[group].is_empty())
            .min_by_key(|&group| self.groups[group])
            .expect("something waits");
        let (_, next) = self.waiting[group].pop_first().expect("it is not empty");
        let switch = Switch {
            prev: self.task(prev, all),
            next: self.task(next, all),
            prev_state: u32::from(self.sleeps),
            preempt: false,
            merged: false,
            hidden_ns: 0,
        };
        self.push(now_ns, Body::Switch(switch), events);
        if self.sleeps {
            self.fall_asleep(prev);
        } else {
            self.enqueue(prev);
        }
        self.current = next;
    }
}
