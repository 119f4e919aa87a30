//! The predictors that the model has to beat, and the context counts that it builds on.

mod backoff;
mod contexts;
mod table;

pub use backoff::{Backoff, Ranking};
pub use contexts::{Contexts, Matches, ORDERS, SITUATIONS, SituationMatches};
pub use table::{Row, Table};
