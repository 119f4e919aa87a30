//! `sched_switch`, and leaving the daemon's own switches out.
//!
//! Reading the ring makes the daemon run, and that makes switches: recorded, they would be a good part
//! of what it reads. `X -> daemon -> Y` becomes `X -> Y` with the time between as hidden, and nothing
//! if `X` is `Y`. Of `X`, the state at its own switch is kept, for it may be woken meanwhile.

use crate::{
    card::{card, introduce},
    clock::{self, now_ns},
    globals::selected,
    mem::{Mem, Pointer},
    record::{Here, Recording, displaced, recording, warn_impossible},
    task::{self, Pointers, Seen},
};
use kernoracle_common::{
    Card, DEEP, Displaced, Entity, Kind, PerCpu, SHALLOW, Switch, Task, check, flags, slot,
    task_flags,
};

/// Levels beyond which a hierarchy is taken for a reading error.
const MAX_DEPTH: u32 = 64;

#[inline(always)]
pub fn switch<M: Mem>(preempt: bool, prev: Pointer, next: Pointer, prev_state: u32) -> Option<()> {
    let Recording { own, paused } = recording()?;
    let here = Here::new()?;
    let (prev_pid, next_pid) = (task::pid::<M>(prev), task::pid::<M>(next));
    if paused {
        idle(here.state, prev_pid, next_pid, now_ns);
        return if selected(here.cpu) {
            pass::<M>(here, own, prev, next)
        } else {
            None
        };
    }
    let (prev_pointers, next_pointers) = (Pointers::of::<M>(prev), Pointers::of::<M>(next));
    let ts_ns = clock::at_switch(
        here,
        clock::of_queue::<M>(next_pointers.cfs_rq),
        prev_pid == 0,
    );
    idle(here.state, prev_pid, next_pid, || ts_ns);
    if !selected(here.cpu) {
        return None;
    }
    let flags = if preempt { flags::PREEMPT } else { 0 };
    if own != 0 {
        if task::tgid::<M>(next) == own {
            return enter::<M>(
                here,
                ts_ns,
                own,
                flags,
                Seen::new::<M>(prev_pointers, prev_pid, here.cpu),
                prev_state,
            );
        }
        if task::tgid::<M>(prev) == own {
            return leave::<M>(
                here,
                ts_ns,
                Seen::new::<M>(next_pointers, next_pid, here.cpu),
            );
        }
    }
    let prev = Seen::new::<M>(prev_pointers, prev_pid, here.cpu);
    let next = Seen::new::<M>(next_pointers, next_pid, here.cpu);
    check_depth(here, &next);
    here.produced(Kind::Switch, 1);
    introduce_both(here, card::<M>(&prev), card::<M>(&next), ts_ns)?;
    let shared = prev.has_above() && next.has_above() && prev.parent == next.parent;
    let switch = Switched {
        here,
        ts_ns,
        prev_state,
        prev: From::Task(prev),
        prev_has_above: prev.has_above(),
        next,
        next_has_above: next.has_above() && !shared,
    };
    let flags = if shared { flags | flags::SHARED } else { flags };
    switch.emit::<M>(flags, prev.is_deep() || next.is_deep())
}

/// Introduces the tasks of a switch that has been counted; if there is no space, the switch is lost.
#[inline(always)]
fn introduce_both(here: Here, prev: Card, next: Card, ts_ns: u64) -> Option<()> {
    if introduce(here, prev, slot::PREV, ts_ns).is_none()
        || introduce(here, next, slot::NEXT, ts_ns).is_none()
    {
        here.lose(Kind::Switch, 1);
        return None;
    }
    Some(())
}

