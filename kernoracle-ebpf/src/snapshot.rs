//! The snapshot of all tasks, in the ring among the events.
//!
//! The record is reserved before the task is read. Whatever changes the task later then has its record
//! behind this one, and applying it to a state that already has it changes nothing.

use crate::{
    globals,
    mem::{Direct, Mem, Pointer, field},
    record::{Here, control, now_ns, recording},
    task,
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use kernoracle_common::{DEEP, Kind, SHALLOW, Snapshot, flags};

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
    let own = recording()?;
    if own != 0 && task::tgid::<Direct>(task) == own {
        return None;
    }
    // SAFETY: a map value.
    let only_queued = unsafe { (*control).only_queued } != 0;
    if only_queued && !task::is_queued::<Direct>(task) {
        return None;
    }
    if task::is_deep::<Direct>(task) {
        emit::<Direct, DEEP>(flags::DEEP, task)
    } else {
        emit::<Direct, SHALLOW>(0, task)
    }
}

#[inline(always)]
fn emit<M: Mem, const N: usize>(flags: u8, task: Pointer) -> Option<()> {
    let ts_ns = now_ns();
    let mut reserved = Here::new()?.reserve::<Snapshot<N>>(Kind::Snapshot, 1)?;
    let record = reserved.as_mut_ptr();
    // SAFETY: reserved memory of that type, every field of which is written.
    unsafe {
        (*record).state = u64::from(field::<M, u32>(task, &globals::STATE));
        task::fill::<M, N>(&raw mut (*record).task, task);
    }
    reserved.submit(ts_ns, flags);
    Some(())
}
