//! What the oracle keeps for each CPU.

use super::outcome::Unscored;
use crate::baseline::{Contexts, Ppm, Ranking};
use crate::model::situations::Runs;
use crate::model::{
    Counted, Course, Gatherer, Guard, Lstm, RunningLstm, Scores, WakeCounts, Window,
};
use crate::runqueue::{Picks, Sym};

/// Rows of each of the two tables of counts: 4 MiB each a CPU that is in use, resident as far as they are used.
const CONTEXT_BITS: u32 = 17;

/// A prediction that waits for its outcome.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    pub scores: Scores,
    pub guard: Guard,
    pub ready_ns: Option<u64>,
    pub inference_ns: Option<u64>,
}

/// Predictions and their inputs on one CPU.
#[derive(Clone, Debug)]
pub(super) struct CpuState {
    pub contexts: Contexts,
    pub gatherer: Gatherer,
    pub runs: Runs,
    pub wakes: WakeCounts,
    /// What the run-time histories say of the current run.
    pub course: Course,
    pub window: Window,
    pub lstm: RunningLstm,
    /// Time that was spent ahead on the prediction to come, ns; 0 where times are not taken.
    pub ahead_ns: u64,
    /// What the counts say after the current task.
    pub counted: Counted,
    pub order1: Ranking,
    pub backoff8: Ranking,
    /// Only where it was asked for: its memory is not bounded.
    pub ppm8: Option<Ppm>,
    pub picks: Picks,
    pub at_switch: Pending,
    pub refined: Pending,
    /// A prediction stands for the next switch.
    pub predicted: bool,
    /// A refined prediction stands too.
    pub refined_stands: bool,
    /// Something woke since the last prediction.
    pub refine_due: bool,
    /// Why the next switch cannot be scored.
    pub excuse: Option<Unscored>,
    pub last_ts_ns: u64,
    /// Decisions since a window was handed to the learner.
    pub since_offer: usize,
    pub current: Option<Sym>,
    /// Before the first switch of the window that is being filled: the LSTM's state and the time, ns.
    pub window_start: (Lstm, u64),
}

impl CpuState {
    pub(super) fn new(window: usize, ppm8: bool) -> Self {
        Self {
            contexts: Contexts::new(CONTEXT_BITS),
            gatherer: Gatherer::default(),
            runs: Runs::default(),
            wakes: WakeCounts::default(),
            course: Course::default(),
            window: Window::new(window),
            lstm: RunningLstm::default(),
            ahead_ns: 0,
            counted: Counted::default(),
            order1: Ranking::default(),
            backoff8: Ranking::default(),
            ppm8: ppm8.then(|| Ppm::new(8)),
            picks: Picks::default(),
            at_switch: Pending::default(),
            refined: Pending::default(),
            predicted: false,
            refined_stands: false,
            refine_due: false,
            excuse: Some(Unscored::First),
            last_ts_ns: 0,
            since_offer: 0,
            current: None,
            window_start: (Lstm::default(), 0),
        }
    }

    /// The sequence of switches is broken.
    pub(super) fn cut(&mut self, excuse: Unscored) {
        self.contexts.cut();
        if let Some(ppm8) = &mut self.ppm8 {
            ppm8.cut();
        }
        self.gatherer.cut();
        self.runs.cut();
        self.wakes.cut();
        self.course.cut();
        self.forget_window();
        self.predicted = false;
        self.current = None;
        self.excuse = Some(excuse);
    }

    /// Nothing has been counted.
    pub(super) fn forget_counts(&mut self) {
        self.contexts = Contexts::new(CONTEXT_BITS);
        self.gatherer = Gatherer::default();
        self.wakes = WakeCounts::default();
        self.counted = Counted::default();
        if let Some(ppm8) = &mut self.ppm8 {
            *ppm8 = Ppm::new(8);
        }
    }

    /// The chain of predictions is broken, though the switches are known.
    pub(super) fn forget_window(&mut self) {
        self.window.clear();
        self.lstm = RunningLstm::default();
        self.window_start = (Lstm::default(), self.last_ts_ns);
        self.since_offer = 0;
        self.refine_due = false;
        self.refined_stands = false;
    }
}
