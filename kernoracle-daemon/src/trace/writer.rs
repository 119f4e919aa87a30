//! Writes a trace file.

use super::{
    block::{BlockHead, EVENTS, Head, Packer, Totals},
    codec::{Codec, Columns},
    event::{Body, Event},
    header,
    origin::Origin,
};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why a trace file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{path}: cannot be created: {source}")]
    Create { path: PathBuf, source: io::Error },
    #[error("{path}: {source} {}: free space, then record again", kept(*events))]
    Full {
        path: PathBuf,
        events: u64,
        source: io::Error,
    },
    #[error("{path}: {source}; nothing was recorded, and no file is left behind")]
    Nothing { path: PathBuf, source: io::Error },
    #[error("{path}: {source} {}", kept(*events))]
    Io {
        path: PathBuf,
        events: u64,
        source: io::Error,
    },
    #[error(
        "{path}: the origin does not fit into the header: its command line or another text is over 1 MiB"
    )]
    Origin { path: PathBuf },
    #[error("{path}: was given up after an error; {events} events can be read")]
    GivenUp { path: PathBuf, events: u64 },
}

/// When it happened, and what is left.
fn kept(events: u64) -> String {
    match events {
        0 => "before any event was written".to_owned(),
        events => format!("after {events} events; those can be read"),
    }
}

/// Where the bytes go.
enum Output {
    File(File),
    Stream(Box<dyn Write + Send>),
}

impl Output {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// A trace file that is written as a stream: whatever ends the program, the blocks that were written
/// can be read.
pub struct TraceWriter {
    output: Output,
    path: PathBuf,
    codec: Codec,
    columns: Columns,
    packer: Packer,
    /// Events in the block that is being gathered.
    gathered: u32,
    frame: Vec<u8>,
    totals: Totals,
    bytes: u64,
    /// Nothing more is written: finished, or given up.
    closed: bool,
}

impl fmt::Debug for TraceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceWriter")
            .field("path", &self.path)
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

impl TraceWriter {
    /// Creates the file and writes its header. A file of this name is emptied: a stream that has to
    /// survive `kill -9` cannot be written aside and renamed. `-` is the standard output.
    pub fn create(path: &Path, origin: &Origin) -> Result<Self, WriteError> {
        // Before the file is emptied, all else that can fail.
        let (header, packer) = Self::prepare(path, origin)?;
        let create = |source| WriteError::Create {
            path: path.to_path_buf(),
            source,
        };
        let output = if path == Path::new("-") {
            Output::Stream(Box::new(io::stdout()))
        } else {
            Output::File(File::create(path).map_err(create)?)
        };
        Self::new(output, path, header, packer)
    }

    #[cfg(test)]
    pub(super) fn to_stream(
        stream: Box<dyn Write + Send>,
        path: &Path,
        origin: &Origin,
    ) -> Result<Self, WriteError> {
        let (header, packer) = Self::prepare(path, origin)?;
        Self::new(Output::Stream(stream), path, header, packer)
    }

    fn prepare(path: &Path, origin: &Origin) -> Result<(Vec<u8>, Packer), WriteError> {
        let path = || path.to_path_buf();
        let header = header::encode(origin).ok_or_else(|| WriteError::Origin { path: path() })?;
        let packer = Packer::new().map_err(|source| WriteError::Create {
            path: path(),
            source,
        })?;
        Ok((header, packer))
    }

    fn new(
        output: Output,
        path: &Path,
        header: Vec<u8>,
        packer: Packer,
    ) -> Result<Self, WriteError> {
        let mut writer = Self {
            output,
            path: path.to_path_buf(),
            codec: Codec::default(),
            columns: Columns::new(),
            packer,
            gathered: 0,
            frame: header,
            totals: Totals::default(),
            bytes: 0,
            closed: false,
        };
        writer.write_frame()?;
        Ok(writer)
    }

    /// Appends an event; writes a block when enough are gathered.
    pub fn write(&mut self, event: &Event) -> Result<(), WriteError> {
        self.write_in_place(&mut event.clone())
    }

