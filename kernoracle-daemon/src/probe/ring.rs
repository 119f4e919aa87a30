//! The reading end of the ring. See [`kernoracle_common::ring`].

use super::{config::memory_bytes, error::ProbeError};
use crate::prefetch::prefetch_at;
use aya::{Ebpf, maps::Map};
use kernoracle_common::ring::{CHUNK_BYTES, Chunk, Ends, MARK_BYTES, Position, Size, level};
use memmap2::{MmapOptions, MmapRaw};
use std::{
    fmt, io,
    mem::offset_of,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// How far before its time a part of the ring is asked for: more than ten records.
const AHEAD_BYTES: usize = 2048;
const LINE_BYTES: usize = 64;
/// The programs are told how far the reader is when it has come so far, or an eighth of the ring if that is less, and at the end of what is
/// there: they look at that line for every record.
const TOLD_BYTES: u64 = 4096;

/// The ring of records.
pub struct Ring {
    chunks: MmapRaw,
    ends: MmapRaw,
    bytes: u32,
    size: Size,
    /// Where the next record begins.
    at: Position,
    /// Bytes that have been read.
    read: u64,
    /// Bytes of those that the programs know of.
    told: u64,
    /// See [`Ends::pause_beyond`].
    pause_beyond: u64,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("backlog_bytes", &self.backlog_bytes())
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Maps the programs' ring, of so many bytes.
    pub fn new(ebpf: &Ebpf, bytes: u32) -> Result<Self, ProbeError> {
        let chunks = mapped(
            ebpf,
            "RECORDS",
            memory_bytes(bytes) as usize,
            MmapOptions::map_raw_read_only,
        )
        .map_err(|error| unmapped(error, bytes))?;
        let ends = mapped(ebpf, "ENDS", size_of::<Ends>(), MmapOptions::map_raw)?;
        Ok(Self::of(chunks, ends, bytes))
    }

    fn of(chunks: MmapRaw, ends: MmapRaw, bytes: u32) -> Self {
        let mut ring = Self {
            chunks,
            ends,
            bytes,
            size: Size::of(bytes),
            at: 0,
            read: 0,
            told: 0,
            pause_beyond: u64::MAX,
        };
        ring.limit(u64::MAX);
        ring
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes.into()
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> u64 {
        memory_bytes(self.bytes)
    }

    /// The next record, if it has been handed over.
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.read - self.told >= TOLD_BYTES.min(self.bytes() / 8) {
            self.tell();
        }
        let entry = self.entry(self.at);
        // SAFETY: inside the mapping, and aligned, for positions count words. The programs write it behind the record.
        let mark = unsafe { AtomicU64::from_ptr(entry.cast_mut().cast()) }.load(Ordering::Acquire);
        let Some(bytes) = self.size.marked(mark, self.at) else {
            self.tell();
            self.rewind();
            self.attend();
            return None;
        };
        // What the programs have written is not near, and where a record is, the one before it says: without this the reader waits for
        // each one's first line.
        let ahead = self.entry(self.at.wrapping_add(self.size.advance(AHEAD_BYTES)));
        for line in 0..=bytes / LINE_BYTES {
            prefetch_at(ahead.wrapping_add(line * LINE_BYTES));
        }
        self.at = self.at.wrapping_add(self.size.advance(bytes));
        self.read += bytes as u64;
        // SAFETY: a record is inside its chunk, as `marked` has checked. It is not written to until the programs have been told that the reader
        // is behind it, at the next call.
        Some(unsafe { std::slice::from_raw_parts(entry.add(MARK_BYTES), bytes - MARK_BYTES) })
    }

    /// The memory of a position.
    fn entry(&self, at: Position) -> *const u8 {
        let offset = self.size.offset(at) as usize;
        let (chunk, offset) = (offset / CHUNK_BYTES, offset % CHUNK_BYTES);
        let base = self.chunks.as_ptr();
        base.wrapping_add(chunk * size_of::<Chunk>() + offset)
    }

    /// Lets the programs write over what has been read.
    fn tell(&mut self) {
        if self.told != self.read {
            self.told = self.read;
            self.word(offset_of!(Ends, consumer))
                .store(self.at, Ordering::Release);
        }
    }

    /// Begins at the start of the memory again, if nothing is queued.
    fn rewind(&mut self) {
        let start = self.size.rewound(self.at);
        if start == self.at {
            return;
        }
        let moved = self.word(offset_of!(Ends, producer)).compare_exchange(
            self.at,
            start,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if moved.is_ok() {
            self.at = start;
        }
    }

    /// One of the words of [`Ends`].
    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: inside the mapping, which lives as long as the value, and aligned; both sides change it whole.
        unsafe { AtomicU64::from_ptr(self.ends.as_mut_ptr().add(offset).cast()) }
    }

    /// See [`Ends::pause_beyond`].
    pub fn limit(&mut self, queued_bytes: u64) {
        self.pause_beyond = queued_bytes;
        self.word(offset_of!(Ends, pause_beyond))
            .store(queued_bytes, Ordering::Relaxed);
        self.attend();
    }

    /// See [`Ends::attend_beyond`].
    fn attend(&self) {
        let first = level(self.bytes).min(self.pause_beyond);
        let beyond = self.word(offset_of!(Ends, attend_beyond));
        if beyond.load(Ordering::Relaxed) != first {
            beyond.store(first, Ordering::Relaxed);
        }
    }

    /// Bytes that are reserved and have not been read.
    pub fn backlog_bytes(&self) -> u64 {
        let producer = self
            .word(offset_of!(Ends, producer))
            .load(Ordering::Acquire);
        self.size.between(self.at, producer)
    }

    pub fn read_bytes(&self) -> u64 {
        self.read
    }

    /// Behind all that is reserved now: as many will have been read.
    pub fn end(&self) -> u64 {
        self.read + self.backlog_bytes()
    }
}

/// Maps an array.
fn mapped(
    ebpf: &Ebpf,
    name: &'static str,
    bytes: usize,
    map: fn(&MmapOptions, i32) -> io::Result<MmapRaw>,
) -> Result<MmapRaw, ProbeError> {
    let Some(Map::Array(array)) = ebpf.map(name) else {
        return Err(ProbeError::Object {
            reason: format!("it has no array {name}"),
        });
    };
    map(
        MmapOptions::new().len(bytes),
        array.fd().as_fd().as_raw_fd(),
    )
    .map_err(|source| ProbeError::Map {
        map: name.to_owned(),
        source,
    })
}

/// The kernel made the ring, but this process has no room to map it.
fn unmapped(error: ProbeError, bytes: u32) -> ProbeError {
    match error {
        ProbeError::Map { source, .. } if source.kind() == io::ErrorKind::OutOfMemory => {
            ProbeError::RingTooLarge { bytes, source }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernoracle_common::ring::{LONGEST_BYTES, most_queued};
    use memmap2::MmapMut;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const BYTES: u32 = 4096;
    const WORDS: usize = LONGEST_BYTES / 8;

    fn ring() -> Ring {
        let map = |bytes| MmapRaw::from(MmapMut::map_anon(bytes).unwrap());
        Ring::of(
            map(memory_bytes(BYTES) as usize),
            map(size_of::<Ends>()),
            BYTES,
        )
    }

    /// What a program does, on the reader's mapping.
    #[derive(Clone, Copy, Debug)]
    struct Reserved {
        at: Position,
        words: usize,
    }

    fn reserve(ring: &Ring, words: usize) -> Option<Reserved> {
        let load = |offset| ring.word(offset).load(Ordering::Relaxed);
        let producer = load(offset_of!(Ends, producer));
        let queued = ring
            .size
            .between(load(offset_of!(Ends, consumer)), producer);
        if queued > most_queued(BYTES, 1).unwrap() {
            return None;
        }
        let step = ring.size.advance(words * 8);
        let producer = ring.word(offset_of!(Ends, producer));
        let at = producer.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| {
            Some(at.wrapping_add(step))
        });
        Some(Reserved {
            at: at.unwrap(),
            words,
        })
    }

    /// All words are `value`.
    fn submit(ring: &Ring, Reserved { at, words }: Reserved, value: u64) {
        let entry: *mut u64 = ring.entry(at).cast_mut().cast();
        for word in 1..words {
            // SAFETY: inside the mapping, which is writable here.
            unsafe { entry.add(word).write(value) };
        }
        // SAFETY: as above.
        unsafe { entry.write(ring.size.mark(at, words * 8)) };
    }

    fn read(ring: &mut Ring) -> Option<(usize, u64)> {
        let record = ring.next()?;
        let (words, rest) = record.as_chunks::<8>();
        assert!(rest.is_empty());
        let value = u64::from_ne_bytes(words[0]);
        assert!(words.iter().all(|&word| u64::from_ne_bytes(word) == value));
        Some((words.len() + 1, value))
    }

    proptest! {
        /// Programs of several CPUs that reserve, are held up and hand over in another order, against a reader that is held up too; the
        /// memory is at times written over with what looks like anything.
        #[test]
        fn every_record_is_read_whole_and_in_order(
            start: u64,
            steps in prop::collection::vec((0..9_u8, 2..=WORDS, any::<u64>()), 0..3000),
        ) {
            let mut ring = ring();
            // Positions count beyond what they can hold, from anywhere.
            ring.at = start;
            ring.word(offset_of!(Ends, producer)).store(start, Ordering::Relaxed);
            ring.word(offset_of!(Ends, consumer)).store(start, Ordering::Relaxed);
            let mut open: Vec<(Reserved, u64)> = Vec::new();
            let mut written: VecDeque<(usize, u64)> = VecDeque::new();
            for (step, words, value) in steps {
                match step {
                    0..=3 => if let Some(reserved) = reserve(&ring, words) {
                        written.push_back((words, value));
                        open.push((reserved, value));
                    } else {
                        prop_assert!(ring.backlog_bytes() > u64::from(BYTES) / 2 - 2048 || ring.told != ring.read);
                    },
                    4..=6 => if !open.is_empty() {
                        let (reserved, value) = open.swap_remove(value as usize % open.len());
                        submit(&ring, reserved, value);
                    },
                    _ => for _ in 0..value % 16 {
                        let Some(record) = read(&mut ring) else { break };
                        prop_assert_eq!(Some(record), written.pop_front());
                    },
                }
            }
            for (reserved, value) in open {
                submit(&ring, reserved, value);
            }
            while let Some(record) = read(&mut ring) {
                prop_assert_eq!(Some(record), written.pop_front());
            }
            prop_assert_eq!(written.len(), 0);
            prop_assert_eq!(ring.backlog_bytes(), 0);
            prop_assert_eq!(ring.size.offset(ring.at), 0);
        }
    }

    #[test]
    fn what_is_read_at_once_stays_at_the_start_of_the_memory() {
        let mut ring = ring();
        for value in 0..1000 {
            let reserved = reserve(&ring, 30).unwrap();
            assert_eq!(ring.size.offset(reserved.at), 0);
            assert_eq!(read(&mut ring), None, "not handed over");
            submit(&ring, reserved, value);
            assert_eq!(read(&mut ring), Some((30, value)));
            assert_eq!(read(&mut ring), None);
        }
        assert_eq!(ring.read_bytes(), 1000 * 30 * 8);
    }

    #[test]
    fn a_full_ring_has_room_for_those_who_have_looked() {
        let mut ring = ring();
        let mut full = Vec::new();
        while let Some(reserved) = reserve(&ring, WORDS) {
            full.push(reserved);
        }
        assert!(ring.backlog_bytes() + 2 * LONGEST_BYTES as u64 <= BYTES.into());
        for (value, &reserved) in full.iter().enumerate() {
            submit(&ring, reserved, value as u64);
        }
        for value in 0..full.len() as u64 {
            assert_eq!(read(&mut ring), Some((WORDS, value)));
        }
        assert_eq!(read(&mut ring), None);
        assert!(reserve(&ring, WORDS).is_some());
    }
}
