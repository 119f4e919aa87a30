//! Scores of trace files, each and as the mean over them.

use super::{
    fields::documented,
    lines::TraceLost,
    score::{Score, Scores},
    table::{or_dash, plain, predictors, trimmed},
    tally::{Both, Figures},
    text::percent,
};
use crate::oracle::outcome::{Decision, Sink, Unscored};
use comfy_table::CellAlignment;
use std::fmt::Write;

documented! {
    /// Scores of one trace file.
    pub struct Load {
        /// The file, as it was named.
        pub file: String,
        /// Release of the traced kernel.
        pub kernel: String,
        /// `eevdf`, `cfs` or `unknown`.
        pub scheduler: String,
        /// The command that was recorded.
        pub command: String,
        /// Over all switches.
        pub all: Scores,
        /// Over the switches behind the warm-up share only; the model and the baselines have learned from
        /// those before.
        pub after_warm_up: Scores,
        /// What the file does not give back; null if it is whole.
        pub trace_lost: Option<TraceLost>,
    }
}

documented! {
    /// The mean over loads, each of which counts the same. `decisions` are sums. A figure that no load
    /// has is null; one that only some have is the mean of those.
    #[derive(PartialEq)]
    pub struct MacroMean {
        /// Trace files.
        pub loads: u64,
        /// The model, at-switch. The headline.
        pub at_switch: Both,
        /// The model, refined.
        pub refined: Both,
        /// Baseline order-1.
        pub order1: Both,
        /// Baseline back-off to order 8.
        pub backoff8: Both,
        /// Baseline scheduler pick.
        pub scheduler: Both,
        /// Mean of the loads' median relative error of run time, over the runs with a running median.
        pub run_time_median_relative_error: Option<f64>,
        /// The same of predicting the running median.
        pub running_median_relative_error: Option<f64>,
        /// Mean of the loads' pinball loss, us.
        pub pinball_us: Option<f64>,
    }
}

documented! {
    /// Prequential scores of trace files: every switch is predicted, scored, then learned.
    pub struct Evaluation {
        /// Share of each file's switches that `after_warm_up` leaves out, 0 to 1.
        pub warm_up: f64,
        /// One for each file.
        pub loads: Vec<Load>,
        /// Mean over the loads' `all`.
        pub macro_mean: MacroMean,
        /// Mean over the loads' `after_warm_up`.
        pub macro_mean_after_warm_up: MacroMean,
    }
}

/// Scores a load twice: whole, and behind the warm-up.
#[derive(Debug)]
pub struct LoadScore {
    warm_up_switches: u64,
    seen: u64,
    all: Score,
    after_warm_up: Score,
}

impl LoadScore {
    pub fn new(warm_up_switches: u64) -> Self {
        Self {
            warm_up_switches,
            seen: 0,
            all: Score::new(true),
            after_warm_up: Score::new(true),
        }
    }

    /// Scores of all switches, and of those behind the warm-up.
    pub fn scores(&self) -> (Scores, Scores) {
        (self.all.scores(), self.after_warm_up.scores())
    }

    fn warm(&self) -> bool {
        self.seen > self.warm_up_switches
    }
}

impl Sink for LoadScore {
    fn decision(&mut self, decision: &Decision) {
        self.seen += 1;
        self.all.decision(decision);
        if self.warm() {
            self.after_warm_up.decision(decision);
        }
    }

    fn unscored(&mut self, ts_ns: u64, cpu: u32, reason: Unscored) {
        self.seen += 1;
        self.all.unscored(ts_ns, cpu, reason);
        if self.warm() {
            self.after_warm_up.unscored(ts_ns, cpu, reason);
        }
    }

    fn gap(&mut self, ts_ns: u64, cpu: u32, lost: u64) {
        self.all.gap(ts_ns, cpu, lost);
        // The gap belongs to the switch that comes next.
        if self.seen >= self.warm_up_switches {
            self.after_warm_up.gap(ts_ns, cpu, lost);
        }
    }
}

impl Evaluation {
    pub fn new(warm_up: f64, loads: Vec<Load>) -> Self {
        Self {
            warm_up,
            macro_mean: MacroMean::of(loads.iter().map(|load| &load.all)),
            macro_mean_after_warm_up: MacroMean::of(loads.iter().map(|load| &load.after_warm_up)),
            loads,
        }
    }

