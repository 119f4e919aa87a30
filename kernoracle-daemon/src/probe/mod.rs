//! The live kernel: load, attach, read. The only module that needs root.

use crate::trace::{event::Event, origin::Origin};
use kernoracle_common::Counters;
use std::time::Duration;

/// What to capture and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Only these CPUs; empty for all.
    pub cpus: Vec<u32>,
    /// Keep the daemon's own switches.
    pub include_self: bool,
    /// How long an event may wait in the ring while little happens.
    pub latency: Duration,
}

/// Why the kernel cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {}

/// How a drain ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drained {
    /// Events handed out.
    pub events: u64,
    /// Bytes still in the ring: not zero if the budget ended the drain.
    pub backlog_bytes: usize,
}

/// A running capture.
#[derive(Debug)]
pub struct Capture {}

impl Capture {
    /// Loads and attaches all programs, switches recording on, takes the snapshot.
    pub fn start(_config: &Config) -> Result<Self, ProbeError> {
        Ok(Self {})
    }

    /// Kernel, scheduler, absent fields.
    pub fn origin(&self) -> &Origin {
        unimplemented!()
    }

    /// What was found at start, in a few lines for a person: kernel, scheduler, BTF offsets or the missing
    /// fields, hook type of each program, CPUs, ring size.
    pub fn findings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Sleeps until enough is queued, the latency is over, or a signal came.
    pub fn wait(&mut self) -> Result<(), ProbeError> {
        Ok(())
    }

    /// Hands out at most `budget` events; losses come as [`crate::trace::event::Body::Gap`] events.
    pub fn drain(
        &mut self,
        _budget: usize,
        _each: &mut dyn FnMut(&Event),
    ) -> Result<Drained, ProbeError> {
        Ok(Drained::default())
    }

    /// Switches recording off. What is queued can still be drained; a last drain also hands out gaps
    /// at the end, so that `seen + lost == produced`.
    pub fn stop(&mut self) -> Result<(), ProbeError> {
        Ok(())
    }

    /// The kernel side's counters of each CPU.
    pub fn counters(&self) -> Result<Vec<Counters>, ProbeError> {
        Ok(Vec::new())
    }

    /// Times that the kernel skipped a program because it was already running on that CPU.
    pub fn recursion_misses(&self) -> Result<u64, ProbeError> {
        Ok(0)
    }
}

/// One thing that this kernel and user can or cannot do.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    /// Without it nothing can be traced.
    pub required: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty if it is ok.
    pub remedy: String,
}

/// All that the capture uses.
pub fn capabilities() -> Vec<Check> {
    Vec::new()
}
