//! What time it is, `CLOCK_MONOTONIC` in ns.
//!
//! The helper reads the machine's counter, and waits for all loads before it to be there first: on a virtual machine that is a good part of what a
//! record costs. At a switch and where a task is put on a queue, the kernel has just read its clock for the run queue (`update_rq_clock`, kernel/sched/core.c).
//! That clock has another zero and runs a little faster or slower, as the time of day is kept right. So each CPU keeps by how much it is behind, and
//! compares the two again at a switch after [`COMPARE_NS`].
//!
//! The run queue's clock is read first, so the difference is never too small. It is too large by what lies between: choosing the next task, or
//! milliseconds in which the host of a virtual machine runs something else. So the least of the last 16 to 32 comparisons is taken, and a CPU that was
//! idle, whose caches are cold, does not compare. Times of switches then differ by as much as the scheduler's own, with which it counts run times.

use crate::{
    mem::{Mem, Pointer, field},
    record::Here,
};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use kernoracle_common::field::{CfsRqRq, RqClock};

/// How long a comparison is used, and how long where there is none but at the end of idle time.
const COMPARE_NS: u64 = 100_000;
const STALE_NS: u64 = 10_000_000;
/// The least of so many comparisons is kept, and the least of as many before: clocks that drift apart as fast as the kernel lets them (500 ppm, `MAXFREQ` in
/// include/linux/timex.h) do so by 1.6 us in that time.
const COMPARISONS: u64 = 16;
/// A difference that is greater by more is another one: a clock has been set.
const SET_NS: i64 = 1_000_000;

/// The helper's.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// The clock of the run queue that `cfs_rq` is part of; 0 if it cannot be read, or no cheaper than the helper's.
#[inline(always)]
pub fn of_queue<M: Mem>(cfs_rq: u64) -> u64 {
    if !M::CHEAP {
        return 0;
    }
    // A kernel without task groups has neither the field that `cfs_rq` is from nor the next: zeros, which the verifier lets nobody read from.
    if cfs_rq == 0 {
        return 0;
    }
    let rq = field::<M, CfsRqRq>(cfs_rq as Pointer) as Pointer;
    if rq.is_null() {
        return 0;
    }
    field::<M, RqClock>(rq)
}

/// Now, by this CPU's `queue` clock ([`of_queue`]), which the kernel has just set. Compares it where it has to be.
#[inline(always)]
pub fn at_switch(here: Here, queue: u64, was_idle: bool) -> u64 {
    if queue == 0 {
        return now_ns();
    }
    // SAFETY: a map value of this CPU; switches do not nest, and no other program writes these.
    unsafe {
        let since = queue.wrapping_sub((*here.state).clock.compared_ns);
        if since > COMPARE_NS && (!was_idle || since > STALE_NS) {
            compare(here, queue);
        }
        queue.wrapping_add((&raw const (*here.state).clock.behind_ns).read_volatile())
    }
}

/// Now, by this CPU's `queue` clock, if it has been compared a short time ago.
#[inline(always)]
pub fn at_wakeup(here: Here, queue: u64) -> u64 {
    // SAFETY: as in `at_switch`.
    let (compared, behind) = unsafe {
        (
            (&raw const (*here.state).clock.compared_ns).read_volatile(),
            (&raw const (*here.state).clock.behind_ns).read_volatile(),
        )
    };
    // Never compared, or by a clock that is older than the comparison: the difference is huge.
    if queue.wrapping_sub(compared) > STALE_NS {
        return now_ns();
    }
    queue.wrapping_add(behind)
}

/// Compares the clocks.
///
/// # Safety
///
/// `here` is this CPU's, in a program that does not nest.
#[inline(always)]
unsafe fn compare(here: Here, queue: u64) {
    let found = now_ns().wrapping_sub(queue);
    // SAFETY: the caller's.
    unsafe {
        let clock = &raw mut (*here.state).clock;
        if (*clock).compared_ns == 0 || more(found, (*clock).behind_ns) > SET_NS {
            (*clock).least_ns = found;
            (*clock).least_before_ns = found;
            (*clock).comparisons = 0;
        } else if more(found, (*clock).least_ns) < 0 {
            (*clock).least_ns = found;
        }
        let (least, before) = ((*clock).least_ns, (*clock).least_before_ns);
        (*clock).behind_ns = if more(least, before) < 0 {
            least
        } else {
            before
        };
        (*clock).comparisons += 1;
        if (*clock).comparisons == COMPARISONS {
            (*clock).least_before_ns = least;
            (*clock).least_ns = found;
            (*clock).comparisons = 0;
        }
        (*clock).compared_ns = queue;
    }
}

/// By how much a difference is greater than another; both count modulo 2^64.
#[inline(always)]
fn more(one: u64, other: u64) -> i64 {
    one.wrapping_sub(other).cast_signed()
}
