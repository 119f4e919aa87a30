//! What `run` and `record` share: counting what arrives, against the kernel side's counters.

use crate::{
    probe::{Capture, Config, ProbeError},
    report::lines::KernelFigures,
    trace::event::{Body, Event},
};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

use super::units::{self, CpuList};

/// Events that a drain hands out at most: a signal is seen after these.
pub const BUDGET: usize = 4096;
/// The same where each takes microseconds: the time that they have taken is looked at after these.
pub const PREDICTED: usize = 256;

/// What the ring has to hold.
#[derive(Clone, Copy, Debug)]
pub enum RingFor {
    /// All that comes while the reader does not get the CPU.
    Everything,
    /// At most half of it is used: then recording pauses. The kernel counts the mapping twice in the resident memory.
    Bursts,
}

/// What to capture.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Capture")]
pub struct CaptureOptions {
    /// End after this time, such as 30s
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub duration: Option<Duration>,

    /// Only these CPUs, such as 0,2-3
    #[arg(long, value_name = "LIST", value_parser = units::cpus)]
    cpu: Option<CpuList>,

    /// Size of the ring between kernel and daemon: a power of two [default: 16M; 4M for a run with a
    /// CPU budget, which lets switches pass by before the ring is full]
    #[arg(long, value_name = "SIZE", value_parser = units::ring_size)]
    ring_size: Option<u32>,

    /// How long an event may wait in the ring while little happens
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = units::duration)]
    latency: Duration,

    /// Keep the switches from and to this program
    #[arg(long)]
    include_self: bool,

    /// Real-time priority (SCHED_FIFO) of the thread that reads events, so that it comes in time on a
    /// CPU with hundreds of runnable tasks; 0: niceness -20 instead
    #[arg(long, value_name = "1-99", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=99))]
    rt_prio: u32,
}

impl CaptureOptions {
    fn config(&self, ring: RingFor) -> Config {
        Config {
            ring_bytes: self.ring_bytes(ring),
            cpus: self.cpu.clone().unwrap_or_default().0,
            include_self: self.include_self,
            latency: self.latency,
        }
    }

    /// Starts the capture in a thread that runs before others: on a busy CPU the start itself would
    /// take many seconds. Threads and commands started later do not inherit this.
    pub fn start(&self, ring: RingFor) -> Result<Capture, ProbeError> {
        let favoured = crate::priority::favour_reader(self.rt_prio);
        let capture = Capture::start(&self.config(ring))?;
        match favoured {
            Ok(got) => tracing::debug!("reader thread: {got:?}"),
            Err(error) => tracing::warn!(
                "the reader thread keeps its ordinary priority ({error}): events may be lost under many runnable tasks"
            ),
        }
        Ok(capture)
    }

    /// Size of the ring, bytes.
    pub fn ring_bytes(&self, ring: RingFor) -> u32 {
        self.ring_size.unwrap_or(match ring {
            RingFor::Everything => 16 << 20,
            RingFor::Bursts => 4 << 20,
        })
    }
}

/// Counts of what arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// Events, gaps not counted.
    pub events: u64,
    pub switches: u64,
    pub lost: u64,
}

impl Arrivals {
    pub fn add(&mut self, event: &Event) {
        match &event.body {
            Body::Gap { lost } => self.lost += lost,
            body => {
                self.events += 1;
                self.switches += u64::from(matches!(body, Body::Switch(_)));
            }
        }
    }

    /// Beside the kernel side's counters, summed over the CPUs.
    pub fn beside(&self, capture: &Capture) -> Result<KernelFigures, ProbeError> {
        let mut figures = KernelFigures {
            arrived_events: self.events,
            lost_events: self.lost,
            recursion_misses: capture.recursion_misses()?,
            ..KernelFigures::default()
        };
        for cpu in capture.counters()? {
            figures.produced += cpu.produced();
            figures.dropped += cpu.dropped;
            figures.switches += cpu.switches;
            figures.dropped_switches += cpu.dropped_switches;
            figures.own_switches += cpu.own;
            figures.passed_by += cpu.skipped;
        }
        Ok(figures)
    }
}

/// The clock of the events, ns.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux always has CLOCK_MONOTONIC");
    Duration::from(now).as_nanos() as u64
}
