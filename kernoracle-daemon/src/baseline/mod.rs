//! The predictors that the model has to beat, and the context counts that it builds on.

mod backoff;
mod contexts;

pub use backoff::{Backoff, Ranking};
pub use contexts::{Contexts, Matches, ORDERS, Row, SITUATIONS, SituationMatches};