    /// As [`Self::write`], without a copy: works in the event, and leaves it as it was.
    pub fn write_in_place(&mut self, event: &mut Event) -> Result<(), WriteError> {
        self.check_open()?;
        self.codec
            .event(&mut self.columns, event)
            .unwrap_or_else(|error| unreachable!("writing refuses no event, yet: {error}"));
        self.gathered += 1;
        if let Body::Gap { lost } = event.body {
            self.totals.lost = self.totals.lost.saturating_add(lost);
        }
        if self.gathered as usize == EVENTS {
            self.flush_block()
        } else {
            Ok(())
        }
    }

    /// Writes what is gathered as a block now: a reader sees everything up to here.
    pub fn flush_block(&mut self) -> Result<(), WriteError> {
        self.check_open()?;
        if self.gathered == 0 {
            return Ok(());
        }
        let head = [0; crate::trace::block::HEAD];
        self.frame.clear();
        self.frame.extend_from_slice(&head);
        let packed = self.packer.pack(&mut self.columns, &mut self.frame);
        if let Err(source) = packed {
            return Err(self.give_up(source));
        }
        let payload = &self.frame[head.len()..];
        let head = Head::Block(BlockHead {
            payload: payload.len() as u32,
            events: self.gathered,
            before: self.totals.events,
            checksum: crc32fast::hash(payload),
        })
        .encode();
        self.frame[..head.len()].copy_from_slice(&head);
        self.write_frame()?;
        self.totals.events += u64::from(self.gathered);
        self.totals.blocks += 1;
        self.gathered = 0;
        self.codec.clear();
        Ok(())
    }

    /// Writes the end mark and syncs. Returns events and bytes written.
    pub fn finish(mut self) -> Result<(u64, u64), WriteError> {
        self.flush_block()?;
        self.frame.clear();
        self.frame
            .extend_from_slice(&Head::End(self.totals).encode());
        self.write_frame()?;
        if let Output::File(file) = &self.output
            && file.metadata().is_ok_and(|metadata| metadata.is_file())
            && let Err(source) = file.sync_all()
        {
            return Err(self.give_up(source));
        }
        self.closed = true;
        Ok((self.totals.events, self.bytes))
    }

    /// Bytes that are in the file: header and whole blocks.
    pub fn bytes_written(&self) -> u64 {
        self.bytes
    }

    /// Events that were taken, those not yet in the file included.
    pub fn events_written(&self) -> u64 {
        self.totals.events + u64::from(self.gathered)
    }

    fn write_frame(&mut self) -> Result<(), WriteError> {
        match self.output.write_all(&self.frame) {
            Ok(()) => {
                self.bytes += self.frame.len() as u64;
                Ok(())
            }
            Err(source) => Err(self.give_up(source)),
        }
    }

    /// Takes back the part of a block that did reach the file, or a file in which there is no block, and says why.
    fn give_up(&mut self, source: io::Error) -> WriteError {
        self.closed = true;
        let (path, events) = (self.path.clone(), self.totals.events);
        if let Output::File(file) = &self.output {
            // A device, a pipe or a link stays where it is.
            let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
            if events == 0 && is_file && fs::remove_file(&path).is_ok() {
                return WriteError::Nothing { path, source };
            }
            // Where that fails too, the reader finds the cut block and says so.
            let _ = file.set_len(self.bytes);
        }
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteError::Full {
                path,
                events,
                source,
            },
            _ => WriteError::Io {
                path,
                events,
                source,
            },
        }
    }

    fn check_open(&self) -> Result<(), WriteError> {
        if self.closed {
            return Err(WriteError::GivenUp {
                path: self.path.clone(),
                events: self.totals.events,
            });
        }
        Ok(())
    }
}

impl Drop for TraceWriter {
    /// What is gathered is saved also where an error elsewhere ends the recording; the missing end mark
    /// tells the reader.
    fn drop(&mut self) {
        if !self.closed {
            let _ = self.flush_block();
        }
    }
}
