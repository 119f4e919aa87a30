//! A task with the scheduler's state, written straight into the ring.

use crate::mem::{Mem, Pointer, field};
use core::arch::asm;
use kernoracle_common::{
    Entity, SHALLOW, Task,
    field::{
        CommHigh, CommLow, Cpu, Flags, GroupCfsRq, GroupDeadline, GroupParent, GroupSlice,
        GroupVruntime, GroupWeight, OnCpu, OnRq, OwnCfsRq, OwnDeadline, OwnDelayed, OwnDepth,
        OwnParent, OwnSlice, OwnSumExec, OwnVlag, OwnVruntime, OwnWeight, Pid, Policy, Prio, State,
        Tgid,
    },
    task_flags,
};

/// `PF_KTHREAD`, include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `SCHED_NORMAL`, `SCHED_BATCH` and `SCHED_IDLE`: the policies of the fair class.
const FAIR_POLICIES: u32 = 1 << 0 | 1 << 3 | 1 << 5;

pub fn pid<M: Mem>(task: Pointer) -> u32 {
    field::<M, Pid>(task)
}

pub fn tgid<M: Mem>(task: Pointer) -> u32 {
    field::<M, Tgid>(task)
}

pub fn cpu<M: Mem>(task: Pointer) -> u32 {
    field::<M, Cpu>(task)
}

#[inline(always)]
pub fn is_kernel_thread<M: Mem>(task: Pointer) -> bool {
    field::<M, Flags>(task) & PF_KTHREAD != 0
}

/// Whether the task runs, waits for a CPU, or sleeps on the queue.
#[inline(always)]
pub fn is_queued<M: Mem>(task: Pointer) -> bool {
    field::<M, OnRq>(task) != 0 || field::<M, State>(task) == 0 || field::<M, OnCpu>(task) != 0
}

