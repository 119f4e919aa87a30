//! The model: an LSTM over the window's switches and a head that scores candidates.
//!
//! `features` turns state into numbers, `forward` turns numbers into scores with plain arrays, `net` is the same network in
//! candle, for training (`loss`) and as the `reference`, `mixer` and `run_mixer` adapt the linear parts at every switch.
//! `run_time` holds what run times have been, by context; the run-time head adds to it.

#[cfg(test)]
#[macro_use]
mod versions;

mod adamw;
mod background;
mod batch;
mod candidates;
pub mod checkpoint;
mod code_rows;
mod counted;
mod differing;
pub mod features;
mod forward;
mod frame;
mod guard;
mod kept;
mod learner;
mod linear;
mod loss;
mod mixer;
#[expect(
    clippy::module_inception,
    reason = "the thing that the module is about"
)]
mod model;
mod net;
mod numeric;
mod odds;
mod packed;
mod pairs;
mod pretrain;
mod ragged;
mod recurrence;
mod reference;
mod run_mixer;
mod run_time;
mod running;
pub mod situations;
mod vector;
mod wakes;
mod weights;
mod without;

pub(crate) use adamw::AdamW;
pub use background::Background;
pub use candidates::{Gatherer, Moment};
pub use checkpoint::{CheckpointError, Precision};
pub use code_rows::CodeRows;
pub use counted::Counted;
pub use forward::{Lstm, Scores, lstm_step, score};
pub use frame::{Candidate, Frame, MAX_CANDIDATES, View, Window};
pub use guard::Guard;
pub use learner::{Learner, LearnerProgress, StepReport};
pub use linear::Linear;
pub use mixer::Mixer;
pub use model::{Model, Training};
pub use numeric::{log_count, log_time};
pub(crate) use numeric::{sigmoid, tanh};
pub use packed::{Packed, Sequence};
pub use pretrain::{Moments, Pretrainer, Step, Tally, assess};
pub use reference::Reference;
pub use run_mixer::RunMixer;
pub use run_time::{Course, Forecast, RunTimes};
pub use running::RunningLstm;
pub use vector::Vector;
pub use wakes::{WakeCounts, Wakes};
pub use weights::{Weights, shape};
pub use without::Without;

#[cfg(test)]
mod tests;
