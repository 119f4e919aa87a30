//! Who a task is, told once.
//!
//! Name and other things that seldom change are not in every record: they go through the ring in a record of their own, before
//! the first record of the task and again when one of them has changed. What has been told is kept as one word, a digest, so that
//! programs on other CPUs and in interrupts see a whole one or none. It is compared with what the task has *now*, at every record:
//! no program has to notice an exec, a rename or another task with the same pid.
//!
//! The ring keeps the order in which space was reserved. The word is set behind the reserve, so whoever finds it
//! reserves later, and user space has read the card before the record that relies on it. Without space nothing is set.

use crate::{
    mem::Mem,
    record::Here,
    task::{self, Seen},
};
use aya_ebpf::{macros::map, maps::Array};
use kernoracle_common::{Card, Introduction, Kind, MAX_CPUS, PLACES, card_flags, place};

/// Digests of what has been told, by [`place`]; 0 for none.
#[map]
static TOLD: Array<u64> = Array::with_max_entries((PLACES + MAX_CPUS) as u32, 0);

const WORDS: usize = size_of::<Card>() / size_of::<u64>();

/// Odd, and otherwise arbitrary: the digits of the golden ratio and of square roots.
const FACTORS: [u64; WORDS] = [
    0x9e37_79b9_7f4a_7c15,
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
];

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

/// Tells the card if user space has another or none. Nothing if it had to be told and there is no space.
#[inline(always)]
pub fn introduce(here: Here, card: Card, ts_ns: u64) -> Option<()> {
    let told = TOLD.get_ptr_mut(place(card.pid, card.idle_cpu) as u32)?;
    let digest = digest(card);
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

/// 64 bits: two cards of a place have the same once in 2^64, and then the second is not told.
#[inline(always)]
fn digest(card: Card) -> u64 {
    // SAFETY: `Card` has no padding, and the size of the words.
    let words: [u64; WORDS] = unsafe { core::mem::transmute(card) };
    let mut sum = 1_u64;
    let mut word = 0;
    while word < WORDS {
        let value = words[word];
        // A product with an odd factor moves bits up only.
        sum = sum.wrapping_add((value ^ value >> 32).wrapping_mul(FACTORS[word]));
        word += 1;
    }
    sum
}
