//! `csd_queue_cpu`: a CPU hands a wake-up to another one, where an interrupt puts the task on the queue.
//!
//! There `sched_wakeup` finds whoever was interrupted, so who wakes is written down here. All other wake-ups are done by the waker's
//! CPU from end to end, and calls of this program are few, so `sched_waking`, which all wake-ups pass, needs none: to be called costs a program a
//! good part of what it does.

use crate::{
    clock::now_ns,
    globals::selected,
    mem::{Pointer, Probe, field, place},
    record::{Here, Recording, recording},
    task::{self, Pointers},
    wake,
};
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::Array};
use kernoracle_common::{
    Kind,
    field::{WakeEntry, WakeEntryFlags},
};

/// `CSD_FLAG_TYPE_MASK` and `CSD_TYPE_TTWU`, include/linux/smp_types.h.
const TYPE: u32 = 0xf0;
const WAKE_UP: u32 = 0x30;

/// Places of wake-ups that are on their way to another CPU, a power of two.
const PLACES: u32 = 4096;

/// By the task's pid: the pid in the upper half, its waker's in the lower; 0 if it has not been handed over, or has been woken.
#[map]
static HANDED: Array<u64> = Array::with_max_entries(PLACES, 0);

fn handed(pid: u32) -> Option<*mut u64> {
    HANDED.get_ptr_mut(pid & (PLACES - 1))
}

/// `csd` is handed to `to_cpu`. It is part of the task, if it is a wake-up; the verifier knows it as a structure of its own, so the task is
/// read through the helper.
#[inline(always)]
pub fn hand_over(to_cpu: u32, csd: Pointer) -> Option<()> {
    let woken = csd.wrapping_offset(-place::<WakeEntry>() as isize);
    if field::<Probe, WakeEntryFlags>(woken) & TYPE != WAKE_UP {
        return None;
    }
    let waker = bpf_get_current_pid_tgid() as u32;
    if selected(to_cpu) {
        // In a pause, and before recording begins: either may be over when the task is queued.
        return leave(task::pid::<Probe>(woken), waker);
    }
    // The task's wake-up is another CPU's; who was woken is told of this one.
    let Recording { own, paused } = recording()?;
    let here = Here::new()?;
    if paused || !selected(here.cpu) || own != 0 && task::tgid::<Probe>(woken) == own {
        return None;
    }
    let pointers = Pointers::of::<Probe>(woken);
    wake::emit::<Probe>(here, Kind::Waking, 0, waker, pointers, now_ns())
}

/// Leaves word that `waker` wakes `pid`.
#[inline(always)]
fn leave(pid: u32, waker: u32) -> Option<()> {
    let word = u64::from(pid) << 32 | u64::from(waker);
    // SAFETY: a map value that other CPUs change: volatile.
    let left = unsafe {
        let handed = handed(pid)?;
        let left = handed.read_volatile();
        handed.write_volatile(word);
        left
    };
    if left != 0 && left >> 32 != u64::from(pid) && recording().is_some() {
        // Of another task with the same place, whose wake-up will be taken for that of whom it interrupts.
        Here::new()?.lose_waking();
    }
    Some(())
}

/// Takes the word of `pid`, whose lower half is who wakes it; 0 if nobody has handed it over.
// A number, not an option: half of one is left unset, and the verifier refuses to see that copied.
#[inline(always)]
pub fn take(pid: u32) -> u64 {
    let Some(handed) = handed(pid) else {
        return 0;
    };
    // SAFETY: a map value that other CPUs change: volatile. While a task's word is there nobody else wakes it.
    unsafe {
        let word = handed.read_volatile();
        if word >> 32 != u64::from(pid) {
            return 0;
        }
        handed.write_volatile(0);
        word
    }
}
