//! Events, and the file that keeps them.

#[cfg(test)]
mod arbitrary;
mod block;
mod codec;
pub mod event;
pub mod export;
mod header;
pub mod import;
mod loss;
pub mod origin;
mod reader;
mod source;
#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;
mod writer;

pub use block::Totals;
use header::MAGIC;
pub use loss::Lost;
pub use reader::{ReadError, TraceReader};
pub use writer::{TraceWriter, WriteError};
