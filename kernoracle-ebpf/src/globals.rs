//! What user space sets before the programs are loaded.
//!
//! The section of these is frozen, so the verifier knows each value as a constant, and cuts out branches on them.

use core::hint::black_box;

use aya_ebpf::Global;
use kernoracle_common::MAX_CPUS;

/// Declares globals of one type that user space overrides by name.
macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub static $name: Global<$type> = Global::new($value);
        )*
    };
}

globals! {
    /// Not zero: `sched_switch` has a fourth argument, `prev_state`.
    PREV_STATE_ARG: u32 = 0;
    /// See [`kernoracle_common::ring::Size`].
    WORD_BITS: u32 = 21;
    /// See [`kernoracle_common::ring::level`].
    LEVEL_BYTES: u64 = 0;
    /// See [`kernoracle_common::ring::most_queued`].
    MOST_QUEUED: u64 = 0;
    /// Not zero: every CPU is recorded, `CPU_MASK` does not matter.
    ALL_CPUS: u32 = 1;
    /// Not zero: there is a program on `sched_waking`, which tells who wakes.
    SCHED_WAKING: u32 = 1;
    /// Not zero: there is one where wake-ups are handed to another CPU. If there is neither, the machine can have but one.
    HAND_OVER: u32 = 0;
}

const MASK_WORDS: usize = MAX_CPUS / 64;

/// One bit for each CPU that is recorded.
#[unsafe(no_mangle)]
pub static CPU_MASK: Global<[u64; MASK_WORDS]> = Global::new([0; MASK_WORDS]);

/// Whether `cpu` is recorded.
#[inline(always)]
pub fn selected(cpu: u32) -> bool {
    if ALL_CPUS.load() != 0 {
        return true;
    }
    let cpu = cpu as usize;
    if cpu >= MAX_CPUS {
        return false;
    }
    // Before 6.8 the verifier forgets the bounds of a value of 32 bits that has been on the stack, and refuses the access below:
    // bounded once more, where the compiler cannot see that it is needless.
    const { assert!(MASK_WORDS.is_power_of_two()) };
    let index = black_box(cpu / 64) & (MASK_WORDS - 1);
    // SAFETY: the index is below MASK_WORDS; the value is set before the program runs, out of the
    // compiler's sight, hence volatile. `Global::load` would copy the whole array to the stack.
    let word = unsafe {
        (&raw const CPU_MASK)
            .cast::<u64>()
            .add(index)
            .read_volatile()
    };
    word >> (cpu % 64) & 1 != 0
}
