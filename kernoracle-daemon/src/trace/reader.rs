//! Reads a trace file.

use super::{
    block::{BLOCK_MARKER, BlockHead, END_MARKER, HEAD, Head, Totals, Unpacker},
    codec::{Codec, Cursors, next_seq},
    event::{Body, Event},
    header::{self, VERSION},
    loss::{Losses, Lost},
    origin::Origin,
    source::Source,
};
use foldhash::HashMap;
use std::{
    fmt, io, mem,
    path::{Path, PathBuf},
};

/// Why a trace file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path}: at byte {at}: {source}")]
    Io {
        path: PathBuf,
        at: u64,
        source: io::Error,
    },
    #[error("{path}: is empty: its recording never began; record again")]
    Empty { path: PathBuf },
    #[error("{path}: not a Kernoracle trace file: give one that `kernoracle record` wrote")]
    Foreign { path: PathBuf },
    #[error(
        "{path}: format version {found}, this program reads {VERSION}: use the version of kernoracle that wrote it"
    )]
    Version { path: PathBuf, found: u32 },
    #[error(
        "{path}: cut inside the header, at byte {at}: nothing can be read; copy it anew or record again"
    )]
    HeaderCut { path: PathBuf, at: u64 },
    #[error(
        "{path}: damaged header (bad checksum or length): nothing can be read; copy it anew or record again"
    )]
    HeaderDamaged { path: PathBuf },
    #[error("{path}: the header's origin, at byte 16, is not what this version writes: {source}")]
    Origin {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// A trace file that is read from front to end. A damaged block is passed over: the events behind it
/// are read, with a [`Body::Gap`] before the next event of each CPU that misses some.
pub struct TraceReader {
    source: Source,
    path: PathBuf,
    origin: Origin,
    codec: Codec,
    cursors: Cursors,
    unpacker: Unpacker,
    event: Event,
    /// Stands before `event` if that is held back.
    gap: Event,
    held_back: bool,
    /// Events of the current block that are still to come, and its offset.
    left: u32,
    block: u64,
    /// Events that were read, or known to be unreadable.
    passed: u64,
    cpus: HashMap<u32, Continuity>,
    totals: Option<Totals>,
    losses: Losses,
    done: bool,
}

/// The numbering of one CPU's events.
#[derive(Clone, Copy, Debug)]
struct Continuity {
    next: u64,
    /// A block was passed over since the last event.
    doubtful: bool,
}

impl fmt::Debug for TraceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceReader")
            .field("source", &self.source)
            .field("losses", &self.losses)
            .finish_non_exhaustive()
    }
}

