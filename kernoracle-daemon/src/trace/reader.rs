//! Reads a trace file.

use super::{event::Event, origin::Origin};
use std::path::{Path, PathBuf};

/// Why a trace file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What a file that was cut or damaged does not give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Byte offset at which the last whole block ends.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
    /// One line: cut block, bad checksum, no end mark.
    pub why: String,
}

/// A trace file that is read from front to end.
#[derive(Debug)]
pub struct TraceReader {}

impl TraceReader {
    /// Opens a trace file and reads its header.
    pub fn open(_path: &Path) -> Result<Self, ReadError> {
        unimplemented!()
    }

    pub fn origin(&self) -> &Origin {
        unimplemented!()
    }

    /// The next event, or `None` at the end; then [`Self::lost`] says whether that is the true end.
    pub fn next_event(&mut self) -> Result<Option<&Event>, ReadError> {
        unimplemented!()
    }

    /// Size of the file and bytes read so far, for a progress bar.
    pub fn position(&self) -> (u64, u64) {
        unimplemented!()
    }

    /// What is missing, known once the events are read.
    pub fn lost(&self) -> Option<&Lost> {
        unimplemented!()
    }
}
