//! Writes a trace file.

use super::{event::Event, origin::Origin};
use std::path::{Path, PathBuf};

/// Why a trace file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// A trace file that is written as a stream.
#[derive(Debug)]
pub struct TraceWriter {}

impl TraceWriter {
    /// Creates the file and writes its header.
    pub fn create(_path: &Path, _origin: &Origin) -> Result<Self, WriteError> {
        unimplemented!()
    }

    /// Appends an event; writes a block when enough are gathered.
    pub fn write(&mut self, _event: &Event) -> Result<(), WriteError> {
        unimplemented!()
    }

    /// Writes what is gathered as a block now: a reader sees everything up to here.
    pub fn flush_block(&mut self) -> Result<(), WriteError> {
        unimplemented!()
    }

    /// Writes the end mark and syncs. Returns events and bytes written.
    pub fn finish(self) -> Result<(u64, u64), WriteError> {
        unimplemented!()
    }
}
