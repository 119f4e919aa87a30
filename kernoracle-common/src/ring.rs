//! The ring that records go through, as both sides see it.
//!
//! The kernel's own ring buffer takes a lock and calls two helpers for a record, a good part of what a record costs. This one is an
//! array that user space maps. A [`Position`] says how much went before since the start, and where in the memory it is. A program adds to the
//! producer's what its record needs, in a single instruction, and so has that space for itself, whatever interrupts it and whatever other CPUs do;
//! in front of the record it writes a [mark](Size::mark) when the rest is there. The reader takes a record whose mark is that of its position, and
//! then moves the consumer's position. What lies in the memory from earlier has the mark of another position, or none.
//!
//! Whenever the reader has read everything, it moves the producer's position to the start of the memory, if no program has moved it meanwhile: a ring
//! of megabytes takes no more of the caches, which belong to those who are watched, than is queued at a time.
//!
//! The memory is in chunks, each with room behind it for a record that begins in its last bytes: no record is in two pieces.

use crate::{DEEP, Introduction, Snapshot, Switch};

/// Bytes of the ring in a chunk: the least size of a ring.
pub const CHUNK_BYTES: usize = 4096;

/// Bytes of a mark.
pub const MARK_BYTES: usize = size_of::<u64>();

/// Bytes of the longest record and its mark.
pub const LONGEST_BYTES: usize = MARK_BYTES + size_of::<Switch<{ 2 * DEEP }>>();

const _: () = assert!(
    size_of::<Snapshot<DEEP>>() < LONGEST_BYTES && size_of::<Introduction>() < LONGEST_BYTES,
    "another record is longer"
);

/// A chunk's memory.
pub type Chunk = [u64; (CHUNK_BYTES + LONGEST_BYTES) / 8];

/// What both sides tell each other.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Where the next record begins: everything before is reserved.
    pub producer: Position,
    /// The two in lines of their own, and in pairs of lines that some CPUs fetch together.
    pub apart: [u64; 31],
    /// Where the reader is: everything before may be written over.
    pub consumer: Position,
    /// If more bytes are queued, a program does more than to write its record: it wakes the reader, begins a pause, or finds the ring full. It sets this
    /// to what is to be looked at next, and the reader does when it has read everything.
    pub attend_beyond: u64,
    /// If more bytes are queued, programs begin a pause ([`crate::Control::paused`]). Not in [`crate::Control`], which user space writes as a whole:
    /// that would undo a pause that a program has just begun.
    pub pause_beyond: u64,
    pub apart_too: [u64; 29],
}

/// In the upper bits where in the memory, as many as the ring's size needs, in the others how much since the start; both in words of eight
/// bytes. One addition moves both; what the upper bits lose is a turn of the ring. What the others lose, after half a terabyte of the largest ring, moves
/// the upper ones by a word, on both sides.
pub type Position = u64;

/// What positions and marks mean in a ring of a size.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The number of its words is two to this.
    word_bits: u32,
}

#[expect(
    clippy::inline_always,
    reason = "in a program, a call is a BPF function of its own"
)]
impl Size {
    /// `ring_bytes`: a power of two.
    pub const fn of(ring_bytes: u32) -> Self {
        Self {
            word_bits: ring_bytes.ilog2() - 3,
        }
    }

    #[inline(always)]
    pub const fn of_word_bits(word_bits: u32) -> Self {
        Self { word_bits }
    }

    pub const fn word_bits(self) -> u32 {
        self.word_bits
    }

    /// Where in the memory, bytes, below the ring's size.
    #[inline(always)]
    pub const fn offset(self, at: Position) -> u64 {
        at >> (64 - self.word_bits) << 3
    }

    /// So many bytes on.
    #[inline(always)]
    pub const fn advance(self, bytes: usize) -> u64 {
        let words = bytes as u64 / 8;
        (words << (64 - self.word_bits)) | words
    }

    /// Bytes from one position to a later one.
    #[inline(always)]
    pub const fn between(self, from: Position, to: Position) -> u64 {
        to.wrapping_sub(from) << self.word_bits >> self.word_bits << 3
    }

    /// That position at the start of the memory.
    pub const fn rewound(self, at: Position) -> Position {
        at << self.word_bits >> self.word_bits
    }

    /// What stands before the record at a position, which has so many bytes with its mark. How much since the start is whole in it.
    #[inline(always)]
    pub const fn mark(self, at: Position, bytes: usize) -> u64 {
        (at << self.word_bits) | (bytes as u64 / 8)
    }

    /// Bytes of the record at a position, its mark included, if this is its mark.
    pub const fn marked(self, mark: u64, at: Position) -> Option<usize> {
        let words = mark ^ (at << self.word_bits);
        if words > 1 && words <= LONGEST_BYTES as u64 / 8 {
            Some(words as usize * 8)
        } else {
            None
        }
    }
}

const _: () = assert!(
    LONGEST_BYTES < CHUNK_BYTES,
    "the length of a record is in bits of its mark that the smallest ring leaves"
);

/// Chunks of a ring of so many bytes.
pub const fn chunks(ring_bytes: u32) -> u32 {
    ring_bytes / CHUNK_BYTES as u32
}

/// The reader is woken when so many more bytes are queued: an eighth of the ring, or as much as stays in a cache of the second level
/// beside what belongs to others.
pub const fn level(ring_bytes: u32) -> u64 {
    const MOST: u32 = 512 << 10;
    if ring_bytes / 8 < MOST {
        ring_bytes as u64 / 8
    } else {
        MOST as u64
    }
}

/// Programs that may have found space on a CPU and not taken it yet: that of a task, of an interrupt upon it, and the iterator's, which a task may displace.
const NESTED: u64 = 3;

/// A program reserves if no more bytes than this are queued: whatever others take between its look and its addition, there is room. `None`: the ring has not
/// even a chunk, or is too small for so many CPUs, whose room may be half of it.
pub const fn most_queued(ring_bytes: u32, cpus: u64) -> Option<u64> {
    match (ring_bytes as u64).checked_sub(NESTED * cpus * LONGEST_BYTES as u64) {
        Some(most) if most >= ring_bytes as u64 / 2 && chunks(ring_bytes) > 0 => Some(most),
        _ => None,
    }
}
