//! Switches by the name of the next task: the usual one-liner, to compare with. Loaded by the bench only.

use crate::{
    mem::{Direct, Pointer},
    task,
};
use aya_ebpf::{macros::map, maps::HashMap};

/// The bench sets its size; elsewhere it is there, and empty.
#[map]
static NEXT_COUNTS: HashMap<[u8; 16], u64> = HashMap::with_max_entries(1, 0);

#[inline(always)]
pub fn count(next: Pointer) -> Option<()> {
    let mut words = [0_u64; 2];
    let name = words.as_mut_ptr().cast::<[u8; 16]>();
    task::comm::<Direct>(name, next);
    // SAFETY: 16 bytes on the stack, written above.
    let name = unsafe { &*name };
    if let Some(count) = NEXT_COUNTS.get_ptr_mut(name) {
        // SAFETY: a map value. Two CPUs may count at once and one of them be lost, as with the one-liner's
        // maps of one value for all CPUs.
        unsafe { *count += 1 };
        return Some(());
    }
    NEXT_COUNTS.insert(name, 1, 0).ok()
}
