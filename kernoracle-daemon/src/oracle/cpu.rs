//! What the oracle keeps for each CPU.

use super::outcome::Unscored;
use crate::baseline::{Contexts, Ranking};
use crate::model::{Counted, Course, Gatherer, Lstm, Scores, Window};
use crate::runqueue::{Picks, Sym};

/// Rows of context counts: 8 MiB a CPU that is in use.
const CONTEXT_BITS: u32 = 18;

/// A prediction that waits for its outcome.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub scores: Scores,
    pub ready_ns: Option<u64>,
    pub inference_ns: Option<u64>,
}

/// Predictions and their inputs on one CPU.
#[derive(Debug)]
pub(super) struct CpuState {
    pub contexts: Contexts,
    pub gatherer: Gatherer,
    /// What the run-time histories say of the current run.
    pub course: Course,
    pub window: Window,
    pub lstm: Lstm,
    /// What the counts say after the current task.
    pub counted: Counted,
    pub order1: Ranking,
    pub backoff8: Ranking,
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
}

impl CpuState {
    pub(super) fn new(window: usize) -> Self {
        Self {
            contexts: Contexts::new(CONTEXT_BITS),
            gatherer: Gatherer::default(),
            course: Course::default(),
            window: Window::new(window),
            lstm: Lstm::default(),
            counted: Counted::default(),
            order1: Ranking::default(),
            backoff8: Ranking::default(),
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
        }
    }

    /// The sequence of switches is broken.
    pub(super) fn cut(&mut self, excuse: Unscored) {
        self.contexts.cut();
        self.gatherer.cut();
        self.course.cut();
        self.forget_window();
        self.predicted = false;
        self.current = None;
        self.excuse = Some(excuse);
    }

    /// The chain of predictions is broken, though the switches are known.
    pub(super) fn forget_window(&mut self) {
        self.window.clear();
        self.lstm = Lstm::default();
        self.since_offer = 0;
        self.refine_due = false;
        self.refined_stands = false;
    }
}
