//! The live loop of `run`: drain, predict, report, and keep to the CPU budget.

use super::live::{Arrivals, PREDICTED, monotonic_ns};
use crate::{
    budget::{self, Budget, Idle, Leisure, Moment, Order, Usage},
    oracle::Oracle,
    probe::{Activity, Capture, ProbeError},
    report::{Reporter, lines::CostFigures},
};
use std::time::Duration;

/// Between two looks at the idle time, ns.
const LOOK_NS: u64 = 50_000_000;
/// A pause ends within this of when it could, and a run of when it should. Each time that the reader wakes costs it, and on a slow machine ten
/// times a second took all that it may use.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
/// Between two warnings that even pausing takes too much, ns.
const WARN_NS: u64 = 60_000_000_000;

/// Whether switches are predicted or pass by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Predicting,
    /// A pause has begun, and what was recorded before it is still being predicted. `settled`: nothing
    /// can be added to that any more.
    Closing {
        settled: bool,
    },
    Paused,
}

/// The live loop.
pub(super) struct Watch<'a> {
    capture: &'a mut Capture,
    oracle: &'a mut Oracle,
    reporter: &'a mut Reporter,
    arrivals: Arrivals,
    ring_bytes: usize,
    overload: bool,
    budget: Option<Budget>,
    phase: Phase,
    /// Nothing is recorded any more: what is left is predicted.
    ending: bool,
    idle: Idle,
    /// Where there is no budget.
    leisure: Leisure,
    looked_ns: u64,
    /// Switches of each CPU that have passed by and are counted.
    passed_by: Vec<u64>,
    warned_ns: Option<u64>,
    /// See [`Capture::limit`].
    limit_bytes: u64,
    /// Since the start, and since the last summary.
    usage: [Usage; 2],
    first_prediction_ns: Option<u64>,
}

impl<'a> Watch<'a> {
    /// Without a `budget`, every switch is predicted while the reader keeps up.
    pub(super) fn new(
        capture: &'a mut Capture,
        oracle: &'a mut Oracle,
        reporter: &'a mut Reporter,
        ring_bytes: u32,
        budget: Option<Budget>,
    ) -> Self {
        Self {
            capture,
            oracle,
            reporter,
            arrivals: Arrivals::default(),
            ring_bytes: ring_bytes as usize,
            overload: false,
            budget,
            phase: Phase::Predicting,
            ending: false,
            idle: Idle::default(),
            leisure: Leisure::default(),
            looked_ns: 0,
            passed_by: Vec::new(),
            warned_ns: None,
            limit_bytes: 0,
            usage: [Usage::begin(); 2],
            first_prediction_ns: None,
        }
    }

    pub(super) fn arrivals(&self) -> Arrivals {
        self.arrivals
    }

