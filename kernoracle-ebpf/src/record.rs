//! From the filter to the ring: what every record has in common.

use crate::ring::{self, Space};
use aya_ebpf::{
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::{Array, PerCpuArray},
};
use aya_log_ebpf::warn;
use core::arch::asm;
use kernoracle_common::{Control, Displaced, Header, Kind, PerCpu};

#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

#[map]
static PER_CPU: PerCpuArray<PerCpu> = PerCpuArray::with_max_entries(1, 0);

#[map]
static DISPLACED: PerCpuArray<Displaced> = PerCpuArray::with_max_entries(1, 0);

pub fn control() -> Option<*mut Control> {
    CONTROL.get_ptr_mut(0)
}

/// What user space wants, while recording is on.
#[derive(Clone, Copy)]
pub struct Recording {
    /// The daemon's thread group; 0: none.
    pub own: u32,
    /// The reader has no time for switches: for programs whose records it can do without.
    pub paused: bool,
}

/// Nothing while recording is off. The first thing that a program asks.
#[inline(always)]
pub fn recording() -> Option<Recording> {
    let control = control()?;
    // SAFETY: a map value, which user space changes: volatile.
    unsafe {
        if (&raw const (*control).recording).read_volatile() == 0 {
            return None;
        }
        Some(Recording {
            own: (&raw const (*control).own_tgid).read_volatile(),
            paused: (&raw const (*control).paused).read_volatile() != 0,
        })
    }
}

pub fn displaced() -> Option<*mut Displaced> {
    DISPLACED.get_ptr_mut(0)
}

/// The CPU that runs the program, and what it keeps.
#[derive(Clone, Copy)]
pub struct Here {
    pub cpu: u32,
    pub state: *mut PerCpu,
}

/// Adds in a single instruction, for an interrupt may run another program between two; the value before.
// The target has no atomic operations in `core`: it lacks a compare-and-swap before v3.
#[inline(always)]
pub fn add(counter: *mut u64, mut value: u64) -> u64 {
    // SAFETY: an aligned u64 in a map value, which the verifier checks.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u64 *)({counter} + 0), {value})",
            counter = in(reg) counter,
            value = inout(reg) value,
        );
    }
    value
}

impl Here {
    #[inline(always)]
    pub fn new() -> Option<Self> {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        Some(Self {
            cpu,
            state: PER_CPU.get_ptr_mut(0)?,
        })
    }

    /// Keeps the check of a card for the record that will need it.
    #[inline(always)]
    pub fn keep_check(self, slot: usize, check: u8) {
        // SAFETY: `state` is a map value. Volatile: as in [`Self::check`].
        unsafe { (&raw mut (*self.state).checks[slot]).write_volatile(check) };
    }

    /// The check that was kept.
    #[inline(always)]
    pub fn check(self, slot: usize) -> u8 {
        // SAFETY: `state` is a map value. Volatile, or the compiler keeps the value at hand after all.
        unsafe { (&raw const (*self.state).checks[slot]).read_volatile() }
    }

    /// Counts a switch from or to the daemon that is left out.
    #[inline(always)]
    pub fn left_out(self) {
        // SAFETY: `state` is a map value.
        add(unsafe { &raw mut (*self.state).counters.own }, 1);
    }

    /// Counts a switch during a pause.
    #[inline(always)]
    pub fn skipped(self) {
        // Not atomic: switches of a CPU do not nest.
        // SAFETY: `state` is a map value.
        unsafe { (*self.state).counters.skipped += 1 };
    }

    /// Counts a record that cannot be; the number before.
    #[inline(always)]
    pub fn impossible(self) -> u64 {
        // SAFETY: `state` is a map value.
        add(unsafe { &raw mut (*self.state).counters.impossible }, 1)
    }

    /// Counts a `sched_waking` whose `sched_wakeup` never came: lost, for it has no record of its own.
    #[inline(always)]
    pub fn lose_waking(self) {
        self.produced(Kind::Waking, 1);
        self.lose(Kind::Waking, 1);
    }

    /// Counts the events of a record that is to be written.
    #[inline(always)]
    pub fn produced(self, kind: Kind, events: u64) {
        // SAFETY: `state` is a map value.
        let counters = unsafe { &raw mut (*self.state).counters };
        // SAFETY: as above.
        unsafe {
            if matches!(kind, Kind::Switch) {
                // Not atomic: switches of a CPU do not nest.
                (*counters).switches += events;
            } else {
                add(&raw mut (*counters).others, events);
            }
        }
    }

    /// As [`Self::produced`], of events that are no switches, in a program that runs with interrupts off: what it interrupts adds
    /// in a single instruction, and nothing interrupts it, so it need not.
    #[inline(always)]
    pub fn produced_alone(self, events: u64) {
        // SAFETY: `state` is a map value.
        unsafe { (*self.state).counters.others += events };
    }

    /// Counts events that have been produced and find no space.
    #[inline(always)]
    pub fn lose(self, kind: Kind, events: u64) {
        // SAFETY: `state` is a map value.
        let counters = unsafe { &raw mut (*self.state).counters };
        // SAFETY: as above.
        unsafe {
            if matches!(kind, Kind::Switch) {
                add(&raw mut (*counters).dropped_switches, events);
            }
            if add(&raw mut (*counters).dropped, events) == 0 {
                warn_dropped(self.cpu);
            }
        }
    }

    /// Reserves the space of a record whose events have been counted; counts them as dropped if there is none.
    #[inline(always)]
    pub fn reserve<T: 'static>(self, kind: Kind, events: u64) -> Option<Reserved<T>> {
        let reserved = self.reserve_uncounted(kind);
        if reserved.is_none() {
            self.lose(kind, events);
        }
        reserved
    }

    /// Reserves the space of a record that is no event.
    #[inline(always)]
    pub fn reserve_uncounted<T: 'static>(self, kind: Kind) -> Option<Reserved<T>> {
        Some(Reserved {
            space: ring::reserve::<T>()?,
            here: self,
            kind,
        })
    }
}

/// Space for a record; it must be submitted.
#[must_use = "the reader stops before a record that is not submitted"]
pub struct Reserved<T: 'static> {
    space: Space<T>,
    here: Here,
    kind: Kind,
}

impl<T> Reserved<T> {
    #[inline(always)]
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.space.record()
    }

    /// Writes the header, at the start of every record, and hands the record over.
    #[inline(always)]
    pub fn submit(self, ts_ns: u64, flags: u8) {
        let Here { cpu, state } = self.here;
        let header = self.space.record().cast::<Header>();
        // SAFETY: `T` starts with a header; `state` is a map value.
        unsafe {
            (*header).ts_ns = ts_ns;
            // After the reserve: what was dropped before it is in the sum.
            (*header).lost = (&raw const (*state).counters.dropped).read_volatile() as u32;
            (*header).cpu = cpu as u16;
            (*header).kind = self.kind as u8;
            (*header).flags = flags;
        }
        self.space.submit();
    }
}

/// Once a CPU: the counters tell the rest.
// Not inlined: formatting needs stack that the callers use for themselves.
#[cold]
#[inline(never)]
fn warn_dropped(cpu: u32) {
    warn!(
        &(),
        "cpu {}: the ring is full, records are being dropped", cpu
    );
}

/// A hierarchy that no kernel builds: the offsets must be wrong.
#[cold]
#[inline(never)]
pub fn warn_impossible(pid: u32, depth: u32) {
    warn!(
        &(),
        "pid {}: its group hierarchy has {} levels, which cannot be", pid, depth
    );
}
