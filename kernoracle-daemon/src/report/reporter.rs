//! Takes what the oracle hands out, counts it, and passes on what is to be written.

use super::{
    lines::{
        CostFigures, Final, GapLine, KernelFigures, LearnerFigures, OutputFigures, Start, Summary,
        TraceLost,
    },
    outlet::{Outlet, WhenFull},
    sampler::{Choose, Sampler},
    score::{Counts, Score},
    spread::{histogram, quantile},
    tally::share,
    writer::{Format, Item, OutputError, Predictions, Writer},
};
use crate::oracle::{
    LearnerProgress,
    outcome::{Decision, Sink, Unscored},
};
use hdrhistogram::Histogram;
use regex::Regex;
use std::{io::Write, path::PathBuf, time::Duration};

/// Tasks in the table at the end.
const BUSIEST: usize = 12;
const SECOND_NS: u64 = 1_000_000_000;

/// What is written, where and how.
pub struct Settings {
    /// Where log lines go; styles must be stripped behind it where there is no terminal.
    pub log: Box<dyn Write + Send>,
    pub format: Format,
    pub choose: Choose,
    /// Only decisions about these tasks become log lines.
    pub task: Option<Regex>,
    /// Every prediction goes here.
    pub predictions: Option<PathBuf>,
    pub when_full: WhenFull,
    /// Of the choice of lines.
    pub seed: u64,
    /// Clock of the events at the start.
    pub start_ns: u64,
}

/// What only the caller knows at the end.
#[derive(Debug)]
pub struct Ending {
    pub ts_ns: u64,
    pub learner: LearnerProgress,
    pub kernel: Option<KernelFigures>,
    pub cost: Option<CostFigures>,
    pub trace_lost: Option<TraceLost>,
}

/// The sink of `run` and `replay`.
#[derive(Debug)]
pub struct Reporter {
    score: Score,
    sampler: Sampler,
    every: bool,
    outlet: Outlet,
    start_ns: u64,
    /// Switch events that were handed to the oracle.
    switches: u64,
    last: Interval,
    /// Gaps not yet shown, by CPU.
    gaps: Vec<GapLine>,
}

/// What the next summary is the difference to.
#[derive(Debug)]
struct Interval {
    since_ns: u64,
    counts: Counts,
    inference: Histogram<u64>,
}

impl Reporter {
    /// Opens the outputs and starts the writer.
    pub fn new(settings: Settings) -> Result<Self, OutputError> {
        let Settings {
            log,
            format,
            choose,
            task,
            predictions,
            when_full,
            seed,
            start_ns,
        } = settings;
        let predictions = predictions
            .as_deref()
            .map(Predictions::create)
            .transpose()?;
        let every = predictions.is_some();
        let writer = Writer::new(log, format, start_ns, predictions);
        Ok(Self {
            score: Score::new(when_full == WhenFull::Wait),
            sampler: Sampler::new(&choose, task, seed),
            every,
            outlet: Outlet::start(writer, when_full)?,
            start_ns,
            switches: 0,
            last: Interval {
                since_ns: start_ns,
                counts: Counts::default(),
                inference: histogram(),
            },
            gaps: Vec::new(),
        })
    }

    pub fn start(&mut self, start: Start) {
        self.outlet.push(Item::Start(Box::new(start)));
        self.outlet.flush();
    }

    /// So many switch events were handed to the oracle; each must come back scored or unscored.
    pub fn switches(&mut self, count: u64) {
        self.switches += count;
    }

    /// Switches scored so far.
    pub fn scored(&self) -> u64 {
        self.score.counts.scored
    }

    /// A summary is due.
    pub fn due(&self, now_ns: u64) -> bool {
        now_ns >= self.last.since_ns + SECOND_NS
    }

    /// Until the next summary is due.
    pub fn due_in(&self, now_ns: u64) -> Duration {
        Duration::from_nanos((self.last.since_ns + SECOND_NS).saturating_sub(now_ns))
    }

    /// Hands over what is gathered, so that it is seen now.
    pub fn flush(&mut self, now_ns: u64) {
        for decision in self.sampler.due(now_ns) {
            self.outlet.push(Item::Sample(decision));
        }
        self.outlet.flush();
    }

