//! The event stream of nginx and ab on one CPU, made up: two task groups, each with one busy task, and
//! an interrupt now and then, in the kernel's arithmetic of EEVDF.

use super::event::{Body, Comm, Entity, Event, Fair, MAX_PARENTS, Switch, Task, Wake, WakeKind};
use arrayvec::ArrayVec;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const NICE_0: u32 = 1024 << 10;
const SLICE: u32 = 2_800_000;
const ROOT: u32 = 0;

/// A task alone in its group: the group's entity moves with it.
struct Actor {
    task: Task,
    asleep: bool,
}

impl Actor {
    fn new(pid: u32, name: &str, queue: u32, vruntime: u64) -> Self {
        let entity = |cfs_rq, vruntime: u64| Entity {
            vruntime,
            deadline: Some(vruntime + u64::from(SLICE)),
            slice: Some(SLICE),
            weight: NICE_0,
            cfs_rq,
        };
        let mut parents = ArrayVec::<_, MAX_PARENTS>::new();
        parents.push(entity(ROOT, vruntime / 2));
        let fair = Fair {
            own: entity(queue, vruntime),
            sum_exec_ns: vruntime / 3,
            vlag: Some(0),
            delayed: Some(false),
            depth: 1,
            parents,
        };
        let task = Task {
            pid,
            tgid: pid,
            comm: Comm::new(name),
            prio: 120,
            policy: 0,
            kthread: false,
            on_rq: false,
            fair: Some(fair),
        };
        Self { task, asleep: true }
    }

    fn fair(&mut self) -> &mut Fair {
        self.task.fair.as_mut().expect("an actor is fair")
    }

    /// Runs for `ns`.
    fn run(&mut self, ns: u64) {
        let fair = self.fair();
        fair.sum_exec_ns += ns;
        for entity in std::iter::once(&mut fair.own).chain(&mut fair.parents) {
            entity.vruntime += ns;
            if entity
                .deadline
                .is_some_and(|deadline| deadline <= entity.vruntime)
            {
                entity.deadline = Some(entity.vruntime + u64::from(SLICE));
            }
        }
    }

    /// Enters the run queue, its group near the group that runs.
    fn place(&mut self, about: u64) {
        let group = &mut self.fair().parents[0];
        group.vruntime = about;
        group.deadline = Some(about + u64::from(SLICE));
        self.asleep = false;
        self.task.on_rq = true;
    }

    fn group_vruntime(&self) -> u64 {
        self.task
            .fair
            .as_ref()
            .map_or(0, |fair| fair.parents[0].vruntime)
    }
}

/// At least `len` events.
pub fn web_server(len: usize, seed: u64) -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let idle = Task {
        comm: Comm::new("swapper/0"),
        prio: 140,
        on_rq: true,
        ..Task::default()
    };
    let mut actors = [
        Actor::new(812, "nginx", 7, 1 << 40),
        Actor::new(4711, "ab", 9, 1 << 38),
    ];
    let (mut events, mut now, mut seq) = (Vec::with_capacity(len + 8), 1_u64 << 44, 0);
    let mut emit = |ts_ns, body| {
        events.push(Event {
            ts_ns,
            seq,
            cpu: 0,
            body,
        });
        seq += 1;
        events.len()
    };
    let wake = |kind, task: &Task, waker_pid| {
        Body::Wake(Wake {
            kind,
            waker_pid,
            target_cpu: 0,
            task: task.clone(),
        })
    };
    let switch = |prev: &Task, next: &Task, prev_state| {
        let (prev, next) = (prev.clone(), next.clone());
        Body::Switch(Switch {
            prev,
            next,
            prev_state,
            preempt: false,
            merged: false,
            hidden_ns: 0,
        })
    };
    let mut current = 0;
    actors[0].place(1 << 39);
    loop {
        // The one that runs answers, and so wakes the other, now and then twice; then it sleeps.
        let ran = random.random_range(4_000..16_000_u64);
        let other = 1 - current;
        let waker = actors[current].task.pid;
        now += ran * 2 / 3;
        emit(now, wake(WakeKind::Waking, &actors[other].task, waker));
        let lag = random.random_range(0..8_000);
        let about = actors[current].group_vruntime() + ran * 2 / 3 - lag;
        actors[other].place(about);
        now += random.random_range(350..700);
        emit(now, wake(WakeKind::Wakeup, &actors[other].task, waker));
        now += ran / 3;
        actors[current].run(ran + random.random_range(300..600));
        actors[current].asleep = true;
        actors[current].task.on_rq = false;
        let to = if random.random_bool(0.1) {
            &idle
        } else {
            &actors[other].task
        };
        let last = emit(now, switch(&actors[current].task, to, 1));
        if to.pid == 0 {
            now += random.random_range(2_000..30_000);
            emit(now, switch(&idle, &actors[other].task, 0));
        }
        current = other;
        if last >= len {
            return events;
        }
    }
}
