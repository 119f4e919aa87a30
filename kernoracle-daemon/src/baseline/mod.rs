//! The predictors that the model has to beat, and the context counts that it builds on.

mod backoff;
mod contexts;
mod ppm;

pub use backoff::{Backoff, Ranking};
pub use contexts::{Contexts, Matches, ORDERS, Row, SITUATIONS, SituationMatches};
pub use ppm::Ppm;
