//! Reading fields of the kernel's objects, whose offsets user space puts into the instructions before it loads the programs.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use core::arch::asm;
use kernoracle_common::field::{ABSENT, CONSTANT, Field, LOAD};

/// A kernel object of a type that rustc knows nothing about.
pub type Pointer = *const u8;

/// A way to read the kernel's memory.
pub trait Mem {
    /// A read costs less than a helper does.
    const CHEAP: bool;

    /// Reads a field; zero if this kernel lacks it.
    fn read<F: Field<Value: Load>>(base: Pointer) -> F::Value;
}

/// A value that one instruction loads.
pub trait Load: Copy + Default {
    /// # Safety
    ///
    /// User space replaces the instruction: by one that loads the field, which the verifier proves or refuses, or by one that gives zero.
    unsafe fn load<F: Field>(base: Pointer) -> Self;
}

macro_rules! loads {
    ($($value:ty as $unsigned:ty = $size:literal;)*) => {$(
        impl Load for $value {
            #[inline(always)]
            unsafe fn load<F: Field>(base: Pointer) -> Self {
                let value: u64;
                // SAFETY: see the trait. Not pure: the kernel changes the field under us.
                unsafe {
                    asm!(
                        concat!("{value} = *(", $size, " *)({base} + {place})"),
                        value = out(reg) value,
                        base = in(reg) base,
                        place = const LOAD + F::NUMBER.cast_signed(),
                        options(readonly, nostack),
                    );
                }
                value as $unsigned as $value
            }
        }
    )*};
}

loads! {
    u8 as u8 = "u8";
    u32 as u32 = "u32";
    i32 as u32 = "u32";
    u64 as u64 = "u64";
    i64 as u64 = "u64";
}

/// Loads that the verifier checks against the kernel's BTF: `tp_btf` and iterator programs.
pub struct Direct;

impl Mem for Direct {
    const CHEAP: bool = true;

    #[inline(always)]
    fn read<F: Field<Value: Load>>(base: Pointer) -> F::Value {
        // SAFETY: user space gives offsets of fields whose size it has checked.
        unsafe { F::Value::load::<F>(base) }
    }
}

/// Copies through a helper: `raw_tp` programs, whose arguments have no type.
pub struct Probe;

impl Mem for Probe {
    const CHEAP: bool = false;

    #[inline(always)]
    fn read<F: Field<Value: Load>>(base: Pointer) -> F::Value {
        let offset = place::<F>();
        if offset == i64::from(ABSENT) {
            return F::Value::default();
        }
        let field = base.wrapping_add(offset as usize).cast::<F::Value>();
        // SAFETY: the helper fails on a bad address. A fault gives zero, as it does in a direct load.
        unsafe { bpf_probe_read_kernel(field) }.unwrap_or_default()
    }
}

/// The offset of a field; [`ABSENT`] if this kernel lacks it.
#[inline(always)]
pub fn place<F: Field>() -> i64 {
    let offset: i64;
    // SAFETY: an instruction on a register. User space replaces the constant.
    unsafe {
        asm!(
            "{offset} = {place}",
            offset = out(reg) offset,
            place = const CONSTANT + F::NUMBER as i32,
            options(pure, nomem, nostack),
        );
    }
    offset
}

/// A field of the object at `base`; zero if this kernel lacks it.
#[inline(always)]
pub fn field<M: Mem, F: Field<Value: Load>>(base: Pointer) -> F::Value {
    M::read::<F>(base)
}
