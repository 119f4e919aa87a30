//! `sched_waking`, `sched_wakeup`, `sched_wakeup_new`.

use crate::{
    globals::selected,
    mem::{Mem, Pointer},
    record::{Here, now_ns, paused, recording},
    task,
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use kernoracle_common::{DEEP, Kind, SHALLOW, Wake, flags};

#[inline(always)]
pub fn wake<M: Mem>(kind: Kind, woken: Pointer) -> Option<()> {
    let own = recording()?;
    if paused() || own != 0 && task::tgid::<M>(woken) == own {
        return None;
    }
    let here = Here::new()?;
    if !selected(here.cpu) && !selected(task::cpu::<M>(woken)) {
        return None;
    }
    if task::is_deep::<M>(woken) {
        emit::<M, DEEP>(here, kind, flags::DEEP, woken)
    } else {
        emit::<M, SHALLOW>(here, kind, 0, woken)
    }
}

#[inline(always)]
fn emit<M: Mem, const N: usize>(here: Here, kind: Kind, flags: u8, woken: Pointer) -> Option<()> {
    let ts_ns = now_ns();
    let mut reserved = here.reserve::<Wake<N>>(kind)?;
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
