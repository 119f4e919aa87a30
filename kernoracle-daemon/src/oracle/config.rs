//! Set-up of an oracle.

use crate::model::{CheckpointError, Model};
use std::path::PathBuf;

/// How the model learns while it predicts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// The weights stay as they are.
    Off,
    /// A training step after every so many decisions, in the caller's thread: reproducible. After [`Self::NEVER`], none: only the linear
    /// parts and the counts learn.
    Inline { every: u32 },
    /// A thread of the lowest priority, held to this share of one CPU (0 to 1).
    Background { cpu_share: f64 },
}

impl Learning {
    /// In place of the number of decisions between training steps.
    pub const NEVER: u32 = u32::MAX;
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

/// The model that an oracle starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// The one that the binary holds.
    #[default]
    Default,
    Untrained,
    File(PathBuf),
}

impl StartFrom {
    /// The model, and what it is called.
    pub fn model(&self, seed: u64) -> Result<(Model, String), CheckpointError> {
        Ok(match self {
            Self::Default => {
                let model = Model::embedded()?;
                let name = format!("default model ({model})");
                (model, name)
            }
            Self::Untrained => (Model::untrained(seed), "untrained".to_owned()),
            Self::File(path) => {
                let model = Model::load(path)?;
                let name = format!("from {} ({model})", path.display());
                (model, name)
            }
        })
    }
}

/// Set-up of an oracle.
#[derive(Clone, Debug)]
pub struct Config {
    /// Switches in the rolling window of each CPU.
    pub window: usize,
    pub seed: u64,
    pub learning: Learning,
    pub engine: Engine,
    pub model: StartFrom,
    /// Predictions carry lead and inference time.
    pub live: bool,
    /// Predictions carry inference time, also where they are not live.
    pub timed: bool,
}

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}
