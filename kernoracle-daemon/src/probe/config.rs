//! What to capture, and whether this machine can.

use super::{ProbeError, ring};
use kernoracle_common::MAX_CPUS;
use procfs::{Current as _, Meminfo};
use std::time::Duration;

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Only these CPUs; empty for all.
    pub cpus: Vec<u32>,
    /// Keep the daemon's own switches.
    pub include_self: bool,
    /// How long an event may wait in the ring while little happens.
    pub latency: Duration,
}

pub(super) fn check_ring(bytes: u32) -> Result<(), ProbeError> {
    let page = ring::page_size() as u32;
    if bytes.is_power_of_two() && bytes >= page {
        return Ok(());
    }
    let suggestion = bytes
        .checked_next_power_of_two()
        .unwrap_or(1 << 31)
        .max(page);
    Err(ProbeError::RingSize {
        bytes,
        page,
        suggestion,
    })
}

/// The kernel would fill the ring's pages one by one until others' processes are killed for it: it has to be refused before.
pub(super) fn check_memory(ring_bytes: u32, available: Option<u64>) -> Result<(), ProbeError> {
    match available {
        // The rest of the machine goes on meanwhile, and needs some too.
        Some(available) if u64::from(ring_bytes) > available - available / 8 => {
            Err(ProbeError::RingBeyondMemory {
                bytes: ring_bytes,
                available,
            })
        }
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
