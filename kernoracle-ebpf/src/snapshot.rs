//! The snapshot of all tasks, in the ring among the events.
//!
//! The record is reserved before what changes of the task is read. Whatever changes it later then has its record
//! behind this one, and applying it to a state that already has it changes nothing.

use crate::{
    card::{card, introduce},
    clock::now_ns,
    mem::{Direct, Mem, Pointer, field},
    record::{Here, control, recording},
    task::{self, Pointers, Seen},
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use kernoracle_common::{DEEP, Kind, SHALLOW, Snapshot, field::State, flags, slot};

#[inline(always)]
pub fn snapshot(task: Pointer) -> Option<()> {
    let control = control()?;
    // SAFETY: a map value.
    unsafe {
        if (*control).identify != 0 {
            // Who reads the iterator is the daemon, and the helper knows no pid name space.
            (*control).own_tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
            return None;
        }
    }
    let own = recording()?.own;
    if own != 0 && task::tgid::<Direct>(task) == own {
        return None;
    }
    // SAFETY: a map value.
    let only_queued = unsafe { (*control).only_queued } != 0;
    if only_queued && !task::is_queued::<Direct>(task) {
        return None;
    }
    let here = Here::new()?;
    let seen = Seen::new::<Direct>(
        Pointers::of::<Direct>(task),
        task::pid::<Direct>(task),
        task::cpu::<Direct>(task),
    );
    let ts_ns = now_ns();
    here.produced(Kind::Snapshot, 1);
    if introduce(here, card::<Direct>(&seen), slot::SNAPSHOT, ts_ns).is_none() {
        here.lose(Kind::Snapshot, 1);
        return None;
    }
    if !seen.has_above() {
        write::<Direct, 0>(here, 0, ts_ns, &seen)
    } else if seen.is_deep() {
        write::<Direct, DEEP>(here, flags::DEEP, ts_ns, &seen)
    } else {
        write::<Direct, SHALLOW>(here, 0, ts_ns, &seen)
    }
}

#[inline(always)]
fn write<M: Mem, const ABOVE: usize>(here: Here, flags: u8, ts_ns: u64, seen: &Seen) -> Option<()> {
    let mut reserved = here.reserve::<Snapshot<ABOVE>>(Kind::Snapshot, 1)?;
    let record = reserved.as_mut_ptr();
    // SAFETY: reserved memory of that type, every field of which is written.
    unsafe {
        (*record).state = field::<M, State>(seen.task);
        (*record).reserved = 0;
        let check = here.check(slot::SNAPSHOT);
        seen.write::<M>(&raw mut (*record).task, check, true);
        seen.write_above::<M, ABOVE>((&raw mut (*record).above).cast());
    }
    reserved.submit(ts_ns, flags);
    Some(())
}
