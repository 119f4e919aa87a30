//! The contexts in which run times repeat.

use crate::model::numeric::ln;
use crate::runqueue::TaskInfo;

/// Contexts that are remembered, each with its own history.
pub(super) const CONTEXTS: usize = 11;
/// The one that all tasks share. Its record is that of other tasks, so it is asked only where no other context is known.
pub(super) const LAST_RESORT: usize = CONTEXTS - 1;

/// A time on a scale with two steps to the factor e; `UNKNOWN` where there is none.
pub(super) type Step = i8;
pub(super) const UNKNOWN: Step = -1;

pub(super) fn step(ns: Option<u64>) -> Step {
    // ln(2^64) is 44.4, so the steps go to 88.
    ns.map_or(UNKNOWN, |ns| (ln(ns.max(1) as f32).max(0.0) * 2.0) as Step)
}

/// A task that has just been switched in, and how that came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    task: u32,
    role: u64,
    waker: Option<u32>,
    /// From its wake-up to now; unknown if it did not sleep.
    waited: Step,
    prev: u32,
    prev_role: u64,
    /// The task before `prev`.
    before_prev: Option<u32>,
    /// None, one, up to four, or more tasks wait.
    waiting: u8,
    /// The last runs of this CPU, the latest first.
    runs_here: [Step; 2],
}

impl Entry {
    pub(super) fn new(
        (prev, next): (&TaskInfo, &TaskInfo),
        before_prev: Option<u32>,
        runs_here: [Step; 2],
        (now_ns, waiting): (u64, usize),
    ) -> Self {
        let woken = next
            .woken_ns
            .filter(|woken| *woken > next.left_ns.unwrap_or(0));
        Self {
            task: next.sym.raw(),
            role: u64::from(next.role),
            waker: next.waker.map(crate::runqueue::Sym::raw),
            waited: step(woken.map(|woken| now_ns.saturating_sub(woken))),
            prev: prev.sym.raw(),
            prev_role: u64::from(prev.role),
            before_prev,
            waiting: match waiting {
                0 => 0,
                1 => 1,
                2..=4 => 2,
                _ => 3,
            },
            runs_here,
        }
    }

    pub(super) fn task(&self) -> u32 {
        self.task
    }

    pub(super) fn prev(&self) -> u32 {
        self.prev
    }

    /// The key of each context, given the task's own last runs, the latest first.
    pub(super) fn keys(&self, own: [Step; 3]) -> [u64; CONTEXTS] {
        let task = u64::from(self.task);
        let prev = u64::from(self.prev);
        // One more than the number, so that none is apart from task 0.
        let other = |sym: Option<u32>| sym.map_or(0, |sym| u64::from(sym) + 1);
        let [waited, own0, own1, own2, here0, here1] = [
            self.waited,
            own[0],
            own[1],
            own[2],
            self.runs_here[0],
            self.runs_here[1],
        ]
        .map(|step| u64::from(step as u8));
        let waiting = u64::from(self.waiting);
        let parts: [&[u64]; CONTEXTS] = [
            // The running median.
            &[task],
            // Periods of up to four runs.
            &[task, own0, own1, own2],
            &[task, other(self.waker), own0, own1],
            &[task, prev, other(self.before_prev), own0],
            // What the previous task did decides how much there is to do.
            &[task, here0],
            &[task, prev, here0, here1, waiting],
            // How long it waited tells which wake-up it was, and what has gathered since.
            &[task, waited, here0],
            &[task, waited, own0],
            // For tasks that have not run yet: others of their name.
            &[self.role],
            &[self.role, self.prev_role, waited],
            // Anything.
            &[],
        ];
        let mut number = 0;
        parts.map(|parts| {
            number += 1;
            hash(number, parts)
        })
    }
}

/// Hash of a few numbers.
pub(super) fn hash(seed: u64, parts: &[u64]) -> u64 {
    let mix = |hash: u64, part: u64| {
        let hash = (hash ^ part).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^ hash >> 32
    };
    parts
        .iter()
        .fold(mix(0x9e37_79b9_7f4a_7c15, seed), |hash, part| {
            mix(hash, *part)
        })
}
