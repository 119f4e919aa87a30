//! Who trains the network, and when.

use super::config::{Config, Learning};
use crate::model::{Background, Learner, LearnerProgress, Weights, Window};
use std::sync::Arc;

/// Trains the network on windows that it is shown.
#[derive(Debug)]
pub(super) enum Teacher {
    Nobody,
    /// Who runs the oracle looks at the windows: see [`Sink::window`](super::outcome::Sink::window).
    Elsewhere,
    Inline(Box<Inline>),
    Background(Background),
}

/// Trains in the caller's thread.
#[derive(Debug)]
pub(super) struct Inline {
    learner: Learner,
    every: u32,
    since: u32,
    progress: LearnerProgress,
}

impl Teacher {
    pub(super) fn new(config: &Config, weights: &Weights) -> candle_core::Result<Self> {
        Ok(match config.learning {
            // Windows that nothing will learn from are not worth a copy.
            Learning::Off => Self::Elsewhere,
            Learning::Inline {
                every: Learning::NEVER,
            } => Self::Nobody,
            Learning::Inline { every } => Self::Inline(Box::new(Inline {
                learner: Learner::new(weights, config.seed)?,
                every,
                since: 0,
                progress: LearnerProgress::default(),
            })),
            Learning::Background { cpu_share } => {
                Self::Background(Background::start(weights, config.seed, cpu_share)?)
            }
        })
    }

    /// Whether the views of `window`'s last frame may be learned from. A window that has been begun is filled.
    pub(super) fn wants(&self, window: &Window) -> bool {
        match self {
            Self::Nobody => false,
            Self::Elsewhere | Self::Inline(_) => true,
            Self::Background(background) => {
                background.wants() && window.keeps() || background.has_room()
            }
        }
    }

    /// A decision has been scored. `window` is one that has not been shown yet, if it is full again; `true` if it was taken.
    pub(super) fn decided(&mut self, window: Option<&Window>) -> (bool, Option<Arc<Weights>>) {
        match self {
            Self::Nobody | Self::Elsewhere => (false, None),
            Self::Background(background) => {
                let taken = window.is_some_and(|window| background.offer(window));
                (taken, None)
            }
            Self::Inline(inline) => {
                let taken = window.is_some();
                if let Some(window) = window {
                    inline.learner.add(window);
                }
                (taken, inline.step_if_due())
            }
        }
    }

    /// Exchanges `weights` for those that were finished in the background since the last call, if there are any.
    pub(super) fn take(&self, weights: &mut Arc<Weights>) -> bool {
        match self {
            Self::Background(background) => background.take(weights),
            Self::Nobody | Self::Elsewhere | Self::Inline(_) => false,
        }
    }

    /// Begins no step in the background while `hold`.
    pub(super) fn hold(&self, hold: bool) {
        if let Self::Background(background) = self {
            background.hold(hold);
        }
    }

    /// Ends learning and waits for it.
    pub(super) fn stop(&mut self) {
        if let Self::Background(background) = self {
            background.stop();
        }
    }

    pub(super) fn progress(&self) -> LearnerProgress {
        match self {
            Self::Nobody | Self::Elsewhere => LearnerProgress::default(),
            Self::Inline(inline) => inline.progress,
            Self::Background(background) => background.progress(),
        }
    }
}

impl Inline {
    fn step_if_due(&mut self) -> Option<Arc<Weights>> {
        self.since += 1;
        if self.since < self.every || !self.learner.ready() {
            return None;
        }
        self.since = 0;
        match self.learner.step() {
            Ok(Some(report)) => {
                self.progress.steps += 1;
                self.progress.fallbacks += u64::from(report.fell_back);
                self.progress.loss_bits = report.loss_bits;
                Some(Arc::new(self.learner.weights().clone()))
            }
            Ok(None) => {
                self.progress.refused += 1;
                None
            }
            Err(error) => {
                tracing::error!("a training step failed and is left out: {error}");
                self.progress.refused += 1;
                None
            }
        }
    }
}
