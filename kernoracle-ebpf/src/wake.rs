//! `sched_waking`, `sched_wakeup`, `sched_wakeup_new`.
//!
//! A wake-up passes `sched_waking` on the waker's CPU, and `sched_wakeup` where the task is put on a queue. That is on the same CPU
//! and right behind, with interrupts off between, if the task may run nowhere else: then one record tells of both, and
//! the first program only leaves word for the second.

use crate::{
    globals::{CPUS_ALLOWED, CPUS_MASK, ONE_CPU, selected},
    mem::{Mem, Pointer, field},
    record::{Here, now_ns, paused, recording},
    task,
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use kernoracle_common::{ABSENT, DEEP, Kind, SHALLOW, Wake, flags};

#[inline(always)]
pub fn waking<M: Mem>(woken: Pointer) -> Option<()> {
    let own = recording()?;
    if paused() || own != 0 && task::tgid::<M>(woken) == own {
        return None;
    }
    let here = Here::new()?;
    if !selected(here.cpu) && !selected(task::cpu::<M>(woken)) {
        return None;
    }
    if stays_here::<M>(here.cpu, woken) {
        // SAFETY: a map value of this CPU; no wake-up nests in another.
        unsafe {
            if (*here.state).waking_pid != 0 {
                here.lose_waking();
            }
            (*here.state).waking_pid = u64::from(task::pid::<M>(woken));
        }
        return None;
    }
    emit::<M>(here, Kind::Waking, 0, woken)
}

#[inline(always)]
pub fn wakeup<M: Mem>(kind: Kind, woken: Pointer) -> Option<()> {
    let own = recording()?;
    let here = Here::new()?;
    let mut extra = 0;
    // SAFETY: as in `waking`. Another wake-up that a remote CPU has queued here comes in an interrupt, not between.
    unsafe {
        let waking = (*here.state).waking_pid;
        if waking != 0 {
            (*here.state).waking_pid = 0;
            if waking == u64::from(task::pid::<M>(woken)) {
                extra = flags::WITH_WAKING;
            } else {
                here.lose_waking();
            }
        }
    }
    if extra == 0 {
        if paused() || own != 0 && task::tgid::<M>(woken) == own {
            return None;
        }
        if !selected(here.cpu) && !selected(task::cpu::<M>(woken)) {
            return None;
        }
    }
    emit::<M>(here, kind, extra, woken)
}

/// The task may run on this CPU only, and did when it last ran: no other CPU has a part in waking it.
#[inline(always)]
fn stays_here<M: Mem>(cpu: u32, woken: Pointer) -> bool {
    // A task that wakes itself has not left the CPU: an interrupt may come between.
    if bpf_get_current_pid_tgid() as u32 == task::pid::<M>(woken) {
        return false;
    }
    if ONE_CPU.load() != 0 {
        return true;
    }
    // Of the mask the first word is read: an offset has to be known when the program is loaded.
    if CPUS_ALLOWED.load() == ABSENT || CPUS_MASK.load() == ABSENT || cpu >= 64 {
        return false;
    }
    field::<M, u32>(woken, &CPUS_ALLOWED) == 1
        && task::cpu::<M>(woken) == cpu
        && field::<M, u64>(woken, &CPUS_MASK) >> cpu & 1 != 0
}

#[inline(always)]
fn emit<M: Mem>(here: Here, kind: Kind, flags: u8, woken: Pointer) -> Option<()> {
    if task::is_deep::<M>(woken) {
        write::<M, DEEP>(here, kind, flags | flags::DEEP, woken)
    } else {
        write::<M, SHALLOW>(here, kind, flags, woken)
    }
}

#[inline(always)]
fn write<M: Mem, const N: usize>(here: Here, kind: Kind, flags: u8, woken: Pointer) -> Option<()> {
    let ts_ns = now_ns();
    let events = if flags & flags::WITH_WAKING == 0 {
        1
    } else {
        2
    };
    let mut reserved = here.reserve::<Wake<N>>(kind, events)?;
    let record = reserved.as_mut_ptr();
    let waker = bpf_get_current_pid_tgid();
    // SAFETY: reserved memory of that type, every field of which is written.
    unsafe {
        (*record).waker_pid = waker as u32;
        (*record).waker_tgid = (waker >> 32) as u32;
        task::fill::<M, N>(&raw mut (*record).task, woken);
    }
    reserved.submit(ts_ns, flags);
    Some(())
}
