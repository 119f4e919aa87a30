//! The lines of the log, as JSON knows them.

use super::{
    fields::documented,
    score::{Scores, UnscoredCounts},
    tasks::TaskFigures,
};
use crate::{oracle::outcome::Decision, trace::Lost};
use serde::Serialize;

/// One line of the JSON log: the `type` field says which.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<'a> {
    Start(&'a Start),
    Prediction(&'a Prediction),
    Gap(&'a GapLine),
    Summary(&'a Summary),
    Final(&'a Final),
}

documented! {
    /// The first line: what was found.
    pub struct Start {
        /// Version of this program.
        pub version: String,
        /// `run` or `replay`.
        pub command: String,
        /// Release of the traced kernel.
        pub kernel: String,
        /// Its architecture.
        pub machine: String,
        /// `eevdf`, `cfs` or `unknown`.
        pub scheduler: String,
        /// CPUs that the machine has.
        pub cpus: u32,
        /// CPUs that are recorded; empty for all.
        pub recorded_cpus: Vec<u32>,
        /// Scheduler fields that the traced kernel lacks.
        pub absent_fields: Vec<String>,
        /// What was found at start, in lines for a person.
        pub findings: Vec<String>,
        /// The model: shape, parameters, trained or not, engine.
        pub model: String,
        /// Seed of the model and of the choice of lines.
        pub seed: u64,
    }
}

documented! {
    /// A scored prediction beside what happened. Which of them are logged: `--every-switch`,
    /// `--samples-per-second`, `--task`.
    pub struct Prediction {
        /// Kernel monotonic time of the switch, ns.
        pub ts_ns: u64,
        /// The CPU that switched.
        pub cpu: u32,
        /// Number of the switch in this run, from 1; unscored ones count too.
        pub number: u64,
        /// The task that left.
        pub ran_pid: u32,
        /// Its name.
        pub ran_comm: String,
        /// How long it ran, us; null where the start of the run was not seen.
        pub run_actual_us: Option<f64>,
        /// Predicted median of that time, us.
        pub run_predicted_us: Option<f64>,
        /// Predicted .1 quantile of that time, us.
        pub run_predicted_p10_us: Option<f64>,
        /// Predicted .9 quantile of that time, us.
        pub run_predicted_p90_us: Option<f64>,
        /// First choice of the at-switch prediction; 4294967295 is a task that the current one has yet to fork;
        /// null if there was no candidate.
        pub predicted_pid: Option<u32>,
        /// Its name.
        pub predicted_comm: Option<String>,
        /// Probability given to it, 0 to 1.
        pub p_predicted: Option<f32>,
        /// The task that entered.
        pub actual_pid: u32,
        /// Its name.
        pub actual_comm: String,
        /// Place of the actual task among the candidates, 1 is a hit; null if it was not one of them.
        pub rank: Option<u32>,
        /// The first choice was right.
        pub hit: bool,
        /// -log2 of the probability given to the actual task.
        pub bits: f32,
        /// Candidates that were weighed.
        pub candidates: u32,
        /// Time of the switch minus the time at which the prediction was ready, us: positive is ahead
        /// of the kernel; null in replay.
        pub lead_us: Option<f64>,
        /// Time that the prediction took, us; null in replay.
        pub inference_us: Option<f64>,
        /// First choice of the refined prediction; null if nothing woke before the switch.
        pub refined_predicted_pid: Option<u32>,
        /// Its name.
        pub refined_predicted_comm: Option<String>,
        /// Probability given to it, 0 to 1.
        pub refined_p_predicted: Option<f32>,
        /// Place of the actual task in the refined prediction.
        pub refined_rank: Option<u32>,
        /// The refined first choice was right; null if there was no refined prediction.
        pub refined_hit: Option<bool>,
        /// Lead of the refined prediction, us.
        pub refined_lead_us: Option<f64>,
    }
}

impl From<&Decision> for Prediction {
    fn from(decision: &Decision) -> Self {
        let at_switch = &decision.at_switch;
        let refined = decision.refined.as_ref();
        let first = at_switch.top.first();
        let refined_first = refined.and_then(|refined| refined.top.first());
        let run = decision.run_time.as_ref();
        Self {
            ts_ns: decision.ts_ns,
            cpu: decision.cpu,
            number: decision.number,
            ran_pid: decision.ran.pid,
            ran_comm: decision.ran.comm.to_string(),
            run_actual_us: run.map(|run| us(run.actual_ns)),
            run_predicted_us: run.map(|run| us(run.predicted_ns[1])),
            run_predicted_p10_us: run.map(|run| us(run.predicted_ns[0])),
            run_predicted_p90_us: run.map(|run| us(run.predicted_ns[2])),
            predicted_pid: first.map(|(task, _)| task.pid),
            predicted_comm: first.map(|(task, _)| task.comm.to_string()),
            p_predicted: first.map(|&(_, p)| p),
            actual_pid: decision.actual.pid,
            actual_comm: decision.actual.comm.to_string(),
            rank: at_switch.rank,
            hit: at_switch.hit(),
            bits: at_switch.bits,
            candidates: at_switch.candidates,
            lead_us: at_switch.lead_ns.map(|ns| ns as f64 / 1e3),
            inference_us: at_switch.inference_ns.map(us),
            refined_predicted_pid: refined_first.map(|(task, _)| task.pid),
            refined_predicted_comm: refined_first.map(|(task, _)| task.comm.to_string()),
            refined_p_predicted: refined_first.map(|&(_, p)| p),
            refined_rank: refined.and_then(|refined| refined.rank),
            refined_hit: refined.map(crate::oracle::outcome::Scored::hit),
            refined_lead_us: refined
                .and_then(|refined| refined.lead_ns)
                .map(|ns| ns as f64 / 1e3),
        }
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

documented! {
    /// Events of a CPU were lost. At most one line a second a CPU: it sums up the gaps since the last.
    #[derive(PartialEq)]
    pub struct GapLine {
        /// Kernel monotonic time of the first event behind the last of these gaps, ns.
        pub ts_ns: u64,
        /// The CPU whose events were lost.
        pub cpu: u32,
        /// Places at which events were lost.
        pub gaps: u64,
        /// Events that were lost.
        pub lost_events: u64,
    }
}

documented! {
    /// One line a second. Figures are of the time since the last summary; those named `total_` are
    /// since the start.
    pub struct Summary {
        /// Kernel monotonic time, ns; in replay that of the latest event.
        pub ts_ns: u64,
        /// Since the start, s.
        pub elapsed_s: f64,
        /// Since the last summary, s.
        pub interval_s: f64,
        /// Switches seen per second.
        pub switches_per_s: f64,
        /// Switches seen.
        pub seen: u64,
        /// Switches scored.
        pub scored: u64,
        /// Switches not scored, by reason.
        pub unscored: UnscoredCounts,
        /// Share of the switches seen that were scored, 0 to 1; null without switches.
        pub coverage: Option<f64>,
        /// CPU time that this program used, as a share of one CPU, learning and writing included; null in replay.
        pub cpu: Option<f64>,
        /// At-switch: share of hits, 0 to 1; null if nothing was scored.
        pub top1: Option<f64>,
        /// At-switch: share of switches with the actual task among the first five.
        pub top5: Option<f64>,
        /// At-switch: mean -log2 of the actual task's probability, bits per switch.
        pub bits: Option<f64>,
        /// Baseline order-1: share of hits.
        pub order1_top1: Option<f64>,
        /// Baseline back-off to order 8: share of hits.
        pub backoff8_top1: Option<f64>,
        /// Baseline scheduler pick: share of hits.
        pub scheduler_top1: Option<f64>,
        /// Refined prediction: share of hits.
        pub refined_top1: Option<f64>,
        /// Share of at-switch predictions that were ready before the switch; null in replay.
        pub ahead: Option<f64>,
        /// Half of the predictions took at most this, us; null in replay.
        pub inference_p50_us: Option<f64>,
        /// 99 of 100 predictions took at most this, us; null in replay.
        pub inference_p99_us: Option<f64>,
        /// Events lost.
        pub lost_events: u64,
        /// At-switch share of hits since the start.
        pub total_top1: Option<f64>,
        /// Share of hits of back-off to order 8 since the start.
        pub total_backoff8_top1: Option<f64>,
        /// Switches seen since the start.
        pub total_seen: u64,
        /// Events lost since the start.
        pub total_lost_events: u64,
        /// Log lines that a full queue shed since the start.
        pub total_shed_lines: u64,
        /// Lines of `--predictions` that a full queue shed since the start.
        pub total_shed_predictions: u64,
        /// Optimiser steps since the start.
        pub learner_steps: u64,
        /// Mean loss of the learner's last step, bits per switch; null before the first.
        pub learner_loss_bits: Option<f32>,
    }
}

documented! {
    /// How far the learner came.
    pub struct LearnerFigures {
        /// Optimiser steps.
        pub steps: u64,
        /// Steps thrown away because they led to numbers that are not finite.
        pub refused: u64,
        /// Times that learning had made the network worse and it went back to the weights of the start.
        pub fallbacks: u64,
        /// Times that new weights were swapped in.
        pub swaps: u64,
        /// Mean loss of the last step, bits per switch; null before the first.
        pub loss_bits: Option<f32>,
        /// CPU time used for learning, s.
        pub cpu_s: f64,
    }
}

documented! {
    /// The kernel side's own counters. `arrived_events + lost_events = produced`, exactly.
    #[derive(Default, PartialEq)]
    pub struct KernelFigures {
        /// Records that the eBPF programs produced.
        pub produced: u64,
        /// Of these, records that found the ring full.
        pub dropped: u64,
        /// Events that arrived.
        pub arrived_events: u64,
        /// Events found missing by their sequence numbers.
        pub lost_events: u64,
        /// Switches among the records produced.
        pub switches: u64,
        /// Switches among the records dropped.
        pub dropped_switches: u64,
        /// Switches from or to this program, left out.
        pub own_switches: u64,
        /// Switches that were only counted, to keep to `--cpu-budget`; not among `switches`.
        pub passed_by: u64,
        /// Times that the kernel skipped a program because it was already running on that CPU.
        pub recursion_misses: u64,
    }
}

documented! {
    /// What the run itself has cost.
    #[derive(Default, PartialEq)]
    pub struct CostFigures {
        /// Share of one CPU that `--cpu-budget` allows, 0 to 1; null if it is off.
        pub budget: Option<f64>,
        /// Of that, what may be taken from a CPU that is never idle.
        pub busy_budget: Option<f64>,
        /// Times that switches passed by until the budget had room again.
        pub pauses: u64,
        /// Time during which they did, s.
        pub paused_s: f64,
        /// CPU time of the thread that reads events and predicts, s.
        pub reader_cpu_s: f64,
        /// CPU time of all threads, start included, s.
        pub cpu_s: f64,
        /// Of the run, start not included, `cpu_s` as a share of one CPU.
        pub cpu: f64,
        /// Most memory that was resident at a time, bytes, the mapping of the ring included; null if the kernel does
        /// not tell.
        pub resident_bytes: Option<u64>,
        /// Of that, the mapping of the ring, bytes: the kernel's memory.
        pub ring_bytes: u64,
        /// From the start of the program to the first prediction, s; null if none was made.
        pub first_prediction_s: Option<f64>,
    }
}

documented! {
    /// What became of the lines.
    #[derive(Default, PartialEq)]
    pub struct OutputFigures {
        /// Log lines written before this one.
        pub lines_written: u64,
        /// Log lines that a full queue shed.
        pub lines_shed: u64,
        /// Lines written to `--predictions`.
        pub predictions_written: u64,
        /// Lines of `--predictions` that a full queue shed.
        pub predictions_shed: u64,
    }
}

documented! {
    /// What a cut or damaged trace file does not give back.
    pub struct TraceLost {
        /// Byte offset at which the last whole block ends.
        pub offset: u64,
        /// Bytes behind it.
        pub bytes: u64,
        /// Why.
        pub why: String,
    }
}

documented! {
    /// The last line: everything since the start.
    pub struct Final {
        /// Kernel monotonic time, ns; in replay that of the latest event.
        pub ts_ns: u64,
        /// Since the start, s.
        pub elapsed_s: f64,
        /// Switch events handed to the oracle; `scores.seen` must be the same.
        pub switches: u64,
        /// Model and baselines.
        pub scores: Scores,
        /// The busiest tasks.
        pub tasks: Vec<TaskFigures>,
        /// The learner.
        pub learner: LearnerFigures,
        /// The kernel side's counters; null in replay.
        pub kernel: Option<KernelFigures>,
        /// CPU time and memory; null in replay.
        pub cost: Option<CostFigures>,
        /// Lines written and shed.
        pub output: OutputFigures,
        /// What the trace file does not give back; null if it is whole, and in `run`.
        pub trace_lost: Option<TraceLost>,
    }
}

impl From<&Lost> for TraceLost {
    fn from(lost: &Lost) -> Self {
        let Lost { offset, bytes, why } = lost;
        Self {
            offset: *offset,
            bytes: *bytes,
            why: why.clone(),
        }
    }
}
