//! The loop: event in, score, update, predict, prediction out.

pub mod outcome;

use crate::trace::{event::Event, origin::Origin};
use outcome::Sink;
use std::path::{Path, PathBuf};

/// How the model learns while it predicts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// The weights stay as they are.
    Off,
    /// A training step after every so many decisions, in the caller's thread: reproducible.
    Inline { every: u32 },
    /// A thread of the lowest priority, held to this share of one CPU (0 to 1).
    Background { cpu_share: f64 },
}

/// What computes the forward step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Plain arrays; the same numbers, several times faster.
    #[default]
    Plain,
    /// candle's own LSTM, the reference.
    Candle,
}

/// Set-up of an oracle.
#[derive(Clone, Debug)]
pub struct Config {
    /// Switches in the rolling window of each CPU.
    pub window: usize,
    pub seed: u64,
    pub learning: Learning,
    pub engine: Engine,
    /// Start from these weights instead of untrained ones.
    pub model: Option<PathBuf>,
    /// Predictions carry lead and inference time.
    pub live: bool,
}

/// A model file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{path}: {what}")]
    Unusable { path: PathBuf, what: String },
}

/// How far the learner has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearnerProgress {
    /// Optimiser steps.
    pub steps: u64,
    /// Times that new weights were swapped in.
    pub swaps: u64,
    /// Mean loss of the last step, bits per switch.
    pub loss_bits: f32,
    /// CPU time used for learning, ns.
    pub cpu_ns: u64,
}

/// Predicts every switch of every CPU of one machine, from its events alone.
#[derive(Debug)]
pub struct Oracle {
    _config: Config,
}

impl Oracle {
    /// An oracle for a machine like `origin`'s.
    pub fn new(config: Config, _origin: &Origin) -> Result<Self, ModelError> {
        Ok(Self { _config: config })
    }

    /// Takes the next event: scores the prediction that it decides, then learns it, then predicts.
    pub fn event(&mut self, _event: &Event, _sink: &mut dyn Sink) {}

    /// The batch of events is over: makes the predictions that are due, so that they lead.
    pub fn settle(&mut self) {}

    /// While the reader is behind, state is kept and nothing is predicted.
    pub fn set_overload(&mut self, _overload: bool) {}

    /// One line: shape, parameters, trained or not, engine.
    pub fn describe(&self) -> String {
        String::new()
    }

    pub fn learner(&self) -> LearnerProgress {
        LearnerProgress::default()
    }

    /// Ends learning and waits for it.
    pub fn stop_learning(&mut self) {}

    /// Writes the weights (safetensors), aside and then renamed.
    pub fn save(&self, _path: &Path) -> Result<(), ModelError> {
        Ok(())
    }
}
