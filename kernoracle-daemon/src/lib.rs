//! Kernoracle: predicts every context switch of the running kernel, and shows whether it was right.
//!
//! `probe | trace file -> oracle (runqueue, baseline, model) -> report`; `train` replays trace files through the oracle and trains the model; `forecast` lets a model run on; see `docs/architecture.md`.

mod aside;
pub mod baseline;
mod bits;
pub mod budget;
pub mod cli;
pub mod forecast;
pub mod model;
pub mod oracle;
pub mod paper;
mod parallel;
mod plot;
mod prefetch;
pub mod priority;
pub mod probe;
pub mod report;
pub mod runqueue;
pub mod trace;
pub mod train;
