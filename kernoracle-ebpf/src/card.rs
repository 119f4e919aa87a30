//! Who a task is, told once.
//!
//! Name and other things that seldom change are not in every record: they go through the ring in a record of their own, before
//! the first record of the task and again when one of them has changed. What has been told is kept as one word, a digest, so that
//! programs on other CPUs and in interrupts see a whole one or none. It is compared with what the task has *now*, at every record:
//! no program has to notice an exec, a rename or another task with the same pid.
//!
//! The ring keeps the order in which space was reserved. The word is set behind the reserve, so whoever finds it
//! reserves later, and user space has read the card before the record that relies on it. Without space nothing is set.
//! A program that has read a card before it changed, and writes behind one that has read it since, tells the old one again, and that is then what is
//! told last: so each record has a byte of the digest, by which user space knows which of the last cards is meant.

use crate::{
    mem::Mem,
    record::Here,
    task::{self, Seen},
};
use aya_ebpf::{macros::map, maps::Array};
use kernoracle_common::{Card, Introduction, Kind, MAX_CPUS, PLACES, card_flags, check, place};

/// Digests of what has been told, by [`place`]; 0 for none.
#[map]
static TOLD: Array<u64> = Array::with_max_entries((PLACES + MAX_CPUS) as u32, 0);

/// Reads the card of a task.
#[inline(always)]
pub fn card<M: Mem>(seen: &Seen) -> Card {
    let (weight, slice) = seen.weight_and_slice::<M>();
    let mut comm = [0; 16];
    task::comm::<M>(&raw mut comm, seen.task);
    Card {
        comm,
        pid: seen.pid,
        tgid: task::tgid::<M>(seen.task),
        weight,
        slice,
        // A deadline task has -1.
        prio: if seen.prio < 0 { 0 } else { seen.prio as u8 },
        policy: seen.policy as u8,
        depth: if seen.depth > 255 {
            255
        } else {
            seen.depth as u8
        },
        flags: if seen.is_fair() { card_flags::FAIR } else { 0 }
            | if task::is_kernel_thread::<M>(seen.task) {
                card_flags::KTHREAD
            } else {
                0
            },
        idle_cpu: if seen.pid == 0 { seen.cpu } else { 0 },
    }
}

/// Tells the card if user space has another or none. Nothing if it had to be told and there is no space. Its check is in `slot` then, and not a
/// value that is returned: with one more value at hand behind each branch, the verifiers of older kernels (6.1) walk over a switch a million
/// instructions long.
#[inline(always)]
pub fn introduce(here: Here, card: Card, slot: usize, ts_ns: u64) -> Option<()> {
    let told = TOLD.get_ptr_mut(place(card.pid, card.idle_cpu) as u32)?;
    let digest = card.digest();
    here.keep_check(slot, check(digest));
    // SAFETY: a map value that programs on other CPUs change: volatile.
    if unsafe { told.read_volatile() } == digest {
        return Some(());
    }
    let mut reserved = here.reserve_uncounted::<Introduction>(Kind::Introduction)?;
    // SAFETY: reserved memory of that type; then as above.
    unsafe {
        (*reserved.as_mut_ptr()).card = card;
        told.write_volatile(digest);
    }
    reserved.submit(ts_ns, 0);
    Some(())
}