/// The name, as two words.
#[inline(always)]
pub fn comm<M: Mem>(dst: *mut [u8; 16], task: Pointer) {
    // SAFETY: dst points into a record or to the stack.
    unsafe {
        let words = dst.cast::<u64>();
        words.write_unaligned(field::<M, CommLow>(task));
        words.add(1).write_unaligned(field::<M, CommHigh>(task));
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

/// A task and the pointers that are read from it.
///
/// Programs read them once it is clear that they record, before they branch any further, and not where they are written: at each
/// load of a pointer from a task that the verifier walks over, newer kernels look four names up in the kernel's BTF, from its start
/// (6.18, `check_ptr_to_btf_access`). That was two fifths of the time until the first prediction.
#[derive(Clone, Copy)]
pub struct Pointers {
    pub task: Pointer,
    /// The run queue of the task's own entity.
    pub cfs_rq: u64,
    /// The entity above the task's own.
    pub parent: Pointer,
}

impl Pointers {
    #[inline(always)]
    pub fn of<M: Mem>(task: Pointer) -> Self {
        Self {
            task,
            cfs_rq: field::<M, OwnCfsRq>(task),
            parent: field::<M, OwnParent>(task) as Pointer,
        }
    }
}

/// A task, and what has to be known of it before the size of its record is.
#[derive(Clone, Copy)]
pub struct Seen {
    pub task: Pointer,
    /// See [`Pointers`].
    pub cfs_rq: u64,
    /// See [`Pointers`].
    pub parent: Pointer,
    pub pid: u32,
    /// See [`Task::cpu`].
    pub cpu: u32,
    pub prio: i32,
    pub policy: u32,
    /// 1: belongs to the fair class. This and the next two are bits that have been worked out without a branch: the verifier does
    /// not know them, and so follows the rest of a program once, and not once for every combination.
    fair: u32,
    /// 1: see [`Self::has_above`].
    above: u32,
    /// 1: see [`Self::is_deep`].
    deep: u32,
    /// Group entities above the task's own.
    pub depth: u32,
}

impl Seen {
    #[inline(always)]
    pub fn new<M: Mem>(pointers: Pointers, pid: u32, cpu: u32) -> Self {
        let Pointers {
            task,
            cfs_rq,
            parent,
        } = pointers;
        let prio = field::<M, Prio>(task);
        let policy = field::<M, Policy>(task);
        let depth = field::<M, OwnDepth>(task);
        // By priority too: a boosted task keeps its policy, but the real-time class schedules it.
        let other_prio = sign(prio.wrapping_sub(100) | 139_i32.wrapping_sub(prio));
        let fair = shifted(FAIR_POLICIES, policy & 31)
            & (1 - other_prio)
            & sign(0_i32.wrapping_sub(pid.cast_signed()));
        Self {
            task,
            cfs_rq,
            parent,
            pid,
            cpu,
            prio,
            policy,
            fair,
            above: fair & sign(0_i32.wrapping_sub(depth.cast_signed())),
            deep: fair & sign((SHALLOW as i32).wrapping_sub(depth.cast_signed())),
            depth,
        }
    }

    #[inline(always)]
    pub fn is_fair(&self) -> bool {
        self.fair != 0
    }

    /// A record has entities above the task's own.
    #[inline(always)]
    pub fn has_above(&self) -> bool {
        self.above != 0
    }

    /// A record needs more of them than a shallow one has.
    #[inline(always)]
    pub fn is_deep(&self) -> bool {
        self.deep != 0
    }

    #[inline(always)]
    pub fn weight_and_slice<M: Mem>(&self) -> (u32, u32) {
        if !self.is_fair() {
            return (0, 0);
        }
        (
            saturate(field::<M, OwnWeight>(self.task)),
            saturate(field::<M, OwnSlice>(self.task)),
        )
    }

    /// Writes the task, whose card has that `check`. `on_cpu`: whether it matters that it runs.
    ///
    /// # Safety
    ///
    /// `dst` points to reserved ring memory or to a map value.
    #[inline(always)]
    pub unsafe fn write<M: Mem>(&self, dst: *mut Task, check: u8, on_cpu: bool) {
        let task = self.task;
        let mut flags = 0;
        if self.has_above() {
            flags |= task_flags::ABOVE;
        }
        if field::<M, OnRq>(task) != 0 {
            flags |= task_flags::ON_RQ;
        }
        if on_cpu && field::<M, OnCpu>(task) != 0 {
            flags |= task_flags::ON_CPU;
        }
        if self.is_fair() && field::<M, OwnDelayed>(task) != 0 {
            flags |= task_flags::DELAYED;
        }
        // SAFETY: the caller's; every field is written.
        unsafe {
            (*dst).pid = self.pid;
            (*dst).cpu = self.cpu as u16;
            (*dst).flags = flags;
            (*dst).check = check;
            if self.is_fair() {
                (*dst).sum_exec_ns = field::<M, OwnSumExec>(task);
                (*dst).vlag = field::<M, OwnVlag>(task);
                (*dst).vruntime = field::<M, OwnVruntime>(task);
                (*dst).deadline = field::<M, OwnDeadline>(task);
                (*dst).cfs_rq = self.cfs_rq;
            } else {
                (*dst).sum_exec_ns = 0;
                (*dst).vlag = 0;
                (*dst).vruntime = 0;
                (*dst).deadline = 0;
                (*dst).cfs_rq = 0;
            }
        }
    }

    /// Writes the `LEVELS` entities above the task's own.
    ///
    /// # Safety
    ///
    /// `dst` points to that much reserved ring memory, or to a map value.
    #[inline(always)]
    pub unsafe fn write_above<M: Mem, const LEVELS: usize>(&self, dst: *mut Entity) {
        let mut parent = self.parent;
        let mut level = 0;
        while level < LEVELS {
            // SAFETY: the caller's.
            unsafe {
                if parent.is_null() {
                    zero(dst.add(level));
                } else {
                    entity::<M>(dst.add(level), parent);
                    if level + 1 < LEVELS {
                        parent = field::<M, GroupParent>(parent) as Pointer;
                    }
                }
            }
            level += 1;
        }
    }
}

/// Volatile, or the compiler makes it a call of `memset`, which is a loop over bytes here.
///
/// # Safety
///
/// `dst` points to reserved ring memory or to a map value.
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

/// Writes a group's entity.
///
/// # Safety
///
/// `dst` points to reserved ring memory or to a map value.
#[inline(always)]
unsafe fn entity<M: Mem>(dst: *mut Entity, group: Pointer) {
    // SAFETY: the caller's.
    unsafe {
        (*dst).vruntime = field::<M, GroupVruntime>(group);
        (*dst).deadline = field::<M, GroupDeadline>(group);
        (*dst).cfs_rq = field::<M, GroupCfsRq>(group);
        (*dst).weight = saturate(field::<M, GroupWeight>(group));
        (*dst).slice = saturate(field::<M, GroupSlice>(group));
    }
}

/// Shifts right by less than 64 in a way that the compiler does not see: it would make branches of what is worked out from it.
#[inline(always)]
fn shifted(value: u32, by: u32) -> u32 {
    let mut value = u64::from(value);
    // SAFETY: an instruction on a register.
    unsafe {
        asm!("{value} >>= {by}", value = inout(reg) value, by = in(reg) u64::from(by), options(pure, nomem, nostack));
    }
    value as u32
}

/// 1 of a negative value, else 0, without a branch.
#[inline(always)]
fn sign(value: i32) -> u32 {
    let mut value = u64::from(value.cast_unsigned());
    // SAFETY: an instruction on a register.
    unsafe { asm!("{value} >>= 31", value = inout(reg) value, options(pure, nomem, nostack)) };
    value as u32
}

#[inline(always)]
fn saturate(value: u64) -> u32 {
    if value > u64::from(u32::MAX) {
        u32::MAX
    } else {
        value as u32
    }
}
