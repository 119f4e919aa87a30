//! The mean over loads.

use crate::report::{
    fields::documented,
    score::Scores,
    tally::{Both, Figures},
};

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
        /// Baseline PPM of order 8 with exact counts.
        pub ppm8: Both,
        /// Baseline scheduler pick.
        pub scheduler: Both,
        /// Mean of the loads' expected calibration error, at-switch.
        pub ece: Option<f64>,
        /// The same of the refined predictions.
        pub refined_ece: Option<f64>,
        /// Mean of the loads' median relative error of run time, over the runs with a running median.
        pub run_time_median_relative_error: Option<f64>,
        /// The same of predicting the running median.
        pub running_median_relative_error: Option<f64>,
        /// Mean of the loads' pinball loss, us.
        pub pinball_us: Option<f64>,
    }
}

impl MacroMean {
    pub(super) fn of<'a>(scores: impl Iterator<Item = &'a Scores>) -> Self {
        let scores: Vec<_> = scores.collect();
        let both = |pick: fn(&Scores) -> &Both| Both {
            all: mean_figures(scores.iter().map(|scores| pick(scores).all)),
            without_idle: mean_figures(scores.iter().map(|scores| pick(scores).without_idle)),
        };
        let mean_of = |pick: fn(&Scores) -> Option<f64>| {
            mean(scores.iter().filter_map(|scores| pick(scores)))
        };
        Self {
            loads: scores.len() as u64,
            at_switch: both(|scores| &scores.at_switch),
            refined: both(|scores| &scores.refined),
            order1: both(|scores| &scores.order1),
            backoff8: both(|scores| &scores.backoff8),
            ppm8: both(|scores| &scores.ppm8),
            scheduler: both(|scores| &scores.scheduler),
            ece: mean_of(|scores| scores.calibration.ece),
            refined_ece: mean_of(|scores| scores.calibration.refined_ece),
            run_time_median_relative_error: mean_of(|scores| {
                scores.run_time.compared_median_relative_error
            }),
            running_median_relative_error: mean_of(|scores| {
                scores.run_time.running_median_relative_error
            }),
            pinball_us: mean_of(|scores| scores.run_time.pinball_us),
        }
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