    /// Writes a summary of the time since the last one.
    /// `cpu` is the share of one CPU that the program has used since; `None` in replay.
    pub fn summary(&mut self, now_ns: u64, learner: LearnerProgress, cpu: Option<f64>) {
        for decision in self.sampler.due(now_ns) {
            self.outlet.push(Item::Sample(decision));
        }
        self.show_gaps();
        let now = self.score.counts;
        let counts = now.since(&self.last.counts);
        let elapsed_s = seconds(self.start_ns, now_ns);
        let interval_s = seconds(self.last.since_ns, now_ns);
        let at_switch = counts.at_switch.all.figures();
        let [order1, backoff8, scheduler] = counts.baselines.map(|tally| tally.all.figures().top1);
        let inference_us = |q| quantile(&self.last.inference, q).map(|ns| ns as f64 / 1e3);
        let shed = self.outlet.shed();
        let summary = Summary {
            ts_ns: now_ns,
            elapsed_s,
            interval_s,
            switches_per_s: if interval_s > 0.0 {
                counts.seen() as f64 / interval_s
            } else {
                0.0
            },
            seen: counts.seen(),
            scored: counts.scored,
            unscored: counts.unscored,
            coverage: share(counts.scored, counts.seen()),
            cpu,
            top1: at_switch.top1,
            top5: at_switch.top5,
            bits: at_switch.bits,
            order1_top1: order1,
            backoff8_top1: backoff8,
            scheduler_top1: scheduler,
            refined_top1: counts.refined.all.figures().top1,
            ahead: share(counts.ahead, counts.leads),
            inference_p50_us: inference_us(0.5),
            inference_p99_us: inference_us(0.99),
            lost_events: counts.lost_events,
            total_top1: now.at_switch.all.figures().top1,
            total_backoff8_top1: now.baselines[1].all.figures().top1,
            total_seen: now.seen(),
            total_lost_events: now.lost_events,
            total_shed_lines: shed.lines,
            total_shed_predictions: shed.predictions,
            learner_steps: learner.steps,
            learner_loss_bits: (learner.steps > 0).then_some(learner.loss_bits),
        };
        self.outlet.push(Item::Summary(Box::new(summary)));
        self.outlet.flush();
        self.last.since_ns = now_ns;
        self.last.counts = now;
        self.last.inference.reset();
    }

    /// The reader of the output is gone, or it cannot be written: there is no point in going on.
    pub fn closed(&self) -> bool {
        self.outlet.closed()
    }

    /// Writes what is left and the table, and waits for it.
    pub fn finish(mut self, ending: Ending) -> Result<(), OutputError> {
        let Ending {
            ts_ns,
            learner,
            kernel,
            cost,
            trace_lost,
        } = ending;
        for decision in self.sampler.due(u64::MAX) {
            self.outlet.push(Item::Sample(decision));
        }
        self.show_gaps();
        self.outlet.flush();
        let shed = self.outlet.shed();
        let end = Final {
            ts_ns,
            elapsed_s: seconds(self.start_ns, ts_ns),
            switches: self.switches,
            scores: self.score.scores(),
            tasks: self.score.busiest(BUSIEST),
            learner: LearnerFigures {
                steps: learner.steps,
                refused: learner.refused,
                fallbacks: learner.fallbacks,
                swaps: learner.swaps,
                loss_bits: (learner.steps > 0).then_some(learner.loss_bits),
                cpu_s: learner.cpu_ns as f64 / 1e9,
            },
            kernel,
            cost,
            output: OutputFigures {
                lines_shed: shed.lines,
                predictions_shed: shed.predictions,
                ..OutputFigures::default()
            },
            trace_lost,
        };
        self.outlet.finish(Item::Final(Box::new(end)))
    }

    fn show_gaps(&mut self) {
        for gap in self.gaps.drain(..) {
            self.outlet.push(Item::Gap(gap));
        }
    }
}

impl Sink for Reporter {
    fn decision(&mut self, decision: &Decision) {
        self.score.decision(decision);
        for scored in [Some(&decision.at_switch), decision.refined.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Some(ns) = scored.inference_ns {
                self.last.inference.saturating_record(ns);
            }
        }
        if self.every {
            self.outlet.push(Item::Every(Box::new(decision.clone())));
        }
        if let Some(sample) = self.sampler.offer(decision) {
            self.outlet.push(Item::Sample(sample));
        }
    }

    fn unscored(&mut self, ts_ns: u64, cpu: u32, reason: Unscored) {
        self.score.unscored(ts_ns, cpu, reason);
    }

    fn passed_by(&mut self, ts_ns: u64, cpu: u32, switches: u64) {
        self.score.passed_by(ts_ns, cpu, switches);
    }

    fn gap(&mut self, ts_ns: u64, cpu: u32, lost: u64) {
        self.score.gap(ts_ns, cpu, lost);
        match self.gaps.iter_mut().find(|gap| gap.cpu == cpu) {
            Some(gap) => {
                gap.ts_ns = ts_ns;
                gap.gaps += 1;
                gap.lost_events += lost;
            }
            None => self.gaps.push(GapLine {
                ts_ns,
                cpu,
                gaps: 1,
                lost_events: lost,
            }),
        }
    }
}

fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}
