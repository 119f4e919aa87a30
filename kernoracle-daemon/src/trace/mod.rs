//! Events, and the file that keeps them.

pub mod event;
pub mod origin;
mod reader;
mod writer;

pub use reader::{Lost, ReadError, TraceReader};
pub use writer::{TraceWriter, WriteError};
