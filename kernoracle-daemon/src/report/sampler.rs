//! Chooses which decisions become log lines.

use crate::oracle::outcome::{Decision, TaskName};
use foldhash::HashMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regex::Regex;

/// Tasks whose match is remembered.
const MAX_REMEMBERED: usize = 65_536;

/// Which decisions are logged.
#[derive(Clone, Debug)]
pub enum Choose {
    /// All of them.
    Every,
    /// At most so many a second a CPU.
    PerSecond(f64),
}

/// Time is cut into slots; of the decisions in a slot every one is equally likely to be chosen. (Taking
/// the first one after a time would prefer those that follow a long run.)
#[derive(Debug)]
pub(super) struct Sampler {
    /// `None`: every decision.
    slot_ns: Option<u64>,
    cpus: Vec<Slot>,
    filter: Option<TaskFilter>,
    rng: ChaCha8Rng,
}

#[derive(Debug, Default)]
struct Slot {
    /// Time over the length of a slot.
    index: u64,
    /// Decisions so far.
    seen: u64,
    kept: Option<Box<Decision>>,
}

impl Sampler {
    pub fn new(choose: &Choose, task: Option<Regex>, seed: u64) -> Self {
        Self {
            slot_ns: match choose {
                Choose::Every => None,
                Choose::PerSecond(rate) if *rate <= 0.0 => Some(u64::MAX),
                Choose::PerSecond(rate) => Some(((1e9 / rate) as u64).max(1)),
            },
            cpus: Vec::new(),
            filter: task.map(TaskFilter::new),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Takes a decision; gives back the one that is to be logged now, if any.
    pub fn offer(&mut self, decision: &Decision) -> Option<Box<Decision>> {
        if let Some(filter) = &mut self.filter
            && !filter.concerns(decision)
        {
            return None;
        }
        let Some(slot_ns) = self.slot_ns else {
            return Some(Box::new(decision.clone()));
        };
        if slot_ns == u64::MAX {
            return None;
        }
        let cpu = decision.cpu as usize;
        if self.cpus.len() <= cpu {
            self.cpus.resize_with(cpu + 1, Slot::default);
        }
        let slot = &mut self.cpus[cpu];
        let index = decision.ts_ns / slot_ns;
        let mut chosen = None;
        if index != slot.index {
            chosen = slot.kept.take();
            *slot = Slot {
                index,
                ..Slot::default()
            };
        }
        slot.seen += 1;
        if self.rng.random_range(0..slot.seen) == 0 {
            slot.kept = Some(Box::new(decision.clone()));
        }
        chosen
    }

    /// The decisions chosen in slots that are over at this time.
    pub fn due(&mut self, now_ns: u64) -> impl Iterator<Item = Box<Decision>> + '_ {
        let slot_ns = self.slot_ns.unwrap_or(1);
        self.cpus
            .iter_mut()
            .filter(move |slot| now_ns / slot_ns > slot.index)
            .filter_map(|slot| slot.kept.take())
    }
}

/// `--task`: matched against `comm/pid`.
#[derive(Debug)]
struct TaskFilter {
    regex: Regex,
    known: HashMap<TaskName, bool>,
}

impl TaskFilter {
    fn new(regex: Regex) -> Self {
        Self {
            regex,
            known: HashMap::default(),
        }
    }

    fn concerns(&mut self, decision: &Decision) -> bool {
        let predicted = decision.at_switch.top.first().map(|&(task, _)| task);
        [Some(decision.ran), Some(decision.actual), predicted]
            .into_iter()
            .flatten()
            .any(|task| self.matches(task))
    }

    fn matches(&mut self, task: TaskName) -> bool {
        if self.known.len() >= MAX_REMEMBERED {
            self.known.clear();
        }
        let regex = &self.regex;
        *self
            .known
            .entry(task)
            .or_insert_with(|| regex.is_match(&format!("{}/{}", task.comm, task.pid)))
    }
}
