//! The model: an LSTM over the window's switches and a head that scores candidates.
//!
//! `features` turns state into numbers, `forward` turns numbers into scores with plain arrays, `net` is the same network in
//! candle, for training and as the reference, `mixer` and `run_mixer` adapt the linear parts at every switch.
//! `run_time` holds what run times have been, by context; the run-time head adds to it.

mod background;
mod candidates;
mod checkpoint;
pub mod features;
mod forward;
mod frame;
mod learner;
mod linear;
mod mixer;
mod net;
mod numeric;
mod run_mixer;
mod run_time;
mod weights;

pub use background::Background;
pub use candidates::{Counted, Gatherer, Moment};
pub use checkpoint::{CheckpointError, load, save};
pub use forward::{Lstm, Scores, score};
pub use frame::{Frame, MAX_CANDIDATES, View, Window};
pub use learner::{Learner, LearnerProgress, StepReport};
pub use linear::Linear;
pub use mixer::Mixer;
pub use net::Reference;
pub use numeric::{log_count, log_time};
pub use run_mixer::RunMixer;
pub use run_time::{Course, Forecast, RunTimes};
pub use weights::{Weights, shape};

#[cfg(test)]
mod tests;
