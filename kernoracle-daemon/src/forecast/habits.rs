//! What tasks did in their runs: whom they woke, or who was woken meanwhile, and how they left. Counted under how the run began and who came next.

use crate::runqueue::{RunQueues, Sym};
use crate::trace::event::{Body, Event, WakeKind};
use arrayvec::ArrayVec;
use foldhash::{HashMap, HashMapExt as _};
use rand::Rng;

/// Wake-ups that a deed holds.
const WAKES: usize = 6;
/// Deeds that are kept of one kind.
const KEPT: usize = 8;
/// Kinds that were seen less often are left to the next more general one.
const ENOUGH: u32 = 2;

/// What happened in a run, besides who came next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// Who was woken onto the CPU, in order.
    pub woken: ArrayVec<Sym, WAKES>,
    /// As the tracepoint gave it.
    pub prev_state: u32,
    pub preempt: bool,
}

/// The deeds of one CPU.
#[derive(Debug, Default)]
pub struct Habits {
    cpu: u32,
    kinds: HashMap<u64, Vec<(Deed, u32)>>,
    run: Option<Run>,
}

/// A run as it began.
#[derive(Debug)]
struct Run {
    began: Began,
    waiting: Vec<Sym>,
    woken: ArrayVec<Sym, WAKES>,
}

/// What is known of a run when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    pub task: Sym,
    /// The task's last runs, as [`crate::runqueue::TaskInfo::ran`].
    pub ran: u64,
    /// Which tasks waited, in whatever order.
    pub waiting: u64,
}

impl Began {
    /// The run that is under way on `cpu`.
    pub fn new(queues: &RunQueues, cpu: u32, task: Sym) -> Self {
        let waiting = queues.cpu_ref(cpu).runnable.iter();
        Self {
            task,
            ran: queues.task(task).ran,
            waiting: waiting.fold(0, |sum, sym| sum.wrapping_add(mix(u64::from(sym.raw())))),
        }
    }

    /// From the most special kind to the most general.
    fn kinds(&self, next: Sym, waited: bool) -> [u64; 6] {
        let task = mix(u64::from(self.task.raw()));
        let next = mix(u64::from(next.raw()) << 1 | u64::from(waited));
        let ran = |bits: u32| mix(self.ran & ((1 << bits) - 1) ^ u64::from(bits) << 60);
        let kind = |number: u64, parts: [u64; 3]| {
            parts
                .iter()
                .fold(mix(number ^ task), |key, part| mix(key ^ part))
        };
        [
            kind(1, [next, ran(32), self.waiting]),
            kind(2, [next, ran(16), self.waiting]),
            kind(3, [next, self.waiting, 0]),
            kind(4, [next, ran(16), 0]),
            kind(5, [next, 0, 0]),
            kind(6, [0, 0, 0]),
        ]
    }
}

impl Habits {
    pub fn new(cpu: u32) -> Self {
        Self {
            cpu,
            kinds: HashMap::new(),
            run: None,
        }
    }

    /// Takes an event that `queues` have just taken.
    pub fn event(&mut self, event: &Event, queues: &RunQueues) {
        match &event.body {
            Body::Wake(wake) if wake.target_cpu == self.cpu && wake.kind != WakeKind::Waking => {
                let sym = queues.by_pid(self.cpu, wake.task.pid);
                if let (Some(run), Some(sym)) = (&mut self.run, sym) {
                    // More than a few are not told apart.
                    _ = run.woken.try_push(sym);
                }
            }
            Body::Gap { .. } if event.cpu == self.cpu => self.run = None,
            Body::Switch(switch) if event.cpu == self.cpu => {
                let next = queues.cpu_ref(self.cpu).current;
                if let (Some(run), Some(next)) = (self.run.take(), next) {
                    let deed = Deed {
                        woken: run.woken,
                        prev_state: switch.prev_state,
                        preempt: switch.preempt,
                    };
                    for kind in run.began.kinds(next, run.waiting.contains(&next)) {
                        count(self.kinds.entry(kind).or_default(), &deed);
                    }
                }
                self.run = next.map(|next| Run {
                    began: Began::new(queues, self.cpu, next),
                    waiting: queues.cpu_ref(self.cpu).runnable.clone(),
                    woken: ArrayVec::new(),
                });
            }
            _ => {}
        }
    }

    /// What the task of a run will do if `next` follows: the commonest deed of the most special kind that is known, or with `random` one
    /// drawn by how common it is.
    pub fn deed(
        &self,
        began: &Began,
        next: Sym,
        waited: bool,
        random: Option<&mut impl Rng>,
    ) -> Deed {
        let kinds = began.kinds(next, waited);
        let known = |enough: u32| {
            kinds.iter().find_map(|kind| {
                let row = self.kinds.get(kind)?;
                let total: u32 = row.iter().map(|(_, count)| count).sum();
                (total >= enough).then_some((row, total))
            })
        };
        let Some((row, total)) = known(ENOUGH).or_else(|| known(1)) else {
            return Deed {
                prev_state: 1,
                ..Deed::default()
            };
        };
        let chosen = match random {
            None => row.iter().rev().max_by_key(|(_, count)| *count),
            Some(random) => {
                let mut at = random.random_range(0..total);
                row.iter().find(|(_, count)| {
                    let here = at < *count;
                    at = at.saturating_sub(*count);
                    here
                })
            }
        };
        chosen.map_or_else(Deed::default, |(deed, _)| deed.clone())
    }
}

fn count(row: &mut Vec<(Deed, u32)>, deed: &Deed) {
    if let Some((_, count)) = row.iter_mut().find(|(other, _)| other == deed) {
        *count += 1;
    } else if row.len() < KEPT {
        row.push((deed.clone(), 1));
    } else if let Some(rarest) = row.iter_mut().min_by_key(|(_, count)| *count) {
        *rarest = (deed.clone(), 1);
    }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
