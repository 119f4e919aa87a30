//! `replay --timing`: what predicting costs, with nothing else that runs meanwhile.

use crate::budget::resident_bytes;
use crate::oracle::outcome::{Decision, FullWindow, Sink, Unscored};
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Longer times count as this: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// The line on standard error.
#[derive(Debug, Serialize)]
struct Line {
    decisions: u64,
    /// CPU time of this thread from the first event to the last: reading, predicting, learning, reporting.
    cpu_seconds: f64,
    decisions_per_second: f64,
    /// At-switch predictions: input, LSTM, features, scores.
    at_switch_ns: Quantiles,
    refined_ns: Quantiles,
    /// The most that was resident at once.
    peak_rss_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    count: u64,
    p50: u64,
    p99: u64,
    p999: u64,
}

impl From<&Histogram<u64>> for Quantiles {
    fn from(times: &Histogram<u64>) -> Self {
        Self {
            count: times.len(),
            p50: times.value_at_quantile(0.5),
            p99: times.value_at_quantile(0.99),
            p999: times.value_at_quantile(0.999),
        }
    }
}

/// Inference times of a replay.
#[derive(Debug)]
pub struct Timing {
    begun_ns: u64,
    decisions: u64,
    at_switch: Histogram<u64>,
    refined: Histogram<u64>,
}

impl Timing {
    /// Time begins.
    pub fn new() -> Self {
        let times = || {
            Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds and digits are in range")
        };
        Self {
            decisions: 0,
            at_switch: times(),
            refined: times(),
            begun_ns: thread_cpu_ns(),
        }
    }

    fn decision(&mut self, decision: &Decision) {
        self.decisions += 1;
        let times = [
            (&mut self.at_switch, Some(&decision.at_switch)),
            (&mut self.refined, decision.refined.as_ref()),
        ];
        for (times, scored) in times {
            if let Some(ns) = scored.and_then(|scored| scored.inference_ns) {
                times.saturating_record(ns);
            }
        }
    }

    /// All of it as one line of JSON.
    pub fn line(&self) -> anyhow::Result<String> {
        let cpu_seconds = (thread_cpu_ns() - self.begun_ns) as f64 / 1e9;
        // Not getrusage's: that has what the parent held at the fork in it.
        let peak_rss_bytes = resident_bytes()?;
        Ok(serde_json::to_string(&Line {
            decisions: self.decisions,
            cpu_seconds,
            decisions_per_second: self.decisions as f64 / cpu_seconds,
            at_switch_ns: (&self.at_switch).into(),
            refined_ns: (&self.refined).into(),
            peak_rss_bytes,
        })?)
    }
}

fn thread_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

/// Hands on what it is given, and looks at the times.
pub struct Timed<'a> {
    pub timing: Option<&'a mut Timing>,
    pub sink: &'a mut dyn Sink,
}

impl Sink for Timed<'_> {
    fn decision(&mut self, decision: &Decision) {
        if let Some(timing) = &mut self.timing {
            timing.decision(decision);
        }
        self.sink.decision(decision);
    }

    fn unscored(&mut self, ts_ns: u64, cpu: u32, reason: Unscored) {
        self.sink.unscored(ts_ns, cpu, reason);
    }

    fn passed_by(&mut self, ts_ns: u64, cpu: u32, switches: u64) {
        self.sink.passed_by(ts_ns, cpu, switches);
    }

    fn gap(&mut self, ts_ns: u64, cpu: u32, lost: u64) {
        self.sink.gap(ts_ns, cpu, lost);
    }

    fn window(&mut self, window: &FullWindow<'_>) {
        self.sink.window(window);
    }
}
