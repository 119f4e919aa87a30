//! The predictors that the model has to beat, and the context counts that it builds on.

mod backoff;
mod contexts;
mod ppm;
mod table;

pub use backoff::{Backoff, RANKED, Ranking, Successors};
pub use contexts::{Contexts, Matches, ORDERS, SITUATIONS, SituationMatches};
pub use ppm::Ppm;
pub use table::{Place, Row, Table, WIDTH};
