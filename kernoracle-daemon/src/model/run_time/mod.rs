//! How long the current task will run: the histories of the contexts that it runs in, and the choice among them.
//!
//! A task's run times repeat in some context: its own last runs, what the previous task did, how long it waited. Each context that
//! holds now offers the median of its last runs; the one whose medians have erred least is believed (follow the leader, with
//! errors that decay: Herbster and Warmuth 1998 on tracking the best expert). The task's own running median is one of
//! them, so that none does worse than it for long. The network and the linear part then offer a correction,
//! which is taken while it errs less than none.

mod context;
mod history;
mod table;

use super::forward::Scores;
use super::frame::View;
use super::numeric::ln;
use crate::runqueue::TaskInfo;
use context::{CONTEXTS, Entry, LAST_RESORT, Step, UNKNOWN, hash, step};
use history::{History, distance};
use table::{Claim, Table};

/// Rows of histories: 3 MiB.
const HISTORY_BITS: u32 = 15;
/// Rows of tasks: 544 KiB.
const TASK_BITS: u32 = 13;
/// How fast a task's record of each context follows.
const RATE: f32 = 0.02;
/// A context's record counts against that of its kind with the task as so many runs.
const KIND_WEIGHT: f32 = 4.0;
/// A history of `n` runs is believed less by `NEW / (1 + n)`.
const NEW: f32 = 0.6;
/// Expected error of what has not been tried.
const UNTRIED: f32 = 0.3;
/// Corrections: none, the linear part's, the network's and the linear part's.
const CORRECTIONS: usize = 3;
/// `ln` ns that the first run of all is expected to take: 100 us.
const FIRST: f32 = 11.512_925;
/// Distance of the outer quantiles from the middle where nothing is known, and the least one; in the logarithm.
const WIDE: f32 = 1.0;
const NARROW: f32 = 1e-3;
/// A history of so many runs tells how far they spread.
const SPREAD_KNOWN: f32 = 8.0;

/// What is known of a task beside its histories.
#[derive(Clone, Copy, Debug)]
struct Habits {
    /// Its last runs, the latest first.
    runs: [Step; 3],
    /// Error of each kind of context; decaying means.
    contexts: [f32; CONTEXTS],
    /// Error of each correction; decaying means.
    corrections: [f32; CORRECTIONS],
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            runs: [UNKNOWN; 3],
            contexts: [UNTRIED; CONTEXTS],
            corrections: [UNTRIED; CORRECTIONS],
        }
    }
}

/// What the histories say of the current run; `ln` ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    pub middle: f32,
    /// From the middle down to the .1 quantile.
    pub below: f32,
    /// From the middle up to the .9 quantile.
    pub above: f32,
}

/// The run that is under way on a CPU.
#[derive(Clone, Debug)]
struct Run {
    task: u64,
    keys: [u64; CONTEXTS],
    forecast: Forecast,
}

/// What led to the current run of one CPU.
#[derive(Clone, Debug)]
pub struct Course {
    run: Option<Run>,
    before: Option<u32>,
    runs: [Step; 2],
}

impl Default for Course {
    fn default() -> Self {
        Self {
            run: None,
            before: None,
            runs: [UNKNOWN; 2],
        }
    }
}

impl Course {
    /// What the histories say of the current run.
    pub fn forecast(&self) -> Forecast {
        self.run.as_ref().map_or(
            Forecast {
                middle: FIRST,
                below: WIDE,
                above: WIDE,
            },
            |run| run.forecast,
        )
    }

    /// The sequence of switches is broken.
    pub fn cut(&mut self) {
        *self = Self::default();
    }
}

impl Forecast {
    /// Quantiles .1, .5 and .9, ns.
    pub fn quantiles_ns(&self) -> [u64; 3] {
        let Self {
            middle,
            below,
            above,
        } = self;
        [middle - below, *middle, middle + above].map(|ln| ln.exp().min(1e15) as u64)
    }

    /// Puts the forecast under what the run-time head adds; to be called after the linear part has.
    pub fn lay(&self, view: &mut View) {
        view.run_base = self.middle;
        view.run_shift[0] += inverse_softplus(self.below);
        view.run_shift[2] += inverse_softplus(self.above);
    }
}

/// `ln(e^x - 1)` of a positive distance.
fn inverse_softplus(distance: f32) -> f32 {
    if distance > 15.0 {
        distance
    } else {
        distance.exp_m1().ln()
    }
}

/// Run times of all tasks, by context.
#[derive(Clone, Debug)]
pub struct RunTimes {
    histories: Table<History>,
    habits: Table<Habits>,
    /// What a task that has not been seen starts from.
    overall: Habits,
}

impl Default for RunTimes {
    fn default() -> Self {
        Self {
            histories: Table::new(HISTORY_BITS),
            habits: Table::new(TASK_BITS),
            overall: Habits::default(),
        }
    }
}

impl RunTimes {
    /// `next` has been switched in after `prev` at `now_ns`, and `waiting` tasks wait.
    pub fn enter(
        &self,
        course: &mut Course,
        (prev, next): (&TaskInfo, &TaskInfo),
        now_ns: u64,
        waiting: usize,
    ) {
        let entry = Entry::new((prev, next), course.before, course.runs, (now_ns, waiting));
        course.before = Some(entry.prev());
        let task = hash(0, &[u64::from(entry.task())]);
        let habits = self.habits.get(task).unwrap_or(&self.overall);
        let keys = entry.keys(habits.runs);
        course.run = Some(Run {
            task,
            keys,
            forecast: self.forecast(habits, &keys),
        });
    }