/// Keeps the time that the CPU is idle, of which the reader may take more than of busy time. Of each CPU, recorded or not: the reader may be on any.
#[inline(always)]
fn idle(state: *mut PerCpu, prev_pid: u32, next_pid: u32, now_ns: impl Fn() -> u64) {
    // SAFETY: a map value of this CPU; switches do not nest.
    unsafe {
        if prev_pid == 0 {
            let since = (*state).idle_since_ns;
            (*state).idle_since_ns = 0;
            if since != 0 {
                // A new comparison of the clocks may put the end before the start.
                (*state).idle_ns += now_ns().saturating_sub(since);
            }
        } else if next_pid == 0 {
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
    Task(Seen),
    Displaced(*const Displaced),
}

/// A switch whose tasks have been introduced.
struct Switched {
    here: Here,
    ts_ns: u64,
    prev_state: u32,
    prev: From,
    prev_has_above: bool,
    next: Seen,
    /// And not those of prev.
    next_has_above: bool,
}

impl Switched {
    /// Chooses the size.
    #[inline(always)]
    fn emit<M: Mem>(&self, flags: u8, deep: bool) -> Option<()> {
        match (deep, self.prev_has_above, self.next_has_above) {
            (_, false, false) => self.write::<M, 0, 0, 0>(flags),
            (false, true, false) => self.write::<M, SHALLOW, 0, SHALLOW>(flags),
            (false, false, true) => self.write::<M, 0, SHALLOW, SHALLOW>(flags),
            (false, true, true) => self.write::<M, SHALLOW, SHALLOW, { 2 * SHALLOW }>(flags),
            (true, true, false) => self.write::<M, DEEP, 0, DEEP>(flags | flags::DEEP),
            (true, false, true) => self.write::<M, 0, DEEP, DEEP>(flags | flags::DEEP),
            (true, true, true) => self.write::<M, DEEP, DEEP, { 2 * DEEP }>(flags | flags::DEEP),
        }
    }

    /// With so many entities above prev, and above next.
    #[inline(always)]
    fn write<M: Mem, const PREV: usize, const NEXT: usize, const ABOVE: usize>(
        &self,
        flags: u8,
    ) -> Option<()> {
        const { assert!(PREV + NEXT == ABOVE) };
        let state = self.here.state;
        let mut reserved = self.here.reserve::<Switch<ABOVE>>(Kind::Switch, 1)?;
        let record = reserved.as_mut_ptr();
        // SAFETY: reserved memory of that type, every field of which is written; `state` is a map value.
        unsafe {
            (*record).hidden_ns = (*state).hidden_ns;
            (*state).hidden_ns = 0;
            (*record).prev_state = self.prev_state;
            (*record).reserved = 0;
            let above = (&raw mut (*record).above).cast::<Entity>();
            let to = &raw mut (*record).prev;
            match self.prev {
                From::Task(prev) => {
                    let check = self.here.check(slot::PREV);
                    prev.write::<M>(to, check, false);
                    prev.write_above::<M, PREV>(above);
                }
                From::Displaced(kept) => {
                    copy::<{ size_of::<Task>() / 8 }>(to.cast(), (&raw const (*kept).task).cast());
                    let kept = (&raw const (*kept).above).cast::<Entity>();
                    let mut level = 0;
                    while level < PREV {
                        copy::<{ size_of::<Entity>() / 8 }>(
                            above.add(level).cast(),
                            kept.add(level).cast(),
                        );
                        level += 1;
                    }
                }
            }
            let check = self.here.check(slot::NEXT);
            self.next.write::<M>(&raw mut (*record).next, check, false);
            self.next.write_above::<M, NEXT>(above.add(PREV));
        }
        reserved.submit(self.ts_ns, flags);
        Some(())
    }
}

/// The daemon comes onto the CPU: keeps what it displaces.
#[inline(always)]
fn enter<M: Mem>(
    here: Here,
    ts_ns: u64,
    own: u32,
    flags: u8,
    prev: Seen,
    prev_state: u32,
) -> Option<()> {
    here.left_out();
    if task::tgid::<M>(prev.task) == own {
        return None;
    }
    let kept = displaced()?;
    // SAFETY: map values of this CPU; switches do not nest.
    unsafe {
        (*kept).present = 1;
        (*kept).prev_state = u64::from(prev_state);
        (*kept).flags = u64::from(if prev.is_deep() {
            flags | flags::DEEP
        } else {
            flags
        });
        let card = card::<M>(&prev);
        (*kept).card = card;
        prev.write::<M>(&raw mut (*kept).task, check(card.digest()), false);
        if prev.has_above() {
            prev.write_above::<M, DEEP>((&raw mut (*kept).above).cast());
        }
        (*here.state).own_since_ns = ts_ns;
    }
    Some(())
}

/// The daemon leaves the CPU to another task.
#[inline(always)]
fn leave<M: Mem>(here: Here, ts_ns: u64, next: Seen) -> Option<()> {
    let kept = displaced()?;
    // SAFETY: map values of this CPU; switches do not nest.
    unsafe {
        // None: the daemon ran when recording began.
        let known = (*kept).present != 0;
        (*kept).present = 0;
        if known {
            hide(here.state, ts_ns);
        }
        if !known || (*kept).task.pid == next.pid {
            here.left_out();
            return None;
        }
        here.produced(Kind::Switch, 1);
        // Its card of then: it may have another name by now, and another task its place.
        introduce_both(here, (*kept).card, card::<M>(&next), ts_ns)?;
        let kept_flags = (*kept).flags as u8 | flags::MERGED;
        let switch = Switched {
            here,
            ts_ns,
            prev_state: (*kept).prev_state as u32,
            prev: From::Displaced(kept),
            prev_has_above: (*kept).task.flags & task_flags::ABOVE != 0,
            next,
            next_has_above: next.has_above(),
        };
        switch.emit::<M>(kept_flags, kept_flags & flags::DEEP != 0 || next.is_deep())
    }
}

/// Adds the time since the daemon came.
///
/// # Safety
///
/// `state` is a map value of this CPU.
#[inline(always)]
unsafe fn hide(state: *mut PerCpu, ts_ns: u64) {
    // SAFETY: the caller's.
    unsafe {
        let since = (*state).own_since_ns;
        (*state).own_since_ns = 0;
        (*state).hidden_ns += ts_ns.saturating_sub(since);
    }
}

/// Copies words. Volatile, or the compiler makes it a call of `memcpy`, which is a loop over bytes here.
///
/// # Safety
///
/// `dst` is reserved ring memory, `src` a map value, and the words are inside both.
#[inline(always)]
unsafe fn copy<const WORDS: usize>(dst: *mut u64, src: *const u64) {
    let mut word = 0;
    while word < WORDS {
        // SAFETY: the caller's.
        unsafe { dst.add(word).write_volatile(src.add(word).read_volatile()) };
        word += 1;
    }
}

#[inline(always)]
fn check_depth(here: Here, next: &Seen) {
    if next.depth > MAX_DEPTH && here.impossible() == 0 {
        warn_impossible(next.pid, next.depth);
    }
}
