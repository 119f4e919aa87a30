//! What to capture, and whether this machine can.

use super::ProbeError;
use kernoracle_common::{
    MAX_CPUS,
    ring::{self, CHUNK_BYTES, Chunk, chunks},
};
use procfs::{Current as _, Meminfo};
use std::time::Duration;

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes; a power of two, of a chunk ([`CHUNK_BYTES`]) or more.
    pub ring_bytes: u32,
    /// Only these CPUs; empty for all.
    pub cpus: Vec<u32>,
    /// Keep the daemon's own switches.
    pub include_self: bool,
    /// How long an event may wait in the ring while little happens.
    pub latency: Duration,
}

/// See [`ring::most_queued`]. Refuses a ring that cannot be.
pub(super) fn most_queued(bytes: u32, cpus: usize) -> Result<u64, ProbeError> {
    ring::most_queued(bytes, cpus as u64)
        .filter(|_| bytes.is_power_of_two())
        .ok_or_else(|| {
            let least = least_ring(cpus);
            let next = bytes.checked_next_power_of_two().unwrap_or(1 << 31);
            ProbeError::RingSize {
                bytes,
                least,
                suggestion: next.max(least),
            }
        })
}

/// Bytes of the smallest ring.
pub(super) fn least_ring(cpus: usize) -> u32 {
    let mut bytes = CHUNK_BYTES as u32;
    while ring::most_queued(bytes, cpus as u64).is_none() {
        bytes *= 2;
    }
    bytes
}

/// Memory of a ring of so many bytes.
pub(super) fn memory_bytes(ring_bytes: u32) -> u64 {
    u64::from(chunks(ring_bytes)) * size_of::<Chunk>() as u64
}

/// The kernel would fill the ring's pages one by one until others' processes are killed for it: it has to be refused before.
pub(super) fn check_memory(ring_bytes: u32, available: Option<u64>) -> Result<(), ProbeError> {
    let bytes = memory_bytes(ring_bytes);
    match available {
        // The rest of the machine goes on meanwhile, and needs some too.
        Some(available) if bytes > available - available / 8 => Err(ProbeError::RingBeyondMemory {
            bytes: ring_bytes,
            available,
        }),
        _ => Ok(()),
    }
}

/// `None` where /proc does not tell: then the kernel has the last word.
pub(super) fn available_bytes() -> Option<u64> {
    Meminfo::current().ok()?.mem_available
}

pub(super) fn check_cpus(cpus: &[u32], possible: usize) -> Result<(), ProbeError> {
    let last = possible.min(MAX_CPUS) as u32 - 1;
    match cpus.iter().find(|&&cpu| cpu > last) {
        Some(&cpu) => Err(ProbeError::NoCpu { cpu, last }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernoracle_common::ring::{LONGEST_BYTES, level};

    #[test]
    fn a_ring_has_room_for_what_all_cpus_write_at_once() {
        for cpus in [1, 2, 64, MAX_CPUS] {
            let least = least_ring(cpus);
            let error = most_queued(least / 2, cpus).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("try --ring-size {least}")),
                "{error}"
            );
            let queued = most_queued(least, cpus).unwrap();
            assert!(queued + 3 * cpus as u64 * LONGEST_BYTES as u64 <= least.into());
            assert!(level(least) <= queued && u64::from(least / 2) <= queued);
        }
        assert_eq!((least_ring(2), least_ring(64)), (4096, 131_072));
    }

    #[test]
    fn a_ring_is_refused_that_would_leave_the_machine_no_memory() {
        check_memory(1 << 30, Some(2 << 30)).unwrap();
        check_memory(1 << 30, None).unwrap();
        let error = check_memory(1 << 30, Some((1 << 30) + 4096)).unwrap_err();
        assert!(
            error.to_string().contains("use a smaller --ring-size"),
            "{error}"
        );
    }
}
