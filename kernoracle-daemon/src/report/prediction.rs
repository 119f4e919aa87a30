//! The lines of `--predictions`: every prediction with its outcome, times in whole ns.

use super::fields::documented;
use crate::oracle::outcome::{BaselineScored, Cause, Decision, RunTime, Scored, TaskName};

documented! {
    /// A task.
    pub struct TaskRef {
        /// Its pid; 0 is idle.
        pub pid: u32,
        /// Its name; bytes that are not UTF-8 are replaced.
        pub comm: String,
    }
}

documented! {
    /// A candidate of a prediction.
    pub struct Choice {
        /// The task's pid; 0 is idle, 4294967295 a task that the current one has yet to fork.
        pub pid: u32,
        /// Its name.
        pub comm: String,
        /// Probability given to it, 0 to 1.
        pub p: f32,
    }
}

documented! {
    /// A prediction of the model and its outcome.
    pub struct Outcome {
        /// The likeliest candidates, best first, at most five.
        pub top: Vec<Choice>,
        /// Place of the actual task, 1 is a hit; null if it was not a candidate.
        pub rank: Option<u32>,
        /// -log2 of the probability given to the actual task.
        pub bits: f32,
        /// Candidates that were weighed.
        pub candidates: u32,
        /// Time of the switch minus the time at which the prediction was ready, ns; null in replay.
        pub lead_ns: Option<i64>,
        /// Time that the prediction took, ns; null in replay.
        pub inference_ns: Option<u64>,
    }
}

documented! {
    /// A baseline's outcome.
    pub struct BaselineOutcome {
        /// Its first choice; null if it had none, which counts as a miss.
        pub predicted: Option<TaskRef>,
        /// Place of the actual task among its first five; null if it is not there.
        pub rank: Option<u32>,
        /// -log2 of the probability given to the actual task; null without a distribution.
        pub bits: Option<f32>,
    }
}

documented! {
    /// Predicted and actual run time of the task that left.
    pub struct RunTimeOutcome {
        /// From its switch-in to its switch-out, ns.
        pub actual_ns: u64,
        /// Predicted .1 quantile, ns.
        pub predicted_p10_ns: u64,
        /// Predicted median, ns.
        pub predicted_p50_ns: u64,
        /// Predicted .9 quantile, ns.
        pub predicted_p90_ns: u64,
        /// The task's own running median before this run, ns; null on its first.
        pub running_median_ns: Option<u64>,
    }
}

documented! {
    /// A line of `--predictions`: one scored switch.
    pub struct Record {
        /// Number of the switch in this run, from 1; unscored ones count too.
        pub number: u64,
        /// Kernel monotonic time of the switch, ns.
        pub ts_ns: u64,
        /// The CPU that switched.
        pub cpu: u32,
        /// The task that left.
        pub ran: TaskRef,
        /// The task that entered.
        pub actual: TaskRef,
        /// The prediction made right after the previous switch.
        pub at_switch: Outcome,
        /// The prediction made after the last wake-up before the switch; null if nothing woke.
        pub refined: Option<Outcome>,
        /// Why the at-switch prediction missed: `arrival`, `woken_by_current`, `sleep_or_stay`, `order`, `state_unknown` or `model`;
        /// null if it hit.
        pub cause: Option<Cause>,
        /// Baseline: what most often followed the current task.
        pub order1: BaselineOutcome,
        /// Baseline: what most often followed the longest context seen, of up to eight tasks.
        pub backoff8: BaselineOutcome,
        /// Baseline: earliest eligible deadline, or least vruntime.
        pub scheduler: BaselineOutcome,
        /// Run time of the task that left; null where its start was not seen.
        pub run_time: Option<RunTimeOutcome>,
    }
}

impl From<TaskName> for TaskRef {
    fn from(task: TaskName) -> Self {
        Self {
            pid: task.pid,
            comm: task.comm.to_string(),
        }
    }
}

impl From<&Scored> for Outcome {
    fn from(scored: &Scored) -> Self {
        let Scored {
            top,
            rank,
            bits,
            candidates,
            lead_ns,
            inference_ns,
        } = scored;
        Self {
            top: top
                .iter()
                .map(|(task, p)| Choice {
                    pid: task.pid,
                    comm: task.comm.to_string(),
                    p: *p,
                })
                .collect(),
            rank: *rank,
            bits: *bits,
            candidates: *candidates,
            lead_ns: *lead_ns,
            inference_ns: *inference_ns,
        }
    }
}

impl From<&BaselineScored> for BaselineOutcome {
    fn from(scored: &BaselineScored) -> Self {
        let BaselineScored {
            predicted,
            rank,
            bits,
        } = scored;
        Self {
            predicted: predicted.map(Into::into),
            rank: *rank,
            bits: *bits,
        }
    }
}

impl From<&RunTime> for RunTimeOutcome {
    fn from(run: &RunTime) -> Self {
        let RunTime {
            actual_ns,
            predicted_ns: [p10, p50, p90],
            median_ns,
        } = run;
        Self {
            actual_ns: *actual_ns,
            predicted_p10_ns: *p10,
            predicted_p50_ns: *p50,
            predicted_p90_ns: *p90,
            running_median_ns: *median_ns,
        }
    }
}

impl From<&Decision> for Record {
    fn from(decision: &Decision) -> Self {
        let Decision {
            number,
            ts_ns,
            cpu,
            ran,
            actual,
            at_switch,
            refined,
            cause,
            baselines,
            // Made in eval only, which writes no predictions.
            ppm8: _,
            run_time,
        } = decision;
        let [order1, backoff8, scheduler] = baselines;
        Self {
            number: *number,
            ts_ns: *ts_ns,
            cpu: *cpu,
            ran: (*ran).into(),
            actual: (*actual).into(),
            at_switch: at_switch.into(),
            refined: refined.as_ref().map(Into::into),
            cause: *cause,
            order1: order1.into(),
            backoff8: backoff8.into(),
            scheduler: scheduler.into(),
            run_time: run_time.as_ref().map(Into::into),
        }
    }
}
