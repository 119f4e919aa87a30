//! The one place where hits, bits and losses are counted: `run`, `replay` and `eval` print what is
//! counted here.

use super::{
    calibration::{Calibration, CalibrationFigures},
    fields::documented,
    misses::MissCounts,
    run_time::{RunTimeFigures, RunTimeScore},
    spread::{SignedTimes, histogram, quantile},
    tally::{Both, BothTally, share},
    tasks::{TaskFigures, TaskTable},
};
use crate::oracle::outcome::{Decision, Scored, Sink, Unscored};
use hdrhistogram::Histogram;

documented! {
    /// Switches that were not scored, by reason.
    #[derive(Copy, Default, PartialEq)]
    pub struct UnscoredCounts {
        /// The first switch seen on its CPU.
        pub first: u64,
        /// Events were lost just before.
        pub gap: u64,
        /// The task that left is not the one that was known to run.
        pub broken: u64,
        /// The reader was behind and only kept state.
        pub overload: u64,
        /// Left out to keep to `--cpu-budget`, and the first one after each such pause.
        pub budget: u64,
    }
}

impl UnscoredCounts {
    pub fn total(&self) -> u64 {
        let Self {
            first,
            gap,
            broken,
            overload,
            budget,
        } = self;
        first + gap + broken + overload + budget
    }

    fn add(&mut self, reason: Unscored, switches: u64) {
        *match reason {
            Unscored::First => &mut self.first,
            Unscored::Gap => &mut self.gap,
            Unscored::Broken => &mut self.broken,
            Unscored::Overload => &mut self.overload,
            Unscored::Budget => &mut self.budget,
        } += switches;
    }
}

documented! {
    /// How long before the switch its at-switch prediction was ready. Empty in replay.
    #[derive(Copy, Default, PartialEq)]
    pub struct LeadFigures {
        /// Predictions with a known lead.
        pub decisions: u64,
        /// Share of them that were ready before the switch (lead > 0), 0 to 1.
        pub ahead: Option<f64>,
        /// A tenth of the leads are at or below this, us.
        pub p10_us: Option<f64>,
        /// Half of the leads are at or below this, us.
        pub p50_us: Option<f64>,
        /// Nine tenths of the leads are at or below this, us.
        pub p90_us: Option<f64>,
    }
}

documented! {
    /// Time that a prediction took, at-switch and refined ones together. Empty in replay.
    #[derive(Copy, Default, PartialEq)]
    pub struct InferenceFigures {
        /// Predictions that were timed.
        pub predictions: u64,
        /// Half took at most this, us.
        pub p50_us: Option<f64>,
        /// 99 of 100 took at most this, us.
        pub p99_us: Option<f64>,
    }
}

documented! {
    /// Scores of a run or of a trace file. `seen = scored + unscored.first + unscored.gap +
    /// unscored.broken + unscored.overload + unscored.budget`, exactly.
    #[derive(PartialEq)]
    pub struct Scores {
        /// Switches seen.
        pub seen: u64,
        /// Switches whose prediction was scored.
        pub scored: u64,
        /// Switches not scored, by reason.
        pub unscored: UnscoredCounts,
        /// Events that never arrived.
        pub lost_events: u64,
        /// Places at which events were lost.
        pub gaps: u64,
        /// The model, from events up to and including the previous switch on that CPU. The headline.
        pub at_switch: Both,
        /// Why those that are no hits missed.
        pub misses: MissCounts,
        /// The model, after the last wake-up before the switch; where nothing woke, the at-switch
        /// prediction stands.
        pub refined: Both,
        /// Switches before which something woke, so that there was a refined prediction.
        pub refined_made: u64,
        /// Baseline: what most often followed the current task.
        pub order1: Both,
        /// Baseline back-off: what most often followed the longest context seen, of up to eight tasks. Its
        /// bits are those of PPM with escape method C over the four commonest successors of each context.
        pub backoff8: Both,
        /// Baseline: PPM of order 8 with escape method C, exclusion and the counts of all successors. `eval`
        /// only; empty in `run` and `replay`.
        pub ppm8: Both,
        /// Baseline: earliest eligible deadline, or least vruntime.
        pub scheduler: Both,
        /// Probability of the first choice against share of hits.
        pub calibration: CalibrationFigures,
        /// Predicted against actual run time.
        pub run_time: RunTimeFigures,
        /// How far ahead the predictions were.
        pub lead: LeadFigures,
        /// Time that predictions took.
        pub inference: InferenceFigures,
    }
}

/// Counts that only grow: their difference over a second is that second's figures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub scored: u64,
    pub unscored: UnscoredCounts,
    pub lost_events: u64,
    pub gaps: u64,
    pub at_switch: BothTally,
    pub refined: BothTally,
    pub refined_made: u64,
    /// In the order of [`crate::oracle::outcome::Baseline::ALL`].
    pub baselines: [BothTally; 3],
    pub ppm8: BothTally,
    pub leads: u64,
    pub ahead: u64,
}

impl Counts {
    pub fn seen(&self) -> u64 {
        self.scored + self.unscored.total()
    }

