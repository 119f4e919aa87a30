//! How well run times are predicted.

use super::{fields::documented, spread::Ratios};
use crate::oracle::outcome::RunTime;

/// The quantiles of [`RunTime::predicted_ns`].
pub(super) const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

documented! {
    /// Predicted against actual run time of the task that ran.
    #[derive(Default, PartialEq)]
    pub struct RunTimeFigures {
        /// Runs that were scored.
        pub runs: u64,
        /// Median over the runs of |predicted - actual| / actual, of the model's median prediction.
        pub median_relative_error: Option<f64>,
        /// Runs of tasks that had run before, so that they have a running median to compare with.
        pub compared: u64,
        /// Over the compared runs: the model's median relative error.
        pub compared_median_relative_error: Option<f64>,
        /// Over the compared runs: the median relative error of predicting the task's own running median.
        pub running_median_relative_error: Option<f64>,
        /// Mean pinball loss of the .1 quantile, us.
        pub pinball_p10_us: Option<f64>,
        /// Mean pinball loss of the .5 quantile, us.
        pub pinball_p50_us: Option<f64>,
        /// Mean pinball loss of the .9 quantile, us.
        pub pinball_p90_us: Option<f64>,
        /// Mean of the three.
        pub pinball_us: Option<f64>,
        /// Share of runs that were shorter than the .1 quantile; a calibrated model gives 0.1.
        pub below_p10: Option<f64>,
        /// Share of runs that were shorter than the .9 quantile; a calibrated model gives 0.9.
        pub below_p90: Option<f64>,
    }
}

/// Sums behind [`RunTimeFigures`].
#[derive(Clone, Debug)]
pub(super) struct RunTimeScore {
    runs: u64,
    compared: u64,
    errors: Ratios,
    compared_errors: Ratios,
    median_errors: Ratios,
    pinball_us: [f64; 3],
    below: [u64; 3],
}

impl RunTimeScore {
    pub fn new(exact: bool) -> Self {
        Self {
            runs: 0,
            compared: 0,
            errors: Ratios::new(exact),
            compared_errors: Ratios::new(exact),
            median_errors: Ratios::new(exact),
            pinball_us: [0.0; 3],
            below: [0; 3],
        }
    }

    pub fn add(&mut self, run: &RunTime) {
        self.runs += 1;
        let error = relative_error(run.predicted_ns[1], run.actual_ns);
        self.errors.add(error);
        if let Some(median_ns) = run.median_ns {
            self.compared += 1;
            self.compared_errors.add(error);
            self.median_errors
                .add(relative_error(median_ns, run.actual_ns));
        }
        for (at, quantile) in QUANTILES.into_iter().enumerate() {
            self.pinball_us[at] += pinball_us(quantile, run.actual_ns, run.predicted_ns[at]);
            self.below[at] += u64::from(run.actual_ns < run.predicted_ns[at]);
        }
    }

    pub fn figures(&self) -> RunTimeFigures {
        let mean = |sum: f64| (self.runs > 0).then(|| sum / self.runs as f64);
        RunTimeFigures {
            runs: self.runs,
            median_relative_error: self.errors.median(),
            compared: self.compared,
            compared_median_relative_error: self.compared_errors.median(),
            running_median_relative_error: self.median_errors.median(),
            pinball_p10_us: mean(self.pinball_us[0]),
            pinball_p50_us: mean(self.pinball_us[1]),
            pinball_p90_us: mean(self.pinball_us[2]),
            pinball_us: mean(self.pinball_us.iter().sum::<f64>() / 3.0),
            below_p10: mean(self.below[0] as f64),
            below_p90: mean(self.below[2] as f64),
        }
    }
}

/// `max(q (y - f), (q - 1) (y - f))`, in us.
fn pinball_us(quantile: f64, actual_ns: u64, predicted_ns: u64) -> f64 {
    let difference_us = (actual_ns as f64 - predicted_ns as f64) / 1e3;
    (quantile * difference_us).max((quantile - 1.0) * difference_us)
}

/// A run of 0 ns, which the clock's resolution allows, counts as 1 ns.
fn relative_error(predicted_ns: u64, actual_ns: u64) -> f64 {
    predicted_ns.abs_diff(actual_ns) as f64 / actual_ns.max(1) as f64
}
