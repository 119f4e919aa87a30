//! `sched_waking`, `sched_wakeup`, `sched_wakeup_new`.
//!
//! A wake-up passes `sched_waking` on the waker's CPU, and `sched_wakeup` where the task is put on a queue. That is on the same CPU,
//! or on one to which the first has handed it; then `hand_over` knows who wakes. So one record of the second tells of both, and the first trace
//! point has no program: calling one costs a good part of what it does.
//!
//! Kernels that do not tell what is handed over have a program on the first too. If the task may run on the waker's CPU only, the second comes right behind
//! the first with interrupts off between: then one record tells of both, and the first program only leaves word for the second.

use crate::{
    card::{card, introduce},
    clock::{self, now_ns},
    globals::{HAND_OVER, SCHED_WAKING, selected},
    hand_over,
    mem::{Mem, Pointer, field},
    record::{Here, Recording, recording},
    task::{self, Pointers, Seen},
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use kernoracle_common::{
    DEEP, Kind, SHALLOW, Wake,
    field::{CpusAllowed, CpusMask},
    flags, slot,
};

#[inline(always)]
pub fn waking<M: Mem>(woken: Pointer) -> Option<()> {
    let Recording { own, paused } = recording()?;
    if paused || own != 0 && task::tgid::<M>(woken) == own {
        return None;
    }
    let here = Here::new()?;
    if !selected(here.cpu) && !selected(task::cpu::<M>(woken)) {
        return None;
    }
    let waker = bpf_get_current_pid_tgid() as u32;
    let pid = task::pid::<M>(woken);
    // A task that wakes itself has not left the CPU: an interrupt may come between.
    if waker != pid && stays_here::<M>(here.cpu, woken) {
        // SAFETY: a map value of this CPU; no wake-up nests in another.
        unsafe {
            if (*here.state).waking_pid != 0 {
                here.lose_waking();
            }
            (*here.state).waking_pid = pid;
            (*here.state).waker_pid = waker;
        }
        return None;
    }
    // Before the task's queue is looked at: its clock is old.
    emit::<M>(
        here,
        Kind::Waking,
        0,
        waker,
        Pointers::of::<M>(woken),
        now_ns(),
    )
}

#[inline(always)]
pub fn wakeup<M: Mem>(kind: Kind, woken: Pointer) -> Option<()> {
    let is_new = matches!(kind, Kind::WakeupNew);
    let pid = task::pid::<M>(woken);
    // In a pause too, and before recording begins: the word is of this wake-up only.
    let handed = if is_new || HAND_OVER.load() == 0 {
        0
    } else {
        hand_over::take(pid)
    };
    let Recording { own, paused } = recording()?;
    let pointers = Pointers::of::<M>(woken);
    let here = Here::new()?;
    let queue = clock::of_queue::<M>(pointers.cfs_rq);
    // What the record tells of besides.
    let mut besides = flags::WITH_WAKING;
    if is_new {
        // A new task passes no `sched_waking`.
        besides = 0;
    } else if SCHED_WAKING.load() != 0 {
        besides = 0;
        // SAFETY: as in `waking`. Another wake-up that a remote CPU has queued here comes in an interrupt, not between.
        unsafe {
            let waking = (*here.state).waking_pid;
            if waking != 0 {
                (*here.state).waking_pid = 0;
                if waking == pid {
                    let waker = (*here.state).waker_pid;
                    let ts_ns = clock::at_wakeup(here, queue);
                    return emit::<M>(here, kind, flags::WITH_WAKING, waker, pointers, ts_ns);
                }
                here.lose_waking();
            }
        }
    }
    if paused || own != 0 && task::tgid::<M>(woken) == own {
        return None;
    }
    if !selected(here.cpu) && !selected(task::cpu::<M>(woken)) {
        return None;
    }
    let waker = if handed != 0 {
        handed as u32
    } else {
        bpf_get_current_pid_tgid() as u32
    };
    // The clocks of two CPUs need not be the same.
    let ts_ns = if task::cpu::<M>(woken) == here.cpu {
        clock::at_wakeup(here, queue)
    } else {
        now_ns()
    };
    emit::<M>(here, kind, besides, waker, pointers, ts_ns)
}

/// The task may run on this CPU only, and did when it last ran: no other CPU has a part in waking it.
#[inline(always)]
fn stays_here<M: Mem>(cpu: u32, woken: Pointer) -> bool {
    // Of the mask the first word is read: an offset has to be known when the program is loaded.
    cpu < 64
        && field::<M, CpusAllowed>(woken) == 1
        && task::cpu::<M>(woken) == cpu
        && field::<M, CpusMask>(woken) >> cpu & 1 != 0
}

#[inline(always)]
pub fn emit<M: Mem>(
    here: Here,
    kind: Kind,
    flags: u8,
    waker_pid: u32,
    woken: Pointers,
    ts_ns: u64,
) -> Option<()> {
    let pid = task::pid::<M>(woken.task);
    let seen = Seen::new::<M>(woken, pid, task::cpu::<M>(woken.task));
    let events = if flags & flags::WITH_WAKING == 0 {
        1
    } else {
        2
    };
    if events == 2 && pid != waker_pid {
        here.produced_alone(events);
    } else {
        // A task that wakes itself does so with interrupts on.
        here.produced(kind, events);
    }
    if introduce(here, card::<M>(&seen), slot(kind), ts_ns).is_none() {
        here.lose(kind, events);
        return None;
    }
    let wake = Woken {
        here,
        kind,
        events,
        ts_ns,
        waker_pid,
        seen,
    };
    if !seen.has_above() {
        wake.write::<M, 0>(flags)
    } else if seen.is_deep() {
        wake.write::<M, DEEP>(flags | flags::DEEP)
    } else {
        wake.write::<M, SHALLOW>(flags)
    }
}

/// Where the check of the task's card waits.
#[inline(always)]
fn slot(kind: Kind) -> usize {
    match kind {
        Kind::Waking => slot::WAKING,
        Kind::Wakeup => slot::WAKEUP,
        _ => slot::WAKEUP_NEW,
    }
}

/// A wake-up whose task has been introduced.
struct Woken {
    here: Here,
    kind: Kind,
    events: u64,
    ts_ns: u64,
    waker_pid: u32,
    seen: Seen,
}

impl Woken {
    #[inline(always)]
    fn write<M: Mem, const ABOVE: usize>(&self, flags: u8) -> Option<()> {
        let mut reserved = self.here.reserve::<Wake<ABOVE>>(self.kind, self.events)?;
        let record = reserved.as_mut_ptr();
        // SAFETY: reserved memory of that type, every field of which is written.
        unsafe {
            (*record).waker_pid = self.waker_pid;
            (*record).reserved = 0;
            let check = self.here.check(slot(self.kind));
            self.seen.write::<M>(&raw mut (*record).task, check, false);
            self.seen
                .write_above::<M, ABOVE>((&raw mut (*record).above).cast());
        }
        reserved.submit(self.ts_ns, flags);
        Some(())
    }
}