impl TraceReader {
    /// Opens a trace file and reads its header. `-` is the standard input.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let source = Source::open(path).map_err(|source| ReadError::Open {
            path: path.to_path_buf(),
            source,
        })?;
        Self::new(source, path)
    }

    pub(super) fn new(mut source: Source, path: &Path) -> Result<Self, ReadError> {
        let origin = header::read(&mut source, path)?;
        let unpacker = Unpacker::new().map_err(|source| ReadError::Open {
            path: path.to_path_buf(),
            source,
        })?;
        let blank = Event {
            ts_ns: 0,
            seq: 0,
            cpu: 0,
            body: Body::Gap { lost: 0 },
        };
        Ok(Self {
            source,
            path: path.to_path_buf(),
            origin,
            codec: Codec::default(),
            cursors: Cursors::new(),
            unpacker,
            event: blank.clone(),
            gap: blank,
            held_back: false,
            left: 0,
            block: 0,
            passed: 0,
            cpus: HashMap::default(),
            totals: None,
            losses: Losses::default(),
            done: false,
        })
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The next event, or `None` at the end; then [`Self::lost`] says whether that is the true end.
    pub fn next_event(&mut self) -> Result<Option<&Event>, ReadError> {
        if mem::take(&mut self.held_back) {
            return Ok(Some(&self.event));
        }
        loop {
            while self.left == 0 {
                if self.done {
                    return Ok(None);
                }
                self.next_block()?;
            }
            match self.codec.event(&mut self.cursors, &mut self.event) {
                Ok(()) => break,
                Err(malformed) => {
                    let why = format!(
                        "block does not decode, {} of its events are lost: {malformed}",
                        self.left
                    );
                    self.passed = self.passed.saturating_add(mem::take(&mut self.left).into());
                    self.lose(self.block, 0, &why);
                }
            }
        }
        self.left -= 1;
        self.passed = self.passed.saturating_add(1);
        if self.left == 0 && !self.cursors.exhausted() {
            let why = format!("block does not decode: {}", super::codec::Malformed::Left);
            self.lose(self.block, 0, &why);
        }
        self.held_back = self.misses_events();
        Ok(Some(if self.held_back {
            &self.gap
        } else {
            &self.event
        }))
    }

    /// Size of the file (of what was read so far, if it is a pipe) and bytes read so far.
    pub fn position(&self) -> (u64, u64) {
        let read = self.source.offset();
        (self.source.size().unwrap_or(read).max(read), read)
    }

    /// What is missing, known once the events are read.
    pub fn lost(&self) -> Option<&Lost> {
        self.losses.sum()
    }

    /// What the end mark says, once it is read; `None` in a file that was cut.
    pub fn totals(&self) -> Option<Totals> {
        self.totals
    }

    /// Keeps the books on `event`'s CPU; prepares a gap if a block that was passed over held some of
    /// its events.
    fn misses_events(&mut self) -> bool {
        let event = &self.event;
        let next = next_seq(event);
        let Some(cpu) = self.cpus.get_mut(&event.cpu) else {
            self.cpus.insert(
                event.cpu,
                Continuity {
                    next,
                    doubtful: false,
                },
            );
            return false;
        };
        let missing = event.seq.saturating_sub(cpu.next);
        let misses = mem::take(&mut cpu.doubtful) && missing > 0;
        if misses {
            self.gap = Event {
                ts_ns: event.ts_ns,
                seq: cpu.next,
                cpu: event.cpu,
                body: Body::Gap { lost: missing },
            };
        }
        cpu.next = next;
        misses
    }

    /// Makes the next block current, or ends.
    fn next_block(&mut self) -> Result<(), ReadError> {
        let offset = self.source.offset();
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ReadError::Io {
                path,
                at: offset,
                source,
            }
        };
        let bytes = self.source.peek(HEAD).map_err(io(&self.path))?;
        if bytes.is_empty() {
            self.done = true;
            self.lose(offset, 0, "no end mark: the recording was cut off here");
            return Ok(());
        }
        let Some(bytes) = bytes.first_chunk::<HEAD>() else {
            let len = bytes.len();
            self.cut(offset, len, "the head of a block");
            return Ok(());
        };
        let head = match Head::decode(bytes) {
            Some(Head::Block(head)) => head,
            Some(Head::End(totals)) => {
                self.source.consume(HEAD);
                return self.end(totals).map_err(io(&self.path));
            }
            None => {
                self.source
                    .seek_marker(BLOCK_MARKER, END_MARKER)
                    .map_err(io(&self.path))?;
                let bytes = self.source.offset() - offset;
                self.lose(offset, bytes, "no whole block begins here");
                return Ok(());
            }
        };
        let BlockHead {
            payload: payload_len,
            events,
            before,
            checksum,
        } = head;
        let whole = HEAD + payload_len as usize;
        let bytes = self.source.peek(whole).map_err(io(&self.path))?;
        if bytes.len() < whole {
            let (len, why) = (bytes.len(), &format!("a block of {events} events"));
            self.cut(offset, len, why);
            return Ok(());
        }
        let payload = &bytes[HEAD..];
        let problem = if crc32fast::hash(payload) == checksum {
            let unpacked = self.unpacker.unpack(payload, &mut self.cursors);
            unpacked.err().map(|malformed| malformed.to_string())
        } else {
            Some("bad checksum".to_owned())
        };
        self.source.consume(whole);
        if let Some(problem) = problem {
            self.passed = self.passed.saturating_add(events.into());
            self.lose(
                offset,
                whole as u64,
                &format!("a block of {events} events is damaged: {problem}"),
            );
            return Ok(());
        }
        if before > self.passed && self.losses.sum().is_none() {
            self.lose(
                offset,
                0,
                &format!(
                    "{} events are missing before this block",
                    before - self.passed
                ),
            );
        }
        self.passed = before.max(self.passed);
        self.codec.clear();
        (self.left, self.block) = (events, offset);
        Ok(())
    }

    /// The file ends inside of something.
    fn cut(&mut self, offset: u64, len: usize, inside: &str) {
        self.source.consume(len);
        self.done = true;
        let why = format!("cut inside {inside}; the recording had not ended");
        self.lose(offset, len as u64, &why);
    }

    /// The end mark was read.
    fn end(&mut self, totals: Totals) -> io::Result<()> {
        self.done = true;
        self.totals = Some(totals);
        let offset = self.source.offset();
        let mut behind = 0;
        loop {
            let len = self.source.peek(1 << 16)?.len();
            if len == 0 {
                break;
            }
            self.source.consume(len);
            behind += len as u64;
        }
        if behind > 0 {
            self.lose(offset, behind, "bytes behind the end mark");
        }
        if totals.events > self.passed && self.losses.sum().is_none() {
            let missing = totals.events - self.passed;
            self.lose(
                offset - HEAD as u64,
                0,
                &format!("{missing} events are missing before the end mark"),
            );
        }
        Ok(())
    }

    /// Notes a loss: from here on, every CPU may miss events.
    fn lose(&mut self, offset: u64, bytes: u64, why: &str) {
        self.cpus.values_mut().for_each(|cpu| cpu.doubtful = true);
        self.losses.add(offset, bytes, why);
    }
}