    /// Predicts until `done`, or until nobody reads the output.
    pub(super) fn until(&mut self, done: impl Fn() -> bool) -> Result<(), ProbeError> {
        let mut backlog = 0;
        while !done() && !self.reporter.closed() {
            if backlog == 0 {
                self.wait()?;
            }
            (_, backlog) = self.step()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), ProbeError> {
        match (self.phase, &self.budget) {
            (Phase::Predicting, _) | (_, None) => self.capture.wait(),
            (Phase::Closing { .. }, _) => Ok(()),
            (Phase::Paused, Some(budget)) => {
                let summary = self.reporter.due_in(monotonic_ns());
                let pause = Duration::from_nanos(budget.pause_ns()).min(summary);
                self.capture
                    .wait_for(pause.clamp(SHORTEST_SLEEP, LONGEST_SLEEP))
            }
        }
    }

    /// Takes what is left in the ring once recording is off.
    pub(super) fn rest(&mut self) -> Result<(), ProbeError> {
        self.capture.stop()?;
        self.ending = true;
        loop {
            let (events, backlog) = self.step()?;
            if events == 0 && backlog == 0 {
                break;
            }
        }
        let activity = self.capture.activity()?;
        self.count(monotonic_ns(), &activity);
        Ok(())
    }

    /// One drain. Returns the events that it gave and the bytes that it left.
    fn step(&mut self) -> Result<(u64, usize), ProbeError> {
        let Self {
            capture,
            oracle,
            reporter,
            arrivals,
            ..
        } = self;
        let before = arrivals.switches;
        let drained = capture.drain(PREDICTED, &mut |event| {
            arrivals.add(event);
            oracle.event(event, &mut **reporter);
        })?;
        reporter.switches(arrivals.switches - before);
        let now_ns = monotonic_ns();
        if drained.resumed {
            oracle.end_snapshot(now_ns);
        }
        let backlog = drained.backlog_bytes;
        if self.budget.is_none() {
            self.shed_when_behind(backlog);
        }
        if backlog == 0 {
            self.oracle.settle();
        }
        if self.first_prediction_ns.is_none() && self.reporter.scored() > 0 {
            self.first_prediction_ns = budget::since_start();
        }
        self.govern(now_ns, backlog)?;
        if self.reporter.due(now_ns) {
            let cpu = self.usage[1].share();
            self.usage[1] = Usage::begin();
            self.reporter
                .summary(now_ns, self.oracle.learner(), Some(cpu));
        } else {
            self.reporter.flush(now_ns);
        }
        Ok((drained.events, backlog))
    }

    /// Far behind, predictions would lead nothing: catches up first, and counts what is not predicted.
    fn shed_when_behind(&mut self, backlog: usize) {
        if backlog > self.ring_bytes / 4 {
            self.overload = true;
        } else if backlog < self.ring_bytes / 16 {
            self.overload = false;
        }
        self.oracle.set_overload(self.overload);
    }

    /// Begins and ends pauses as the budget asks, and lets the learner work when a CPU has time for it.
    fn govern(&mut self, now_ns: u64, backlog: usize) -> Result<(), ProbeError> {
        if self.ending {
            return Ok(());
        }
        let mut idle = None;
        let passed_ns = now_ns.saturating_sub(self.looked_ns);
        if self.phase == Phase::Paused || passed_ns >= LOOK_NS {
            self.looked_ns = now_ns;
            let activity = self.capture.activity()?;
            idle = self.idle.share(now_ns, &activity);
            self.count(now_ns, &activity);
            if self.phase == Phase::Predicting {
                self.limit();
            }
        }
        let Some(budget) = &mut self.budget else {
            if let Some(idle) = idle {
                self.leisure.look(idle, passed_ns as f64);
            }
            self.oracle.hold_learning(!self.leisure.may_learn());
            return Ok(());
        };
        let order = budget.pass(Moment {
            wall_ns: now_ns,
            reader_ns: budget::thread_cpu_ns(),
            learner_ns: self.oracle.learner().cpu_ns,
            idle,
            backlog_bytes: backlog,
            read_bytes: self.capture.read_bytes(),
        });
        self.oracle.hold_learning(!budget.may_learn());
        match self.phase {
            Phase::Predicting => {
                if order == Order::Pause || self.capture.paused()? {
                    self.capture.pause()?;
                    self.phase = Phase::Closing { settled: false };
                }
            }
            Phase::Closing { settled: false } if backlog == 0 => {
                self.capture.settle_pause();
                self.phase = Phase::Closing { settled: true };
            }
            Phase::Closing { settled: true } if backlog == 0 => {
                self.oracle.pause();
                budget.pausing();
                self.phase = Phase::Paused;
            }
            Phase::Paused if order == Order::Resume => {
                let before_ns = budget::thread_cpu_ns();
                self.oracle.end_pause();
                self.limit_bytes = budget.queue_bytes();
                self.capture.limit(self.limit_bytes);
                self.capture.resume()?;
                budget.resumed(budget::thread_cpu_ns().saturating_sub(before_ns));
                self.phase = Phase::Predicting;
            }
            Phase::Closing { .. } | Phase::Paused => {}
        }
        if let Some(used) = budget.overrun()
            && self
                .warned_ns
                .is_none_or(|warned| now_ns >= warned + WARN_NS)
        {
            self.warned_ns = Some(now_ns);
            tracing::warn!(
                "letting switches pass by alone takes {:.2} % of a CPU, and --cpu-budget allows {:.2} % now",
                used * 100.0,
                budget.rate() * 100.0
            );
        }
        Ok(())
    }

    /// Lets the programs end the burst when more is queued than the budget has time for.
    fn limit(&mut self) {
        let Some(budget) = &self.budget else {
            return;
        };
        let bytes = budget.queue_bytes();
        let change = bytes.abs_diff(self.limit_bytes);
        if change > self.limit_bytes / 4 {
            self.limit_bytes = bytes;
            self.capture.limit(bytes);
        }
    }

    /// Counts what has passed by.
    fn count(&mut self, now_ns: u64, activity: &[Activity]) {
        self.passed_by.resize(activity.len(), 0);
        for (cpu, (activity, counted)) in activity.iter().zip(&mut self.passed_by).enumerate() {
            let switches = activity.skipped - *counted;
            if switches > 0 {
                *counted = activity.skipped;
                self.oracle
                    .passed_by(now_ns, cpu as u32, switches, self.reporter);
                self.reporter.switches(switches);
            }
        }
    }

    /// What the run has cost so far. To be called in the reader's thread.
    pub(super) fn cost(&self) -> CostFigures {
        let budget = self.budget.as_ref();
        CostFigures {
            budget: budget.map(Budget::share),
            busy_budget: budget.map(Budget::busy_share),
            pauses: budget.map_or(0, Budget::pauses),
            paused_s: budget.map_or(0.0, |budget| budget.paused_ns() as f64 / 1e9),
            reader_cpu_s: budget::thread_cpu_ns() as f64 / 1e9,
            cpu_s: Usage::total_ns() as f64 / 1e9,
            cpu: self.usage[0].share(),
            resident_bytes: budget::resident_bytes().ok(),
            ring_bytes: self.capture.ring_memory_bytes(),
            first_prediction_s: self.first_prediction_ns.map(|ns| ns as f64 / 1e9),
        }
    }
}
