//! What the oracle hands out: predictions with their outcome, and why a switch was not scored.

use crate::model::{Lstm, Window};
use crate::trace::event::Comm;
use arrayvec::ArrayVec;
use serde::Serialize;

/// Predicted tasks that an outcome lists.
pub const TOP: usize = 5;

/// Stands for the pid of a task that the current one is about to fork: it has none yet.
pub const NEW_CHILD: u32 = u32::MAX;

/// A task as a log line names it. A predicted task that the current one is about to fork has the pid [`NEW_CHILD`] and the current one's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TaskName {
    pub pid: u32,
    pub comm: Comm,
}

/// A prediction of the model and what came of it.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The likeliest candidates, best first, with their probability.
    pub top: ArrayVec<(TaskName, f32), TOP>,
    /// 1 is a hit. `None` if the actual task was not among the candidates.
    pub rank: Option<u32>,
    /// `-log2` of the probability given to the actual task; finite, as unlisted tasks share a reserve.
    pub bits: f32,
    /// How many candidates were weighed.
    pub candidates: u32,
    /// ts of the actual switch minus the time at which the prediction was ready. `None` in replay.
    pub lead_ns: Option<i64>,
    /// Time that the prediction took, with what was worked out for it before the switch. `None` in replay.
    pub inference_ns: Option<u64>,
}

impl Scored {
    /// The first choice was right.
    pub fn hit(&self) -> bool {
        self.rank == Some(1)
    }
}

/// The predictors that the model has to beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// What most often followed the current task.
    Order1,
    /// What most often followed the longest context seen, of up to eight tasks.
    Backoff8,
    /// What the scheduler would pick now: earliest eligible deadline, or least vruntime.
    Scheduler,
}

impl Baseline {
    /// All of them, in the order of [`Decision::baselines`].
    pub const ALL: [Self; 3] = [Self::Order1, Self::Backoff8, Self::Scheduler];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order1 => "order-1",
            Self::Backoff8 => "back-off-8",
            Self::Scheduler => "scheduler",
        }
    }
}

/// A baseline's outcome on one decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct BaselineScored {
    /// `None`: it had nothing to say, which counts as a miss.
    pub predicted: Option<TaskName>,
    /// 1 is a hit; `None` if the actual task was not ranked (only the first five are).
    pub rank: Option<u32>,
    /// `None` where the baseline gives no distribution.
    pub bits: Option<f32>,
}

/// Why an at-switch prediction missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A wake-up from outside decided: an interrupt, a timer or another CPU woke the next task while the current one ran, or
    /// the wake-up that was expected did not come.
    Arrival,
    /// The next one was woken in the current task's run: by the task itself, or by an interrupt that hit while it ran, which the events do
    /// not tell apart.
    WokenByCurrent,
    /// Both tasks waited, and each was the scheduler's choice: one if the current task sleeps, one if it is still runnable at the end
    /// of its slice or is preempted. It left the other way.
    SleepOrStay,
    /// The next task waited, but was not the choice as rebuilt from events: the tick came earlier or later than thought, or the
    /// scheduler's state had changed since it was recorded.
    Order,
    /// The next task was not known, or it was not known whether it was runnable.
    StateUnknown,
    /// The next task waited and was the choice for the way in which the current one left: the model should have known.
    Model,
}

impl Cause {
    pub const ALL: [Self; 6] = [
        Self::Arrival,
        Self::WokenByCurrent,
        Self::SleepOrStay,
        Self::Order,
        Self::StateUnknown,
        Self::Model,
    ];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::WokenByCurrent => "woken by current",
            Self::SleepOrStay => "sleep or stay",
            Self::Order => "order",
            Self::StateUnknown => "state unknown",
            Self::Model => "model",
        }
    }
}

/// Predicted and actual run time of the task that ran, from its switch-in to its switch-out.
#[derive(Clone, Copy, Debug)]
pub struct RunTime {
    pub actual_ns: u64,
    /// Predicted quantiles .1, .5, .9.
    pub predicted_ns: [u64; 3],
    /// The task's own running median before this run; `None` on its first run.
    pub median_ns: Option<u64>,
}

/// One scored switch.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Number of the switch in this run, from 1; unscored ones count too.
    pub number: u64,
    /// The switch itself, ns.
    pub ts_ns: u64,
    pub cpu: u32,
    /// The task that left.
    pub ran: TaskName,
    /// The task that entered.
    pub actual: TaskName,
    /// Made right after the previous switch. The headline.
    pub at_switch: Scored,
    /// Made after the last wake-up before the switch; `None` if nothing woke: then the at-switch
    /// prediction stands.
    pub refined: Option<Scored>,
    /// Why the at-switch prediction missed; `None` if it hit.
    pub cause: Option<Cause>,
    /// In the order of [`Baseline::ALL`].
    pub baselines: [BaselineScored; 3],
    /// PPM of order 8 with exact counts; `None` unless the oracle was asked for it.
    pub ppm8: Option<BaselineScored>,
    /// `None` where the run began before the trace, or behind a gap.
    pub run_time: Option<RunTime>,
}

/// Why a switch was not scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unscored {
    /// The first switch seen on its CPU: there was nothing to predict from.
    First,
    /// Events were lost just before.
    Gap,
    /// The switch's prev is not the task that was known to run: the trace is inconsistent.
    Broken,
    /// The reader was behind, and only kept state.
    Overload,
    /// The switch passed by, or was the first after those that did: predicting every switch would have
    /// taken more of a CPU than the budget allows.
    Budget,
}

impl Unscored {
    pub const ALL: [Self; 5] = [
        Self::First,
        Self::Gap,
        Self::Broken,
        Self::Overload,
        Self::Budget,
    ];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Gap => "gap",
            Self::Broken => "broken",
            Self::Overload => "overload",
            Self::Budget => "budget",
        }
    }
}

/// A window of switches without a gap, each with its outcome.
#[derive(Debug)]
pub struct FullWindow<'a> {
    /// The LSTM's state before the first switch.
    pub start: &'a Lstm,
    pub window: &'a Window,
    /// Between the switch before the first and the last outcome, ns.
    pub from_ns: u64,
    pub to_ns: u64,
}

/// Receives what the oracle hands out, in order.
pub trait Sink {
    /// A switch was scored.
    fn decision(&mut self, decision: &Decision);
    /// A switch was seen and not scored.
    fn unscored(&mut self, ts_ns: u64, cpu: u32, reason: Unscored);
    /// So many switches passed by unseen, as [`Unscored::Budget`].
    fn passed_by(&mut self, ts_ns: u64, cpu: u32, switches: u64) {
        for _ in 0..switches {
            self.unscored(ts_ns, cpu, Unscored::Budget);
        }
    }
    /// Events of a CPU were lost.
    fn gap(&mut self, ts_ns: u64, cpu: u32, lost: u64);
    /// A window is full. Only while nothing learns; then every switch that is scored is in one window at most.
    fn window(&mut self, _window: &FullWindow<'_>) {}
}
