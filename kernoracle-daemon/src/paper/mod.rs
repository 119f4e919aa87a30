//! The recipe of the paper *KernelOracle* (arXiv 2505.15213): switches as one-hot tasks and scaled time differences, two LSTM layers of 51,
//! mean squared error, L-BFGS. For comparison with the model that the daemon runs, which is made otherwise.
//!
//! What the paper leaves open is chosen after the PyTorch example that it follows (`time_sequence_prediction`): the training part is cut into
//! parallel sequences, a call of the optimiser with 20 iterations is an epoch, and a forecast feeds the output back as the next input.

mod checkpoint;
mod curve;
mod encoding;
mod layer;
mod lbfgs;
mod matrix;
mod network;
mod parameters;
mod reference;
pub mod sequence;
mod stepper;
mod trainer;

pub use checkpoint::{PaperModel, PaperTraining};
pub use curve::{csv, svg};
pub use encoding::{Encoded, Encoding, Places};
pub use lbfgs::{Lbfgs, Report};
pub use network::greatest;
pub use parameters::{HIDDEN, Layout};
pub use reference::{Reference, ReferenceState};
pub use stepper::Stepper;
pub use trainer::{Optimizer, PaperEpoch, PaperError, PaperPlan, PaperTrainer};
