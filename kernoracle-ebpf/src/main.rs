//! The programs on the scheduler's trace points, and the iterator that takes the snapshot.
//!
//! Each trace point has a `tp_btf` program, which loads kernel fields directly, and a `raw_tp` twin
//! with the same body, which copies them with a helper, for kernels whose verifier refuses the first.
//! Neither can hide an event from other users of the trace point; a classic tracepoint program that
//! returns 0 does (`perf_trace_run_bpf_submit` in kernel/events/core.c).
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::inline_always,
    reason = "a call is a BPF function of its own, for which the verifier forgets what it knows of pointers"
)]
#![expect(
    clippy::no_mangle_with_rust_abi,
    reason = "BPF has one calling convention; the loader finds programs and globals by name"
)]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "records are eight-byte aligned, and a comm's offset in them is a multiple of eight"
)]

mod card;
mod clock;
mod count;
mod globals;
mod hand_over;
mod life;
mod mem;
mod record;
mod ring;
mod snapshot;
mod switch;
mod task;
mod wake;

use aya_ebpf::{
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use core::ffi::c_void;
use kernoracle_common::{Kind, field::State};
use mem::{Direct, Pointer, Probe};

/// A `tp_btf` program and its `raw_tp` twin over one body: `$ctx` gives the trace point's arguments,
/// `$mem` is how the body reads the kernel's memory.
macro_rules! twins {
    ($(#[$doc:meta])* $btf:ident, $raw:ident, $tracepoint:literal, |$ctx:ident, $mem:ident| $body:expr) => {
        $(#[$doc])*
        #[btf_tracepoint(function = $tracepoint)]
        #[inline(always)]
        fn $btf($ctx: BtfTracePointContext) -> Option<()> {
            type $mem = Direct;
            $body
        }

        $(#[$doc])*
        #[raw_tracepoint(tracepoint = $tracepoint)]
        #[inline(always)]
        fn $raw($ctx: RawTracePointContext) -> Option<()> {
            type $mem = Probe;
            $body
        }
    };
}

twins! {
    /// `(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`
    btf_switch, raw_switch, "sched_switch", |ctx, Mem| {
        let prev: Pointer = ctx.arg(1);
        let next: Pointer = ctx.arg(2);
        let prev_state = if globals::PREV_STATE_ARG.load() == 0 {
            // Before 5.18 the state is read from the task, as the trace event itself did.
            mem::field::<Mem, State>(prev)
        } else {
            ctx.arg::<u32>(3)
        };
        switch::switch::<Mem>(ctx.arg::<u32>(0) & 1 != 0, prev, next, prev_state)
    }
}

twins! {
    /// `(struct task_struct *p)`
    btf_waking, raw_waking, "sched_waking", |ctx, Mem| wake::waking::<Mem>(ctx.arg(0))
}

twins! {
    /// `(struct task_struct *p)`
    btf_wakeup, raw_wakeup, "sched_wakeup", |ctx, Mem| wake::wakeup::<Mem>(Kind::Wakeup, ctx.arg(0))
}

twins! {
    /// `(struct task_struct *p)`
    btf_wakeup_new, raw_wakeup_new, "sched_wakeup_new",
    |ctx, Mem| wake::wakeup::<Mem>(Kind::WakeupNew, ctx.arg(0))
}

twins! {
    /// `(struct task_struct *p, int dest_cpu)`
    btf_migrate, raw_migrate, "sched_migrate_task",
    |ctx, Mem| life::migrate::<Mem>(ctx.arg(0), ctx.arg(1))
}

twins! {
    /// `(struct task_struct *parent, struct task_struct *child)`
    btf_fork, raw_fork, "sched_process_fork",
    |ctx, Mem| life::fork::<Mem>(ctx.arg(0), ctx.arg(1))
}

twins! {
    /// `(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
    btf_exec, raw_exec, "sched_process_exec",
    |ctx, Mem| life::exec::<Mem>(ctx.arg(0), ctx.arg(1))
}

twins! {
    /// `(struct task_struct *p, …)`
    btf_exit, raw_exit, "sched_process_exit", |ctx, Mem| life::exit::<Mem>(ctx.arg(0))
}

twins! {
    /// `(struct task_struct *task, const char *comm)`
    btf_rename, raw_rename, "task_rename", |ctx, Mem| life::rename::<Mem>(ctx.arg(0), ctx.arg(1))
}

/// `(unsigned int cpu, unsigned long callsite, smp_call_func_t func, call_single_data_t *csd)`. As `raw_tp` only: see `hand_over`.
#[raw_tracepoint(tracepoint = "csd_queue_cpu")]
#[inline(always)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the attribute's code calls it with a value"
)]
fn raw_hand_over(ctx: RawTracePointContext) -> Option<()> {
    hand_over::hand_over(ctx.arg(0), ctx.arg(3))
}

/// For comparison only: see `count`.
#[btf_tracepoint(function = "sched_switch")]
#[inline(always)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the attribute's code calls it with a value"
)]
fn count_next(ctx: BtfTracePointContext) -> Option<()> {
    count::count(ctx.arg(2))
}

/// Called for each task, and once more with none, while user space reads the iterator.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn iter_task(ctx: *mut c_void) -> i32 {
    // SAFETY: ctx is a `struct bpf_iter__task *`, two pointers: meta and task.
    let task = unsafe { ctx.cast::<Pointer>().add(1).read_volatile() };
    if !task.is_null() {
        let _ = snapshot::snapshot(task);
    }
    // 1 would ask for the same task again.
    0
}

/// The kernel gives its helpers to programs under a licence that is compatible with the GPL.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Not reached: the verifier refuses a program from which it could be.
    loop {}
}
