//! Lets an oracle run on: what it foretells is made into the events that would tell it, and it takes these as if they had come.
//!
//! A step: the oracle says who is next and how long the current task runs; the task's [`Habits`] say whom it wakes meanwhile and how it leaves, given
//! who comes next; [`super::placement`] fills in the scheduler's numbers; then come the wake-ups and the switch.

use super::habits::{Began, Habits};
use super::placement::{ran, record, woken};
use crate::oracle::outcome::{Decision, Sink, Unscored};
use crate::oracle::{Oracle, Outlook};
use crate::runqueue::{Status, Sym};
use crate::trace::event::{Body, Event, Switch, Wake, WakeKind};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

/// How a path is chosen.
#[derive(Clone, Debug)]
pub enum Chance {
    /// The likeliest at every step.
    Likeliest,
    /// Drawn with the probabilities that the oracle gives.
    Drawn(Box<ChaCha8Rng>),
}

/// A foretold switch, with what else the oracle thought possible.
#[derive(Clone, Debug)]
pub struct Foretold {
    pub next: Sym,
    pub run_ns: u64,
    /// Who could have come, with probabilities that sum to one.
    pub possible: Vec<(Sym, f32)>,
}

/// An oracle that runs on.
pub struct Simulator<'a> {
    oracle: Oracle,
    habits: &'a Habits,
    cpu: u32,
    chance: Chance,
    seq: u64,
}

/// The simulated switches are nobody's business.
struct Nowhere;

impl Sink for Nowhere {
    fn decision(&mut self, _: &Decision) {}
    fn unscored(&mut self, _: u64, _: u32, _: Unscored) {}
    fn gap(&mut self, _: u64, _: u32, _: u64) {}
}

impl<'a> Simulator<'a> {
    /// From where `oracle` is; `oracle` itself stays there.
    pub fn new(oracle: &Oracle, habits: &'a Habits, cpu: u32, chance: Chance) -> Self {
        Self {
            oracle: oracle.fork(),
            habits,
            cpu,
            chance,
            seq: 0,
        }
    }

    /// Foretells the next switch and goes on to it. `None` where the oracle knows of nobody who could be next.
    pub fn step(&mut self) -> Option<Foretold> {
        let outlook = self.oracle.outlook(self.cpu)?;
        let possible = self.possible(&outlook);
        let next = self.choose(&possible)?;
        let run_ns = self.run_time(&outlook);
        self.happen(&outlook, next, run_ns);
        Some(Foretold {
            next,
            run_ns,
            possible,
        })
    }

    /// Without those that cannot be: the current task, and idle while another waits.
    fn possible(&self, outlook: &Outlook) -> Vec<(Sym, f32)> {
        let queues = self.oracle.queues();
        let idle = queues.idle(self.cpu);
        let waits = !queues.cpu_ref(self.cpu).runnable.is_empty();
        let can_be = |sym: Sym| {
            sym != outlook.current && (sym != idle || !waits) && queues.get(sym).is_some()
        };
        let mut possible: Vec<(Sym, f32)> = (outlook.next.iter().copied())
            .filter(|(sym, _)| can_be(*sym))
            .collect();
        let sum: f32 = possible.iter().map(|(_, p)| p).sum();
        for (_, p) in &mut possible {
            *p /= sum.max(f32::MIN_POSITIVE);
        }
        possible
    }

    fn choose(&mut self, possible: &[(Sym, f32)]) -> Option<Sym> {
        let likeliest = possible
            .iter()
            .reduce(|best, other| if other.1 > best.1 { other } else { best });
        let Chance::Drawn(random) = &mut self.chance else {
            return likeliest.map(|(sym, _)| *sym);
        };
        let mut at: f32 = random.random();
        let drawn = possible.iter().find(|(_, p)| {
            at -= p;
            at < 0.0
        });
        drawn.or(likeliest).map(|(sym, _)| *sym)
    }

    /// The median, or a draw from between the quantiles .1 and .9, along straight lines in the logarithm.
    fn run_time(&mut self, outlook: &Outlook) -> u64 {
        let [low, middle, high] = outlook.run_ns;
        let ns = match &mut self.chance {
            Chance::Likeliest => middle,
            Chance::Drawn(random) => {
                let at: f64 = random.random_range(-1.0..1.0);
                let far = if at < 0.0 { low } else { high };
                middle * (far / middle).powf(at.abs())
            }
        };
        ns.max(1.0) as u64
    }

    fn happen(&mut self, outlook: &Outlook, next: Sym, run_ns: u64) {
        let (cpu, current) = (self.cpu, outlook.current);
        let queues = self.oracle.queues();
        let idle = queues.idle(cpu);
        let began = Began::new(queues, cpu, current);
        let waited = queues.task(next).status == Status::Runnable;
        let random = match &mut self.chance {
            Chance::Likeliest => None,
            Chance::Drawn(random) => Some(&mut **random),
        };
        let mut deed = self.habits.deed(&began, next, waited, random);
        let asleep = |sym: Sym| {
            let task = queues.get(sym).filter(|task| task.pid != 0);
            task.is_some_and(|task| task.status != Status::Runnable) && sym != current
        };
        deed.woken.retain(|sym| asleep(*sym));
        if next == idle {
            deed.woken.clear();
        } else if !waited && !deed.woken.contains(&next) {
            // Nobody runs that was not woken.
            deed.woken.truncate(deed.woken.capacity() - 1);
            deed.woken.push(next);
        }
        let mut stays = deed.prev_state == 0 || deed.preempt;
        if current == idle {
            (deed.prev_state, deed.preempt, stays) = (0, false, true);
        } else if next == idle && stays {
            (deed.prev_state, deed.preempt, stays) = (1, false, false);
        }

        let mut woken_already = arrayvec::ArrayVec::<Sym, 8>::new();
        let count = deed.woken.len() as u64;
        for (i, sym) in deed.woken.iter().enumerate() {
            if woken_already.contains(sym) {
                continue;
            }
            _ = woken_already.try_push(*sym);
            let ts_ns = outlook.entered_ns + run_ns * (i as u64 + 1) / (count + 1);
            let waker_pid = self.oracle.queues().task(current).pid;
            for kind in [WakeKind::Waking, WakeKind::Wakeup] {
                let task = woken(self.oracle.queues(), cpu, *sym);
                let wake = Wake {
                    kind,
                    waker_pid,
                    target_cpu: cpu,
                    task,
                };
                self.tell(ts_ns, Body::Wake(wake));
            }
        }
        let queues = self.oracle.queues();
        let switch = Switch {
            prev: ran(queues, cpu, current, run_ns, !stays),
            next: record(queues.task(next)),
            prev_state: deed.prev_state,
            preempt: deed.preempt,
            merged: false,
            hidden_ns: 0,
        };
        self.tell(outlook.entered_ns + run_ns, Body::Switch(switch));
    }

    fn tell(&mut self, ts_ns: u64, body: Body) {
        self.seq += 1;
        let event = Event {
            ts_ns,
            seq: self.seq,
            cpu: self.cpu,
            body,
        };
        self.oracle.event(&event, &mut Nowhere);
    }

    /// Pid of a task that was foretold.
    pub fn pid(&self, sym: Sym) -> u32 {
        self.oracle.queues().task(sym).pid
    }
}