    fn forecast(&self, habits: &Habits, keys: &[u64; CONTEXTS]) -> Forecast {
        // All are on their way before the first is looked at. No branch asks which of them are known: that is as good as random.
        let places = keys.map(|key| self.histories.place(key));
        let histories = places.map(|place| self.histories.at(place));
        let records = histories.map(History::record);
        let lengths = histories.map(|history| history.len() as f32);
        let mut expected = [f32::INFINITY; LAST_RESORT];
        for i in 0..LAST_RESORT {
            let (error, tried) = records[i];
            let here = (error * tried + habits.contexts[i] * KIND_WEIGHT) / (tried + KIND_WEIGHT)
                + NEW / (1.0 + lengths[i]);
            expected[i] = if lengths[i] > 0.0 {
                here
            } else {
                f32::INFINITY
            };
        }
        let (mut best, mut least) = (LAST_RESORT, f32::INFINITY);
        for (i, &expected) in expected.iter().enumerate() {
            best = if expected < least { i } else { best };
            least = expected.min(least);
        }
        let history = histories[best];
        let Some(middle) = history.median() else {
            return Forecast {
                middle: FIRST,
                below: WIDE,
                above: WIDE,
            };
        };
        // The task's own runs in any context, or those of its like.
        let widest = (histories.into_iter()).find(|history| history.len() > 0);
        let known = (history.len() as f32 / SPREAD_KNOWN).min(1.0);
        let spread = |level: f32, sign: f32| {
            let of = |history: &History, unknown: f32| {
                let here = history
                    .quantile(level)
                    .map_or(unknown, |quantile| ((quantile - middle) * sign).max(0.0));
                let known = (history.len() as f32 / SPREAD_KNOWN).min(1.0);
                known * here + (1.0 - known) * unknown
            };
            let unknown = if known < 1.0 {
                widest.map_or(WIDE, |widest| of(widest, WIDE))
            } else {
                WIDE
            };
            of(history, unknown).max(NARROW)
        };
        Forecast {
            middle,
            below: spread(0.1, -1.0),
            above: spread(0.9, 1.0),
        }
    }

    /// Takes that correction of the middle which has erred least with the task. The outer quantiles keep their distance.
    pub fn correct(&self, course: &Course, view: &View, scores: &mut Scores) {
        let Some(run) = &course.run else { return };
        let habits = self.habits.get(run.task).unwrap_or(&self.overall);
        let offers = offers(view, scores);
        let mut best = 0;
        for i in 1..CORRECTIONS {
            if habits.corrections[i] < habits.corrections[best] {
                best = i;
            }
        }
        let moved = offers[best] - scores.run[1];
        for quantile in &mut scores.run {
            *quantile += moved;
        }
    }

    /// Judges the corrections of a prediction by `actual`, `ln` ns; to be called before [`Self::learn`].
    pub fn judge(&mut self, course: &Course, view: &View, scores: &Scores, actual: f32) {
        let Some(run) = &course.run else { return };
        let offers = offers(view, scores);
        let own = &mut self.habits.entry(run.task, self.overall).corrections;
        let overall = &mut self.overall.corrections;
        for ((own, overall), offer) in own.iter_mut().zip(overall).zip(offers) {
            let error = distance(offer, actual);
            *own += (error - *own) * RATE;
            *overall += (error - *overall) * RATE;
        }
    }

    /// The current run of a CPU is over; `None` where its length is not known. What led to the next runs is remembered in any case, histories learn the
    /// length only with `count`.
    pub fn learn(&mut self, course: &mut Course, actual_ns: Option<u64>, count: bool) {
        let length = step(actual_ns);
        course.runs = [length, course.runs[0]];
        let Some(run) = course.run.take() else { return };
        let Some(actual_ns) = actual_ns else { return };
        let actual = ln(actual_ns.max(1) as f32);
        let habits = self.habits.entry(run.task, self.overall);
        habits.runs = [length, habits.runs[0], habits.runs[1]];
        if !count {
            return;
        }
        // All are on their way before the first is looked at.
        let claims = run.keys.map(|key| self.histories.claim(key));
        let records = [&mut habits.contexts, &mut self.overall.contexts];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the machine has AVX-512.
            return unsafe { learn_with_avx512(&mut self.histories, claims, actual, records) };
        }
        learn_all(&mut self.histories, claims, actual, records, History::push);
    }
}

/// Adds a run of length `actual` to the histories that were claimed, by `push`, and how far they were off to the `records` of their kinds.
#[expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]
#[inline(always)]
fn learn_all(
    histories: &mut Table<History>,
    claims: [Claim; CONTEXTS],
    actual: f32,
    [own, overall]: [&mut [f32; CONTEXTS]; 2],
    push: impl Fn(&mut History, f32),
) {
    for (i, claim) in claims.into_iter().enumerate() {
        let history = histories.claimed(claim, History::default());
        if let Some(median) = history.median() {
            let error = distance(median, actual);
            own[i] += (error - own[i]) * RATE;
            overall[i] += (error - overall[i]) * RATE;
        }
        push(history, actual);
    }
}

/// [`learn_all`]
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn learn_with_avx512(
    histories: &mut Table<History>,
    claims: [Claim; CONTEXTS],
    actual: f32,
    records: [&mut [f32; CONTEXTS]; 2],
) {
    learn_all(histories, claims, actual, records, |history, value| {
        history::x86::push(history, value);
    });
}

/// The middle quantile with each of the corrections; `ln` ns.
fn offers(view: &View, scores: &Scores) -> [f32; CORRECTIONS] {
    [
        view.run_base,
        view.run_base + view.run_shift[1],
        view.run_base + scores.run_raw[1],
    ]
}

#[cfg(test)]
mod tests;
