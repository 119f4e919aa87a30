//! The reading end of the ring: sleeping until there is enough, and how much is left.

use super::error::ProbeError;
use crate::prefetch::prefetch_at;
use aya::maps::{MapData, RingBuf, ring_buf::RingBufItem};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use std::{
    fmt, io,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How far before its time a part of the ring is asked for: more than ten records.
const AHEAD_BYTES: usize = 2048;
const LINE_BYTES: usize = 64;

/// The ring of records.
pub struct Ring {
    records: RingBuf<MapData>,
    bytes: u32,
    positions: Positions,
    epoll: Epoll,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("backlog_bytes", &self.backlog_bytes())
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// `also`: another ring that ends the sleep.
    pub fn new(records: RingBuf<MapData>, bytes: u32, also: impl AsFd) -> Result<Self, ProbeError> {
        let wait = |errno: Errno| ProbeError::Wait {
            source: errno.into(),
        };
        let positions = Positions::map(&records).map_err(|source| ProbeError::Wait { source })?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(wait)?;
        // Edge-triggered: a ring is readable while it holds anything, but only a wake-up that a program
        // has forced is an edge. Level-triggered, the reader would come back for every record.
        let edge = || EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
        epoll.add(&records, edge()).map_err(wait)?;
        epoll.add(also, edge()).map_err(wait)?;
        Ok(Self {
            records,
            bytes,
            positions,
            epoll,
        })
    }

    /// Sleeps until a program wakes the reader, `timeout` is over or a signal comes.
    pub fn wait(&self, timeout: Duration) -> Result<(), ProbeError> {
        let timeout = timeout.as_micros().div_ceil(1000);
        let timeout =
            u16::try_from(timeout).map_or(EpollTimeout::from(u16::MAX), EpollTimeout::from);
        match self.epoll.wait(&mut [EpollEvent::empty(); 2], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(ProbeError::Wait {
                source: errno.into(),
            }),
        }
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes.into()
    }

    pub fn next(&mut self) -> Option<RingBufItem<'_>> {
        let record = self.records.next()?;
        // What the programs have written is not near, and where a record is, the one before it says: without this the reader waits for
        // each one's first line.
        let ahead = record.as_ptr().wrapping_add(AHEAD_BYTES);
        for line in 0..=record.len() / LINE_BYTES {
            prefetch_at(ahead.wrapping_add(line * LINE_BYTES));
        }
        Some(record)
    }

    pub fn backlog_bytes(&self) -> usize {
        self.positions.backlog()
    }

    pub fn read_bytes(&self) -> u64 {
        // SAFETY: the page is mapped and begins with the position.
        let consumer = unsafe { self.positions.consumer.as_ref() };
        consumer.load(Ordering::Acquire) as u64
    }

    /// Behind all that is reserved now.
    pub fn end(&self) -> Position {
        // SAFETY: the page is mapped and begins with the position.
        let producer = unsafe { self.positions.producer.as_ref() };
        Position(producer.load(Ordering::Acquire))
    }

    /// Everything before the position has been read.
    pub fn has_read(&self, position: Position) -> bool {
        let ahead = position
            .0
            .wrapping_sub(self.read_bytes() as usize)
            .cast_signed();
        ahead <= 0
    }
}

/// A place in the stream of bytes that goes through the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(usize);

/// The two pages on which kernel and reader tell each other how far they are.
///
/// aya maps them too, but shows neither. Layout: `bpf_ringbuf` in kernel/bpf/ringbuf.c, each position
/// an `unsigned long` at the start of its page, the consumer's page first.
struct Positions {
    consumer: NonNull<AtomicUsize>,
    producer: NonNull<AtomicUsize>,
    page: usize,
}

// SAFETY: the pages stay mapped as long as the value lives, and are only read, atomically.
unsafe impl Send for Positions {}

impl Positions {
    fn map(ring: &RingBuf<MapData>) -> io::Result<Self> {
        let page = page_size();
        let map = |offset: usize| {
            // SAFETY: a new read-only mapping at an address of the kernel's choice.
            let address = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    page,
                    libc::PROT_READ,
                    libc::MAP_SHARED,
                    std::os::fd::AsRawFd::as_raw_fd(ring),
                    offset as libc::off_t,
                )
            };
            if address == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            NonNull::new(address.cast::<AtomicUsize>()).ok_or_else(io::Error::last_os_error)
        };
        let consumer = map(0)?;
        match map(page) {
            Ok(producer) => Ok(Self {
                consumer,
                producer,
                page,
            }),
            Err(error) => {
                unmap(consumer, page);
                Err(error)
            }
        }
    }

    fn backlog(&self) -> usize {
        // SAFETY: both pages are mapped and begin with the position.
        let (consumer, producer) = unsafe { (self.consumer.as_ref(), self.producer.as_ref()) };
        // The consumer's position first: it never passes the producer's.
        let consumer = consumer.load(Ordering::Acquire);
        producer.load(Ordering::Acquire).wrapping_sub(consumer)
    }
}

impl Drop for Positions {
    fn drop(&mut self) {
        unmap(self.consumer, self.page);
        unmap(self.producer, self.page);
    }
}

fn unmap(at: NonNull<AtomicUsize>, page: usize) {
    // SAFETY: one page that `Positions::map` has mapped and nothing refers to any more.
    let unmapped = unsafe { libc::munmap(at.as_ptr().cast(), page) };
    debug_assert_eq!(unmapped, 0, "munmap of a page that was mapped");
}

pub fn page_size() -> usize {
    // SAFETY: no preconditions; the page size is always known.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}
