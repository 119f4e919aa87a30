//! The object with the programs in it: made for this kernel and these CPUs, not yet loaded.

use super::{Wakers, not_permitted, one_line, relocate::relocate};
use crate::probe::{config::most_queued, error::ProbeError, kernel::Kernel};
use aya::{Ebpf, EbpfError, EbpfLoader, maps::MapError};
use kernoracle_common::{MAX_CPUS, ring};

pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kernoracle.bpf.o"));

/// Creates the maps and prepares the programs, for this kernel and this choice of CPUs.
pub fn object(kernel: &Kernel, ring_bytes: u32, cpus: &[u32]) -> Result<Ebpf, ProbeError> {
    object_with(kernel, ring_bytes, cpus, None)
}

/// As [`object`], with room for so many names in the map of the counting program.
pub fn object_with(
    kernel: &Kernel,
    ring_bytes: u32,
    cpus: &[u32],
    names: Option<u32>,
) -> Result<Ebpf, ProbeError> {
    let Kernel { layout, btf, .. } = kernel;
    let mut mask = [0_u64; MAX_CPUS / 64];
    for &cpu in cpus {
        mask[cpu as usize / 64] |= 1 << (cpu % 64);
    }
    let all_cpus = u32::from(cpus.is_empty());
    let prev_state_arg = u32::from(layout.prev_state_arg);
    let level_bytes = ring::level(ring_bytes);
    let word_bits = ring::Size::of(ring_bytes).word_bits();
    let most_queued = most_queued(ring_bytes, kernel.possible_cpus)?;
    let wakers = Wakers::of(kernel);
    let sched_waking = u32::from(wakers == Wakers::SchedWaking);
    let hand_over = u32::from(wakers == Wakers::HandOver);
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .map_max_entries("RECORDS", ring::chunks(ring_bytes))
        .override_global("PREV_STATE_ARG", &prev_state_arg, true)
        .override_global("WORD_BITS", &word_bits, true)
        .override_global("LEVEL_BYTES", &level_bytes, true)
        .override_global("MOST_QUEUED", &most_queued, true)
        .override_global("ALL_CPUS", &all_cpus, true)
        .override_global("SCHED_WAKING", &sched_waking, true)
        .override_global("HAND_OVER", &hand_over, true)
        .override_global("CPU_MASK", &mask, true);
    if let Some(names) = names {
        loader.map_max_entries("NEXT_COUNTS", names);
    }
    let object = relocate(OBJECT, &layout.offsets).map_err(|error| ProbeError::Object {
        reason: one_line(&error),
    })?;
    loader
        .load(&object)
        .map_err(|error| object_error(error, ring_bytes))
}

fn object_error(error: EbpfError, ring_bytes: u32) -> ProbeError {
    match error {
        EbpfError::MapError(MapError::CreateError {
            name,
            io_error: source,
        }) => {
            if not_permitted(&source) {
                ProbeError::NotPermitted {
                    what: format!("creating the BPF map {name}"),
                }
            } else if name == "RECORDS" {
                ProbeError::RingTooLarge {
                    bytes: ring_bytes,
                    source,
                }
            } else {
                ProbeError::Map { map: name, source }
            }
        }
        EbpfError::MapError(MapError::SyscallError(error)) if not_permitted(&error.io_error) => {
            ProbeError::NotPermitted {
                what: error.call.to_owned(),
            }
        }
        other => ProbeError::Object {
            reason: one_line(&other),
        },
    }
}
