//! Tasks that move, begin, change or end.

use crate::{
    clock::now_ns,
    globals::selected,
    mem::{Mem, Pointer},
    record::{Here, Recording, recording},
    task,
};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use kernoracle_common::{COMM_LEN, Kind, Life, Migrate};

/// `sched_migrate_task`, before the task's CPU changes.
#[inline(always)]
pub fn migrate<M: Mem>(migrating: Pointer, to_cpu: u32) -> Option<()> {
    let Recording { own, paused } = recording()?;
    if paused || own != 0 && task::tgid::<M>(migrating) == own {
        return None;
    }
    let from_cpu = task::cpu::<M>(migrating);
    if !selected(from_cpu) && !selected(to_cpu) {
        return None;
    }
    let ts_ns = now_ns();
    let here = Here::new()?;
    here.produced(Kind::Migrate, 1);
    let mut reserved = here.reserve::<Migrate>(Kind::Migrate, 1)?;
    let record = reserved.as_mut_ptr();
    // SAFETY: reserved memory of that type, every field of which is written.
    unsafe {
        (*record).pid = task::pid::<M>(migrating);
        (*record).from_cpu = from_cpu;
        (*record).to_cpu = to_cpu;
        (*record).reserved = 0;
    }
    reserved.submit(ts_ns, 0);
    Some(())
}

/// `sched_process_fork`: of the child, also when the daemon has started it.
#[inline(always)]
pub fn fork<M: Mem>(parent: Pointer, child: Pointer) -> Option<()> {
    life::<M>(Kind::Fork, child, task::pid::<M>(parent), None)
}

/// `sched_process_exec`: the task has its new name.
#[inline(always)]
pub fn exec<M: Mem>(executing: Pointer, old_pid: u32) -> Option<()> {
    life::<M>(Kind::Exec, executing, old_pid, None)
}

#[inline(always)]
pub fn exit<M: Mem>(exiting: Pointer) -> Option<()> {
    life::<M>(Kind::Exit, exiting, 0, None)
}

/// `task_rename`: the task still has its old name.
#[inline(always)]
pub fn rename<M: Mem>(renamed: Pointer, comm: Pointer) -> Option<()> {
    life::<M>(Kind::Rename, renamed, 0, Some(comm))
}

#[inline(always)]
fn life<M: Mem>(kind: Kind, task: Pointer, other_pid: u32, name: Option<Pointer>) -> Option<()> {
    let own = recording()?.own;
    let tgid = task::tgid::<M>(task);
    if own != 0 && tgid == own {
        return None;
    }
    let ts_ns = now_ns();
    let here = Here::new()?;
    here.produced(kind, 1);
    let mut reserved = here.reserve::<Life>(kind, 1)?;
    let record = reserved.as_mut_ptr();
    // SAFETY: reserved memory of that type, every field of which is written.
    unsafe {
        (*record).pid = task::pid::<M>(task);
        (*record).tgid = tgid;
        (*record).other_pid = other_pid;
        (*record).reserved = 0;
        let comm = &raw mut (*record).comm;
        match name {
            None => task::comm::<M>(comm, task),
            Some(name) => {
                // The helper writes up to the final zero only.
                task::zero_comm(comm);
                bpf_probe_read_kernel_str(comm.cast(), COMM_LEN as u32, name.cast());
            }
        }
    }
    reserved.submit(ts_ns, 0);
    Some(())
}
