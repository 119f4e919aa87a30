//! `sched_switch`, and leaving the daemon's own switches out.
//!
//! Reading the ring makes the daemon run, and that makes switches: recorded, they would be a good part
//! of what it reads. `X -> daemon -> Y` becomes `X -> Y` with the time between as hidden, and nothing
//! if `X` is `Y`. Of `X`, the state at its own switch is kept, for it may be woken meanwhile.

use crate::{
    globals::selected,
    mem::{Mem, Pointer},
    record::{Here, displaced, now_ns, paused, recording, warn_impossible},
    task,
};
use kernoracle_common::{DEEP, Kind, PerCpu, SHALLOW, Switch, Task, flags};

/// Levels beyond which a hierarchy is taken for a reading error.
const MAX_DEPTH: u32 = 64;

#[inline(always)]
pub fn switch<M: Mem>(preempt: bool, prev: Pointer, next: Pointer, prev_state: u32) -> Option<()> {
    let own = recording()?;
    let here = Here::new()?;
    // Of each CPU: the reader may be on one that is not recorded.
    idle::<M>(here.state, prev, next);
    if !selected(here.cpu) {
        return None;
    }
    if paused() {
        return pass::<M>(here, own, prev, next);
    }
    let flags = if preempt { flags::PREEMPT } else { 0 };
    let prev_state = u64::from(prev_state);
    if own != 0 {
        if task::tgid::<M>(next) == own {
            return enter::<M>(here, own, flags, prev, prev_state);
        }
        if task::tgid::<M>(prev) == own {
            return leave::<M>(here, next);
        }
    }
    if task::is_deep::<M>(prev) || task::is_deep::<M>(next) {
        check_depth::<M>(here, next);
        emit::<M, DEEP>(
            here,
            flags | flags::DEEP,
            prev_state,
            From::Task(prev),
            next,
        )
    } else {
        emit::<M, SHALLOW>(here, flags, prev_state, From::Task(prev), next)
    }
}

/// Keeps the time that the CPU is idle, of which the reader may take more than of busy time.
#[inline(always)]
fn idle<M: Mem>(state: *mut PerCpu, prev: Pointer, next: Pointer) {
    // SAFETY: a map value of this CPU; switches do not nest.
    unsafe {
        if task::pid::<M>(prev) == 0 {
            let since = (*state).idle_since_ns;
            (*state).idle_since_ns = 0;
            if since != 0 {
                (*state).idle_ns += now_ns() - since;
            }
        } else if task::pid::<M>(next) == 0 {
            (*state).idle_since_ns = now_ns();
        }
    }
}

/// A switch during a pause.
#[inline(always)]
fn pass<M: Mem>(here: Here, own: u32, prev: Pointer, next: Pointer) -> Option<()> {
    if own != 0 && (task::tgid::<M>(prev) == own || task::tgid::<M>(next) == own) {
        // Whom the daemon displaced is told by the snapshot that ends the pause.
        let kept = displaced()?;
        // SAFETY: a map value of this CPU; switches do not nest.
        unsafe { (*kept).present = 0 };
        here.left_out();
    } else {
        here.skipped();
    }
    Some(())
}

/// Where prev is read from.
#[derive(Clone, Copy)]
enum From {
    Task(Pointer),
    Displaced(*const Task<DEEP>),
}

#[inline(always)]
fn emit<M: Mem, const N: usize>(
    here: Here,
    flags: u8,
    prev_state: u64,
    prev: From,
    next: Pointer,
) -> Option<()> {
    let ts_ns = now_ns();
    let mut reserved = here.reserve::<Switch<N>>(Kind::Switch, 1)?;
    let record = reserved.as_mut_ptr();
    // SAFETY: reserved memory of that type, every field of which is written; `state` is a map value.
    unsafe {
        (*record).prev_state = prev_state;
        (*record).hidden_ns = (*here.state).hidden_ns;
        (*here.state).hidden_ns = 0;
        match prev {
            From::Task(prev) => task::fill::<M, N>(&raw mut (*record).prev, prev),
            From::Displaced(prev) => copy(&raw mut (*record).prev, prev),
        }
        task::fill::<M, N>(&raw mut (*record).next, next);
    }
    reserved.submit(ts_ns, flags);
    Some(())
}

/// The daemon comes onto the CPU: keeps what it displaces.
#[inline(always)]
fn enter<M: Mem>(here: Here, own: u32, flags: u8, prev: Pointer, prev_state: u64) -> Option<()> {
    here.left_out();
    if task::tgid::<M>(prev) == own {
        return None;
    }
    let kept = displaced()?;
    // SAFETY: map values of this CPU; switches do not nest.
    unsafe {
        (*kept).present = 1;
        (*kept).prev_state = prev_state;
        let deep = if task::is_deep::<M>(prev) {
            flags::DEEP
        } else {
            0
        };
        (*kept).flags = u64::from(flags | deep);
        task::fill::<M, DEEP>(&raw mut (*kept).task, prev);
        (*here.state).own_since_ns = now_ns();
    }
    Some(())
}

/// The daemon leaves the CPU to another task.
#[inline(always)]
fn leave<M: Mem>(here: Here, next: Pointer) -> Option<()> {
    let kept = displaced()?;
    // SAFETY: map values of this CPU; switches do not nest.
    unsafe {
        // None: the daemon ran when recording began.
        let known = (*kept).present != 0;
        (*kept).present = 0;
        if known {
            hide(here.state);
        }
        if !known || (*kept).task.head.pid == task::pid::<M>(next) {
            here.left_out();
            return None;
        }
        let kept_flags = (*kept).flags as u8 | flags::MERGED;
        let prev = From::Displaced(&raw const (*kept).task);
        if kept_flags & flags::DEEP != 0 || task::is_deep::<M>(next) {
            emit::<M, DEEP>(
                here,
                kept_flags | flags::DEEP,
                (*kept).prev_state,
                prev,
                next,
            )
        } else {
            emit::<M, SHALLOW>(here, kept_flags, (*kept).prev_state, prev, next)
        }
    }
}

/// Adds the time since the daemon came.
///
/// # Safety
///
/// `state` is a map value of this CPU.
#[inline(always)]
unsafe fn hide(state: *mut PerCpu) {
    // SAFETY: the caller's.
    unsafe {
        let since = (*state).own_since_ns;
        (*state).own_since_ns = 0;
        (*state).hidden_ns += now_ns() - since;
    }
}

/// Copies the head and the nearest `N` entities, which come first in both types. Volatile, or the
/// compiler makes it a call of `memcpy`, which is a loop over bytes here.
///
/// # Safety
///
/// `dst` is reserved ring memory, `src` a map value.
#[inline(always)]
unsafe fn copy<const N: usize>(dst: *mut Task<N>, src: *const Task<DEEP>) {
    const { assert!(N <= DEEP) };
    let (dst, src) = (dst.cast::<u64>(), src.cast::<u64>());
    let mut word = 0;
    while word < size_of::<Task<N>>() / size_of::<u64>() {
        // SAFETY: the caller's; the word is inside both.
        unsafe { dst.add(word).write_volatile(src.add(word).read_volatile()) };
        word += 1;
    }
}

#[inline(always)]
fn check_depth<M: Mem>(here: Here, next: Pointer) {
    let depth = task::depth::<M>(next);
    if depth > MAX_DEPTH && here.impossible() == 0 {
        warn_impossible(task::pid::<M>(next), depth);
    }
}
