//! The fields of the kernel's structures that the programs read.
//!
//! Where a field is, is known when the programs are loaded. Until then an instruction that reads one has the field's number where the offset belongs, by
//! which user space finds the instruction.

/// A field of a kernel structure.
pub trait Field {
    type Value: Copy;
    const NUMBER: u16;
}

/// The offset of a load is this and the field's number until it is known. No record, no structure of our own and no stack is as long.
pub const LOAD: i16 = 0x7000;

/// A constant that is this and the field's number becomes the offset, or [`ABSENT`] where the kernel lacks the field.
pub const CONSTANT: i32 = 0x4b4f_0000;

/// For [`CONSTANT`].
pub const ABSENT: i32 = -1;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $value:ty;)*) => {
        #[derive(Clone, Copy)]
        #[repr(u16)]
        enum Number {
            $($name),*
        }

        /// Fields that there are; each number is below.
        pub const COUNT: usize = [$(Number::$name),*].len();

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Field for $name {
                type Value = $value;
                const NUMBER: u16 = Number::$name as u16;
            }
        )*
    };
}

// Of a `task_struct`.
fields! {
    Pid: u32;
    Tgid: u32;
    /// The first half of the name.
    CommLow: u64;
    CommHigh: u64;
    Prio: i32;
    Policy: u32;
    Flags: u32;
    OnRq: u32;
    OnCpu: u32;
    State: u32;
    Cpu: u32;
    CpusAllowed: u32;
    /// Of the mask the first word.
    CpusMask: u64;
    /// By which a wake-up is handed to another CPU: the start of a `__call_single_node`.
    WakeEntry: u64;
    /// What the node is for, among others.
    WakeEntryFlags: u32;
    /// Of the task's own `sched_entity`, as all that begin so.
    OwnWeight: u64;
    OwnVruntime: u64;
    OwnDeadline: u64;
    OwnSlice: u64;
    OwnVlag: i64;
    OwnSumExec: u64;
    OwnDelayed: u8;
    OwnDepth: u32;
    OwnParent: u64;
    OwnCfsRq: u64;
    /// Of a group's `sched_entity`, as all that begin so.
    GroupWeight: u64;
    GroupVruntime: u64;
    GroupDeadline: u64;
    GroupSlice: u64;
    GroupParent: u64;
    GroupCfsRq: u64;
    /// The `rq` that a `cfs_rq` is part of.
    CfsRqRq: u64;
    /// Of an `rq`.
    RqClock: u64;
}