    pub fn since(&self, earlier: &Self) -> Self {
        let Self {
            scored,
            unscored:
                UnscoredCounts {
                    first,
                    gap,
                    broken,
                    overload,
                    budget,
                },
            lost_events,
            gaps,
            at_switch,
            refined,
            refined_made,
            baselines,
            ppm8,
            leads,
            ahead,
        } = self;
        Self {
            scored: scored - earlier.scored,
            unscored: UnscoredCounts {
                first: first - earlier.unscored.first,
                gap: gap - earlier.unscored.gap,
                broken: broken - earlier.unscored.broken,
                overload: overload - earlier.unscored.overload,
                budget: budget - earlier.unscored.budget,
            },
            lost_events: lost_events - earlier.lost_events,
            gaps: gaps - earlier.gaps,
            at_switch: at_switch.since(&earlier.at_switch),
            refined: refined.since(&earlier.refined),
            refined_made: refined_made - earlier.refined_made,
            baselines: std::array::from_fn(|at| baselines[at].since(&earlier.baselines[at])),
            ppm8: ppm8.since(&earlier.ppm8),
            leads: leads - earlier.leads,
            ahead: ahead - earlier.ahead,
        }
    }
}

/// Counts everything that the oracle hands out.
#[derive(Clone, Debug)]
pub struct Score {
    pub(super) counts: Counts,
    misses: MissCounts,
    calibration: Calibration,
    refined_calibration: Calibration,
    run_time: RunTimeScore,
    lead: SignedTimes,
    inference: Histogram<u64>,
    tasks: TaskTable,
}

impl Score {
    /// `exact` keeps every run time's error for exact medians (4 bytes each, for a trace that ends);
    /// otherwise memory stays bounded and medians are right to one in a thousand.
    pub fn new(exact: bool) -> Self {
        Self {
            counts: Counts::default(),
            misses: MissCounts::default(),
            calibration: Calibration::default(),
            refined_calibration: Calibration::default(),
            run_time: RunTimeScore::new(exact),
            lead: SignedTimes::new(),
            inference: histogram(),
            tasks: TaskTable::default(),
        }
    }

    pub fn scores(&self) -> Scores {
        let Counts {
            scored,
            unscored,
            lost_events,
            gaps,
            at_switch,
            refined,
            refined_made,
            baselines: [order1, backoff8, scheduler],
            ppm8,
            leads,
            ahead,
        } = self.counts;
        let lead_us = |q| self.lead.quantile_ns(q).map(|ns| ns as f64 / 1e3);
        Scores {
            seen: self.counts.seen(),
            scored,
            unscored,
            lost_events,
            gaps,
            at_switch: at_switch.figures(),
            misses: self.misses,
            refined: refined.figures(),
            refined_made,
            order1: order1.figures(),
            backoff8: backoff8.figures(),
            ppm8: ppm8.figures(),
            scheduler: scheduler.figures(),
            calibration: self.calibration.figures(&self.refined_calibration),
            run_time: self.run_time.figures(),
            lead: LeadFigures {
                decisions: leads,
                ahead: share(ahead, leads),
                p10_us: lead_us(0.1),
                p50_us: lead_us(0.5),
                p90_us: lead_us(0.9),
            },
            inference: InferenceFigures {
                predictions: self.inference.len(),
                p50_us: quantile(&self.inference, 0.5).map(|ns| ns as f64 / 1e3),
                p99_us: quantile(&self.inference, 0.99).map(|ns| ns as f64 / 1e3),
            },
        }
    }

    /// Hit rates of the busiest tasks, most switches first.
    pub fn busiest(&self, count: usize) -> Vec<TaskFigures> {
        self.tasks.busiest(count)
    }

    fn timed(&mut self, scored: &Scored) {
        if let Some(ns) = scored.inference_ns {
            self.inference.saturating_record(ns);
        }
    }
}

impl Sink for Score {
    fn decision(&mut self, decision: &Decision) {
        let actual = decision.actual;
        let at_switch = &decision.at_switch;
        let refined = decision.refined.as_ref();
        let counts = &mut self.counts;
        counts.scored += 1;
        counts
            .at_switch
            .add(actual, at_switch.rank, Some(at_switch.bits));
        if !at_switch.hit() {
            self.misses.add(decision.cause);
        }
        let stands = refined.unwrap_or(at_switch);
        counts.refined.add(actual, stands.rank, Some(stands.bits));
        counts.refined_made += u64::from(refined.is_some());
        for (tally, baseline) in counts.baselines.iter_mut().zip(&decision.baselines) {
            tally.add(actual, baseline.rank, baseline.bits);
        }
        if let Some(ppm8) = &decision.ppm8 {
            counts.ppm8.add(actual, ppm8.rank, ppm8.bits);
        }
        self.calibration.add(at_switch);
        self.refined_calibration.add(stands);
        if let Some(lead_ns) = at_switch.lead_ns {
            counts.leads += 1;
            counts.ahead += u64::from(lead_ns > 0);
            self.lead.add(lead_ns);
        }
        self.timed(at_switch);
        if let Some(refined) = refined {
            self.timed(refined);
        }
        if let Some(run_time) = &decision.run_time {
            self.run_time.add(run_time);
        }
        self.tasks.add(decision);
    }

    fn unscored(&mut self, _ts_ns: u64, _cpu: u32, reason: Unscored) {
        self.counts.unscored.add(reason, 1);
    }

    fn passed_by(&mut self, _ts_ns: u64, _cpu: u32, switches: u64) {
        self.counts.unscored.add(Unscored::Budget, switches);
    }

    fn gap(&mut self, _ts_ns: u64, _cpu: u32, lost: u64) {
        self.counts.gaps += 1;
        self.counts.lost_events += lost;
    }
}
