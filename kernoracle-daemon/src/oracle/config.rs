//! Set-up of an oracle.

use crate::model::CheckpointError;
use std::path::PathBuf;

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

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}
