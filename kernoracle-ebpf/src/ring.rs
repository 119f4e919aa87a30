//! The writing end of the ring: see [`kernoracle_common::ring`].

use crate::{
    globals::{LEVEL_BYTES, MOST_QUEUED, WORD_BITS},
    record::{add, control},
};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP},
    macros::map,
    maps::{Array, RingBuf},
};
use core::marker::PhantomData;
use kernoracle_common::ring::{
    CHUNK_BYTES, Chunk, Ends, LONGEST_BYTES, MARK_BYTES, Position, Size,
};

/// The records. The loader sets the number of chunks.
#[map]
static RECORDS: Array<Chunk> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
static ENDS: Array<Ends> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What the reader sleeps on. Nothing goes through it. The loader makes it as large as a page is.
#[map]
static BELL: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Space for a record of that type, which the program has for itself.
pub struct Space<T> {
    entry: *mut u8,
    at: Position,
    record: PhantomData<*mut T>,
}

/// Nothing if the ring is full.
#[inline(always)]
pub fn reserve<T>() -> Option<Space<T>> {
    const {
        assert!(MARK_BYTES + size_of::<T>() <= LONGEST_BYTES);
        assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() <= 8);
    }
    let ends = ENDS.get_ptr_mut(0)?;
    let size = size();
    // SAFETY: a map value that other CPUs and user space change: volatile. The consumer's position first: it never passes the producer's.
    let (queued, attend_beyond) = unsafe {
        let consumer = (&raw const (*ends).consumer).read_volatile();
        let producer = (&raw const (*ends).producer).read_volatile();
        (
            size.between(consumer, producer),
            (&raw const (*ends).attend_beyond).read_volatile(),
        )
    };
    if queued > attend_beyond && !attend(ends, queued) {
        return None;
    }
    // SAFETY: a map value.
    let producer = unsafe { &raw mut (*ends).producer };
    let at = add(producer, size.advance(MARK_BYTES + size_of::<T>()));
    let offset = size.offset(at);
    // The loader has made as many: this is never nothing.
    let chunk = RECORDS.get_ptr_mut((offset / CHUNK_BYTES as u64) as u32)?;
    // All lengths are multiples of eight, which the verifier of a machine that needs it to be so can see here.
    let offset = offset as usize & (CHUNK_BYTES - 8);
    Some(Space {
        entry: chunk.cast::<u8>().wrapping_add(offset),
        at,
        record: PhantomData,
    })
}

impl<T> Space<T> {
    #[inline(always)]
    pub fn record(&self) -> *mut T {
        self.entry.wrapping_add(MARK_BYTES).cast()
    }

    /// Hands the record over, every field of which is written.
    #[inline(always)]
    pub fn submit(&self) {
        hand_over(
            self.entry.cast(),
            size().mark(self.at, MARK_BYTES + size_of::<T>()),
        );
    }
}

/// Writes a mark behind everything that has been written before.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
fn hand_over(entry: *mut u64, mark: u64) {
    // SAFETY: inside a map value. This machine keeps the order of stores, and the compiler that of an instruction that may read memory.
    unsafe {
        core::arch::asm!("*(u64 *)({entry} + 0) = {mark}", entry = in(reg) entry, mark = in(reg) mark);
    }
}

/// Writes a mark behind everything that has been written before: an exchange is a barrier too.
#[cfg(not(bpf_target_arch = "x86_64"))]
#[inline(always)]
fn hand_over(entry: *mut u64, mark: u64) {
    // SAFETY: inside a map value.
    unsafe {
        core::arch::asm!(
            "{mark} = xchg_64({entry} + 0, {mark})",
            entry = in(reg) entry,
            mark = inout(reg) mark => _,
        );
    }
}

#[inline(always)]
fn size() -> Size {
    Size::of_word_bits(WORD_BITS.load())
}

/// Does what so many queued bytes need; false if there is no space left.
///
/// The reader is not woken for every record: a wake-up for each costs more than the switch that it reports, and on the reader's own CPU it makes the
/// next. What stays below a level is fetched by the reader's timer.
#[cold]
#[inline(never)]
fn attend(ends: *mut Ends, queued: u64) -> bool {
    if queued > MOST_QUEUED.load() {
        return false;
    }
    // SAFETY: a map value that others change: volatile. Of two programs that are here at once, or one and the reader, either may have the last
    // word: then the reader is woken once too often, or by its timer, and a pause begins with the next drain.
    let beyond = unsafe {
        let mut next = queued + LEVEL_BYTES.load();
        let pause_beyond = (&raw const (*ends).pause_beyond).read_volatile();
        if queued <= pause_beyond && pause_beyond < next {
            next = pause_beyond;
        }
        if next > MOST_QUEUED.load() {
            next = MOST_QUEUED.load();
        }
        (&raw mut (*ends).attend_beyond).write_volatile(next);
        queued > pause_beyond
    };
    if beyond {
        pause();
    }
    // Without space the reader has not come since it was last woken, and will.
    if let Some(entry) = BELL.reserve::<u64>(0) {
        entry.discard(u64::from(BPF_RB_FORCE_WAKEUP));
    }
    true
}

/// Lets the reader catch up: before records are lost, and before more is queued than it has time for.
#[inline(always)]
fn pause() {
    if let Some(control) = control() {
        // SAFETY: a map value, which user space changes: volatile.
        unsafe { (&raw mut (*control).paused).write_volatile(1) };
    }
}
