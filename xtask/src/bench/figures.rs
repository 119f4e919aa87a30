//! Figures out of `kernoracle eval --json`: by path, as median and spread over rounds, as mean over loads.

use serde_json::Value;

use super::loads::Load;

/// Paths inside one load of the JSON; docs/log-fields.md has their meaning.
pub const TOP1: &str = "/all/at_switch/all/top1";
pub const TOP5: &str = "/all/at_switch/all/top5";
pub const BITS: &str = "/all/at_switch/all/bits";
pub const TOP1_BUSY: &str = "/all/at_switch/without_idle/top1";
pub const REFINED: &str = "/all/refined/all/top1";
pub const ECE: &str = "/all/calibration/ece";
pub const REFINED_ECE: &str = "/all/calibration/refined_ece";
pub const FIRST: &str = "/first_1000/at_switch/all/top1";
/// The same switches once more, when the whole recording has been learned.
pub const AGAIN: &str = "/first_1000_again/at_switch/all/top1";
pub const END: &str = "/last_half/at_switch/all/top1";
pub const RUN_TIME: &str = "/all/run_time/compared_median_relative_error";
pub const RUNNING_MEDIAN: &str = "/all/run_time/running_median_relative_error";

/// A predictor that the model has to beat.
#[derive(Debug, PartialEq, Eq)]
pub struct Baseline {
    pub name: &'static str,
    pub top1: &'static str,
    pub bits: &'static str,
}

/// Those that an evaluation lacks are left out of tables and goals.
pub const BASELINES: [Baseline; 4] = [
    Baseline {
        name: "order-1",
        top1: "/all/order1/all/top1",
        bits: "/all/order1/all/bits",
    },
    Baseline {
        name: "back-off-8",
        top1: "/all/backoff8/all/top1",
        bits: "/all/backoff8/all/bits",
    },
    Baseline {
        name: "PPM-8",
        top1: "/all/ppm8/all/top1",
        bits: "/all/ppm8/all/bits",
    },
    Baseline {
        name: "scheduler",
        top1: "/all/scheduler/all/top1",
        bits: "/all/scheduler/all/bits",
    },
];

/// The figure at a path; `None` if it is null or not there.
pub fn at(load: &Value, path: &str) -> Option<f64> {
    load.pointer(path)?.as_f64()
}

/// The count at a path, 0 if it is not there.
pub fn count(load: &Value, path: &str) -> u64 {
    load.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

/// A figure over rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }
}

/// One load, evaluated once a round.
#[derive(Debug)]
pub struct LoadResult {
    pub load: &'static Load,
    /// `loads[0]` of each evaluation.
    pub rounds: Vec<Value>,
}

impl LoadResult {
    pub fn spread(&self, path: &str) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| at(round, path)))
    }

    pub fn median(&self, path: &str) -> Option<f64> {
        self.spread(path).map(|spread| spread.median)
    }

    /// Over all rounds.
    pub fn sum(&self, path: &str) -> u64 {
        self.rounds.iter().map(|round| count(round, path)).sum()
    }

    /// The best baseline by median top-1.
    pub fn best_baseline(&self) -> Option<(&'static Baseline, f64)> {
        BASELINES
            .iter()
            .filter_map(|baseline| Some((baseline, self.median(baseline.top1)?)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

/// Loads under one variant of evaluation.
#[derive(Debug)]
pub struct Results(pub Vec<LoadResult>);

impl Results {
    /// Mean of the loads' medians; loads without the figure have no part in it.
    pub fn macro_mean(&self, path: &str) -> Option<f64> {
        mean(self.0.iter().filter_map(|result| result.median(path)))
    }

    pub fn get(&self, load: &Load) -> Option<&LoadResult> {
        self.0.iter().find(|result| result.load == load)
    }

    /// Some load has the figure.
    pub fn has(&self, path: &str) -> bool {
        self.0.iter().any(|result| result.median(path).is_some())
    }

    /// Baselines whose figure, chosen by `path`, some load has.
    pub fn baselines(&self, path: fn(&'static Baseline) -> &'static str) -> Vec<&'static Baseline> {
        BASELINES
            .iter()
            .filter(|baseline| self.has(path(baseline)))
            .collect()
    }
}

pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// One round of a load with the given top-1 of the model and of the baselines, in their order.
    pub fn round(top1: f64, baselines: [f64; 4]) -> Value {
        let predictor = |top1: f64, bits: Option<f64>| {
            let figures = json!({ "decisions": 999, "top1": top1, "top5": 1.0, "bits": bits });
            json!({ "all": figures, "without_idle": figures })
        };
        let [order1, backoff8, ppm8, scheduler] = baselines;
        json!({
            "kernel": "6.18.1",
            "all": {
                "seen": 1001, "scored": 999, "lost_events": 0, "gaps": 0,
                "unscored": { "first": 1, "gap": 1, "broken": 0, "overload": 0 },
                "at_switch": predictor(top1, Some(2.0 * (1.0 - top1))),
                "refined": predictor(f64::midpoint(top1, 1.0), Some(1.0 - top1)),
                "order1": predictor(order1, Some(3.0 * (1.0 - order1))),
                "backoff8": predictor(backoff8, Some(3.0 * (1.0 - backoff8))),
                "ppm8": predictor(ppm8, Some(3.0 * (1.0 - ppm8))),
                "scheduler": predictor(scheduler, None),
                "run_time": {
                    "compared_median_relative_error": 0.5,
                    "running_median_relative_error": 0.8,
                },
                "calibration": { "ece": 0.01, "refined_ece": 0.005 },
                "misses": { "arrival": 60, "model": 40 },
            },
            "first_1000": { "at_switch": predictor(top1 - 0.02, None) },
            "first_1000_again": { "at_switch": predictor(top1 - 0.005, None) },
            "last_half": { "at_switch": predictor(top1, None) },
        })
    }

    pub fn results(loads: &[(&str, &[f64])], baselines: [f64; 4]) -> Results {
        Results(
            loads
                .iter()
                .map(|(name, rounds)| LoadResult {
                    load: Load::find(name).unwrap(),
                    rounds: rounds.iter().map(|top1| round(*top1, baselines)).collect(),
                })
                .collect(),
        )
    }

    #[test]
    fn median_and_spread() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        let three = spread(&[3.0, 1.0, 10.0]).unwrap();
        assert_eq!((three.median, three.min, three.max), (3.0, 1.0, 10.0));
        let four = spread(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((four.median, four.min, four.max), (2.5, 1.0, 4.0));
    }

    #[test]
    fn the_macro_mean_is_of_medians_and_each_load_counts_the_same() {
        let results = results(&[("redis", &[0.5, 0.6, 0.9]), ("cpu-4", &[1.0])], [0.0; 4]);
        assert_eq!(results.macro_mean(TOP1), Some(0.8));
        assert_eq!(results.macro_mean("/all/nothing"), None);
        assert!(!results.has("/all/scheduler/all/bits"));
        let with_bits = results.baselines(|baseline| baseline.bits);
        assert_eq!(with_bits.len(), 3);
    }

    #[test]
    fn the_best_baseline_is_the_one_with_the_most_hits() {
        let results = results(&[("redis", &[0.5])], [0.1, 0.2, 0.4, 0.3]);
        let (best, top1) = results.0[0].best_baseline().unwrap();
        assert_eq!((best.name, top1), ("PPM-8", 0.4));
    }
}
