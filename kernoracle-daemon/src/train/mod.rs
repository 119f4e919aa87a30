//! Training on trace files: replays them through the oracle, and trains the model on what it saw.
//!
//! An epoch is a pass over windows of all recordings, each of which counts the same. What the model saw depends on the model (its own
//! hits are an input), so the recordings are replayed anew now and then, with fresh codes for task instances.

mod harvest;
mod plan;
mod progress;
mod recording;
mod state;
mod trainer;

pub use harvest::{Harvest, harvest};
pub use plan::Plan;
pub use progress::{Epoch, curve};
pub use recording::Recording;
pub use state::StateError;
pub use trainer::{Begun, Trainer};

use crate::model::CheckpointError;
use crate::oracle::ModelError;
use crate::trace::ReadError;
use std::path::PathBuf;

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
    #[error("{}: is given twice", path.display())]
    Twice { path: PathBuf },
    #[error("{}: too short: {training} windows of {length} switches in the first 85 % of its time and {validation} in the rest; both need one: record longer, or give a shorter --length", path.display())]
    TooShort {
        path: PathBuf,
        length: usize,
        training: usize,
        validation: usize,
    },
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("no step of epoch {epoch} led to finite numbers; try a lower --rate")]
    Diverged { epoch: u32 },
}
