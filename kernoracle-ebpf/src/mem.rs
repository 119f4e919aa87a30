//! Reading the kernel's objects at offsets that are known only when the programs are loaded.

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};
use kernoracle_common::ABSENT;

/// A kernel object of a type that rustc knows nothing about.
pub type Pointer = *const u8;

/// A way to read the kernel's memory.
pub trait Mem {
    /// A read costs less than a helper does.
    const CHEAP: bool;

    /// Reads a `T` at `base + offset`.
    ///
    /// # Safety
    ///
    /// The verifier proves a direct load or refuses the program; the helper fails on a bad address.
    /// What is left to the caller is that the field has `T`'s size.
    unsafe fn read<T: Copy + Default>(base: Pointer, offset: u32) -> T;
}

/// Loads that the verifier checks against the kernel's BTF: `tp_btf` and iterator programs.
pub struct Direct;

impl Mem for Direct {
    const CHEAP: bool = true;

    #[inline(always)]
    unsafe fn read<T: Copy + Default>(base: Pointer, offset: u32) -> T {
        // SAFETY: see the trait. Volatile, for the kernel changes the field under us.
        unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
    }
}

/// Copies through a helper: `raw_tp` programs, whose arguments have no type.
pub struct Probe;

impl Mem for Probe {
    const CHEAP: bool = true;

    #[inline(always)]
    unsafe fn read<T: Copy + Default>(base: Pointer, offset: u32) -> T {
        // SAFETY: see the trait. A fault gives zero, as it does in a direct load.
        unsafe { bpf_probe_read_kernel(base.add(offset as usize).cast::<T>()) }.unwrap_or_default()
    }
}

/// The field at `offset`, or zero if this kernel lacks it.
#[inline(always)]
pub fn field<M: Mem, T: Copy + Default>(base: Pointer, offset: &Global<u32>) -> T {
    nested::<M, T>(base, 0, offset)
}

/// The field at `offset` in a structure that is `outer` bytes into the object.
#[inline(always)]
pub fn nested<M: Mem, T: Copy + Default>(base: Pointer, outer: u32, offset: &Global<u32>) -> T {
    let offset = offset.load();
    if offset == ABSENT {
        return T::default();
    }
    // SAFETY: user space gives offsets of fields whose size it has checked.
    unsafe { M::read(base, outer + offset) }
}
