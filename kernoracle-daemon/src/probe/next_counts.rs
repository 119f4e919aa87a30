//! Counting switches by the name of the next task: the least that a program on `sched_switch` can do that
//! is of use, to compare with.

use super::{
    config::least_ring,
    error::ProbeError,
    kernel::Kernel,
    maps::{map_error, take},
    programs,
};
use crate::trace::event::Comm;
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};

/// Names that are counted apart.
const NAMES: u32 = 1024;

/// The counting program, attached. Dropping it removes it.
pub struct NextCounts {
    counts: HashMap<MapData, [u8; 16], u64>,
    _ebpf: Ebpf,
}

impl NextCounts {
    /// Loads and attaches it.
    pub fn start() -> Result<Self, ProbeError> {
        let kernel = Kernel::look()?;
        // The counting program does not use the ring.
        let ring_bytes = least_ring(kernel.possible_cpus);
        let mut ebpf = programs::object_with(&kernel, ring_bytes, &[], Some(NAMES))?;
        programs::attach_counting(&mut ebpf, &kernel.btf)?;
        Ok(Self {
            counts: take(&mut ebpf, "NEXT_COUNTS")?,
            _ebpf: ebpf,
        })
    }

    /// Names with their switches, most first.
    pub fn read(&self) -> Result<Vec<(Comm, u64)>, ProbeError> {
        let counts: Result<Vec<_>, _> = self.counts.iter().collect();
        let mut counts: Vec<(Comm, u64)> = counts
            .map_err(|error| map_error("NEXT_COUNTS", error))?
            .into_iter()
            .map(|(comm, switches)| (Comm(comm), switches))
            .collect();
        counts.sort_by_key(|&(_, switches)| std::cmp::Reverse(switches));
        Ok(counts)
    }
}
