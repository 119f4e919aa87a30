//! A task with the scheduler's state, written straight into the ring.

use crate::{
    globals::{
        COMM, CPU, FLAGS, ON_CPU, ON_RQ, PID, POLICY, PRIO, SE, SE_CFS_RQ, SE_DEADLINE, SE_DELAYED,
        SE_DEPTH, SE_PARENT, SE_SLICE, SE_SUM_EXEC, SE_VLAG, SE_VRUNTIME, SE_WEIGHT, STATE, TGID,
    },
    mem::{Mem, Pointer, field, nested},
};
use kernoracle_common::{Entity, SHALLOW, Task, TaskHead, task_flags};

/// `PF_KTHREAD`, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `SCHED_NORMAL`, `SCHED_BATCH` and `SCHED_IDLE`: the policies of the fair class.
const FAIR_POLICIES: u32 = 1 << 0 | 1 << 3 | 1 << 5;

pub fn pid<M: Mem>(task: Pointer) -> u32 {
    field::<M, u32>(task, &PID)
}

pub fn tgid<M: Mem>(task: Pointer) -> u32 {
    field::<M, u32>(task, &TGID)
}

pub fn cpu<M: Mem>(task: Pointer) -> u32 {
    field::<M, u32>(task, &CPU)
}

/// Group entities above the task's own.
#[inline(always)]
pub fn depth<M: Mem>(task: Pointer) -> u32 {
    nested::<M, u32>(task, SE.load(), &SE_DEPTH)
}

/// Whether a record of the task needs more levels than a shallow one has.
#[inline(always)]
pub fn is_deep<M: Mem>(task: Pointer) -> bool {
    depth::<M>(task) as usize >= SHALLOW
}

/// Whether the task runs, waits for a CPU, or sleeps on the queue.
#[inline(always)]
pub fn is_queued<M: Mem>(task: Pointer) -> bool {
    field::<M, u32>(task, &ON_RQ) != 0
        || field::<M, u32>(task, &STATE) == 0
        || field::<M, u32>(task, &ON_CPU) != 0
}

/// The name, as two words.
#[inline(always)]
pub fn comm<M: Mem>(dst: *mut [u8; 16], task: Pointer) {
    let offset = COMM.load();
    // SAFETY: dst points into a record, 8 bytes aligned; `comm` has 16 bytes.
    unsafe {
        let words = dst.cast::<u64>();
        words.write_unaligned(M::read(task, offset));
        words.add(1).write_unaligned(M::read(task, offset + 8));
    }
}

#[inline(always)]
pub fn zero_comm(dst: *mut [u8; 16]) {
    // SAFETY: as in `comm`. Volatile for the reason that `zero` has.
    unsafe {
        let words = dst.cast::<u64>();
        words.write_volatile(0);
        words.add(1).write_volatile(0);
    }
}

/// Writes the task and the `N` entities nearest to it.
#[inline(always)]
pub fn fill<M: Mem, const N: usize>(dst: *mut Task<N>, task: Pointer) {
    let se = SE.load();
    let pid = pid::<M>(task);
    let prio = field::<M, i32>(task, &PRIO);
    let policy = field::<M, u32>(task, &POLICY);
    // By priority too: a boosted task keeps its policy, but the real-time class schedules it.
    let fair =
        pid != 0 && (100..140).contains(&prio) && policy < 32 && FAIR_POLICIES >> policy & 1 != 0;

    // SAFETY: dst points to a whole task in reserved ring memory; every byte of it is written below,
    // none is read.
    unsafe {
        let head = &raw mut (*dst).head;
        self::head::<M>(head, task, pid, prio, policy, fair);
        let entities = (&raw mut (*dst).entities).cast::<Entity>();
        if !fair {
            let mut level = 0;
            while level < N {
                zero(entities.add(level));
                level += 1;
            }
            return;
        }
        entity::<M>(entities, task, se);
        let mut parent = nested::<M, u64>(task, se, &SE_PARENT) as Pointer;
        let mut level = 1;
        while level < N {
            if parent.is_null() {
                zero(entities.add(level));
            } else {
                entity::<M>(entities.add(level), parent, 0);
                parent = field::<M, u64>(parent, &SE_PARENT) as Pointer;
            }
            level += 1;
        }
    }
}

/// # Safety
///
/// `dst` points to reserved ring memory.
#[inline(always)]
unsafe fn head<M: Mem>(
    dst: *mut TaskHead,
    task: Pointer,
    pid: u32,
    prio: i32,
    policy: u32,
    fair: bool,
) {
    let se = SE.load();
    let mut flags = 0;
    if fair {
        flags |= task_flags::FAIR;
    }
    if nested::<M, u8>(task, se, &SE_DELAYED) != 0 {
        flags |= task_flags::DELAYED;
    }
    if field::<M, u32>(task, &ON_RQ) != 0 {
        flags |= task_flags::ON_RQ;
    }
    if field::<M, u32>(task, &FLAGS) & PF_KTHREAD != 0 {
        flags |= task_flags::KTHREAD;
    }
    if field::<M, u32>(task, &ON_CPU) != 0 {
        flags |= task_flags::ON_CPU;
    }
    // SAFETY: the caller's.
    unsafe {
        comm::<M>(&raw mut (*dst).comm, task);
        (*dst).pid = pid;
        (*dst).tgid = tgid::<M>(task);
        (*dst).sum_exec_ns = nested::<M, u64>(task, se, &SE_SUM_EXEC);
        (*dst).vlag = nested::<M, u64>(task, se, &SE_VLAG).cast_signed();
        // A deadline task has -1.
        (*dst).prio = if prio < 0 { 0 } else { prio as u8 };
        (*dst).policy = policy as u8;
        (*dst).depth = depth::<M>(task) as u8;
        (*dst).flags = flags;
        (*dst).cpu = cpu::<M>(task);
    }
}

/// Volatile, or the compiler makes it a call of `memset`, which is a loop over bytes here.
///
/// # Safety
///
/// `dst` points to reserved ring memory.
#[inline(always)]
unsafe fn zero(dst: *mut Entity) {
    let words = dst.cast::<u64>();
    let mut word = 0;
    while word < size_of::<Entity>() / size_of::<u64>() {
        // SAFETY: the caller's; the word is inside the entity.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
}

/// Writes the entity that lies `outer` bytes into `base`.
///
/// # Safety
///
/// `dst` points to reserved ring memory.
#[inline(always)]
unsafe fn entity<M: Mem>(dst: *mut Entity, base: Pointer, outer: u32) {
    // SAFETY: the caller's.
    unsafe {
        (*dst).vruntime = nested::<M, u64>(base, outer, &SE_VRUNTIME);
        (*dst).deadline = nested::<M, u64>(base, outer, &SE_DEADLINE);
        (*dst).cfs_rq = nested::<M, u64>(base, outer, &SE_CFS_RQ);
        (*dst).weight = saturate(nested::<M, u64>(base, outer, &SE_WEIGHT));
        (*dst).slice = saturate(nested::<M, u64>(base, outer, &SE_SLICE));
    }
}

#[inline(always)]
fn saturate(value: u64) -> u32 {
    if value > u64::from(u32::MAX) {
        u32::MAX
    } else {
        value as u32
    }
}