    /// Tables for a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for load in &self.loads {
            let scores = &load.all;
            let unscored = &scores.unscored;
            _ = writeln!(
                out,
                "{}: switches seen {} = scored {} + unscored {} (first {}, gap {}, broken {}, overload {}); lost events {} in {} places",
                load.file,
                scores.seen,
                scores.scored,
                unscored.total(),
                unscored.first,
                unscored.gap,
                unscored.broken,
                unscored.overload,
                scores.lost_events,
                scores.gaps,
            );
        }
        let title = format!("behind the first {} of the switches", percent(self.warm_up));
        self.table(&mut out, "all switches", |load| &load.all, &self.macro_mean);
        self.table(
            &mut out,
            &title,
            |load| &load.after_warm_up,
            &self.macro_mean_after_warm_up,
        );
        out
    }

    fn table(
        &self,
        out: &mut String,
        title: &str,
        pick: impl Fn(&Load) -> &Scores,
        mean: &MacroMean,
    ) {
        let mut table = plain(&[
            "load",
            "predictor",
            "decisions",
            "top-1",
            "top-5",
            "bits/switch",
            "| without idle: top-1",
            "top-5",
            "bits/switch",
        ]);
        if let Some(predictor) = table.column_mut(1) {
            predictor.set_cell_alignment(CellAlignment::Left);
        }
        let loads = self
            .loads
            .iter()
            .map(|load| (load.file.as_str(), predictors(pick(load))));
        for (load, rows) in loads.chain([("macro mean", mean.predictors())]) {
            for (at, (predictor, both)) in rows.into_iter().enumerate() {
                let Both { all, without_idle } = both;
                let mut row = vec![
                    if at == 0 {
                        load.to_owned()
                    } else {
                        String::new()
                    },
                    predictor.to_owned(),
                    all.decisions.to_string(),
                ];
                for figures in [all, without_idle] {
                    row.push(or_dash(figures.top1, percent));
                    row.push(or_dash(figures.top5, percent));
                    row.push(or_dash(figures.bits, |bits| format!("{bits:.3}")));
                }
                table.add_row(row);
            }
        }
        _ = writeln!(out, "\n{title}:\n{}\n", trimmed(&table));
        let mut table = plain(&[
            "run time",
            "runs",
            "median relative error: model",
            "running median",
            "pinball µs",
        ]);
        for load in &self.loads {
            let run = &pick(load).run_time;
            table.add_row([
                load.file.clone(),
                run.compared.to_string(),
                or_dash(run.compared_median_relative_error, percent),
                or_dash(run.running_median_relative_error, percent),
                or_dash(run.pinball_us, |us| format!("{us:.1}")),
            ]);
        }
        table.add_row([
            "macro mean".to_owned(),
            String::new(),
            or_dash(mean.run_time_median_relative_error, percent),
            or_dash(mean.running_median_relative_error, percent),
            or_dash(mean.pinball_us, |us| format!("{us:.1}")),
        ]);
        _ = writeln!(out, "{}", trimmed(&table));
    }
}

impl MacroMean {
    fn of<'a>(scores: impl Iterator<Item = &'a Scores>) -> Self {
        let scores: Vec<_> = scores.collect();
        let both = |pick: fn(&Scores) -> &Both| Both {
            all: mean_figures(scores.iter().map(|scores| pick(scores).all)),
            without_idle: mean_figures(scores.iter().map(|scores| pick(scores).without_idle)),
        };
        let runs = || scores.iter().map(|scores| &scores.run_time);
        Self {
            loads: scores.len() as u64,
            at_switch: both(|scores| &scores.at_switch),
            refined: both(|scores| &scores.refined),
            order1: both(|scores| &scores.order1),
            backoff8: both(|scores| &scores.backoff8),
            scheduler: both(|scores| &scores.scheduler),
            run_time_median_relative_error: mean(
                runs().filter_map(|run| run.compared_median_relative_error),
            ),
            running_median_relative_error: mean(
                runs().filter_map(|run| run.running_median_relative_error),
            ),
            pinball_us: mean(runs().filter_map(|run| run.pinball_us)),
        }
    }

    fn predictors(&self) -> [(&'static str, &Both); 5] {
        [
            ("model, at-switch", &self.at_switch),
            ("model, refined", &self.refined),
            ("order-1", &self.order1),
            ("back-off-8", &self.backoff8),
            ("scheduler", &self.scheduler),
        ]
    }
}

fn mean_figures(figures: impl Iterator<Item = Figures> + Clone) -> Figures {
    Figures {
        decisions: figures.clone().map(|figures| figures.decisions).sum(),
        top1: mean(figures.clone().filter_map(|figures| figures.top1)),
        top5: mean(figures.clone().filter_map(|figures| figures.top5)),
        bits: mean(figures.filter_map(|figures| figures.bits)),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}
