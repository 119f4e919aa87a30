//! Log lines, scoreboard, tables.
//!
//! The reader of events calls [`Reporter`], which counts and chooses; a thread of its own formats and
//! writes. Between them is a bounded queue, so that a slow terminal or disk never holds up the reader.

mod calibration;
pub mod docs;
pub mod evaluation;
pub mod fields;
pub mod lines;
mod misses;
mod outlet;
pub mod prediction;
mod reporter;
mod run_time;
mod sampler;
pub mod score;
mod spread;
pub mod table;
mod tally;
mod tasks;
mod text;
mod writer;

pub use calibration::{CalibrationBin, CalibrationFigures};
pub use misses::MissCounts;
pub use outlet::{Shed, WhenFull};
pub use reporter::{Ending, Reporter, Settings};
pub use run_time::RunTimeFigures;
pub use sampler::Choose;
pub use tally::{Both, Figures};
pub use tasks::TaskFigures;
pub use writer::{Format, OutputError};
