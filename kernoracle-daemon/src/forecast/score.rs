//! How far ahead a forecast is right.

use super::{Paths, Step};
use crate::paper::sequence::Sample;
use serde::Serialize;
use std::collections::BTreeMap;

/// Steps that are listed.
pub const LISTED: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// A figure of each forecaster.
pub type Each<T> = BTreeMap<&'static str, T>;

/// `|predicted - actual| / actual`, with at least 1 ns of actual time.
pub fn relative_error(predicted: f64, actual: f64) -> f64 {
    let actual = actual.max(1.0);
    (predicted - actual).abs() / actual
}

/// Median; the upper one of two.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The model one step ahead, of the true past, over the test part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OneStep {
    pub switches: u64,
    pub top1: f64,
    pub bits: Option<f64>,
    pub train_mse: Option<f64>,
    pub test_mse: Option<f64>,
    /// Median of |predicted - actual| / actual of the time to the switch.
    pub run_time_error: Option<f64>,
    #[serde(skip)]
    hits: u64,
    #[serde(skip)]
    bits_sum: Option<f64>,
    #[serde(skip)]
    errors: Vec<f64>,
}

impl OneStep {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, hit: bool, bits: Option<f64>, error: Option<f64>) {
        self.switches += 1;
        self.hits += u64::from(hit);
        if let Some(bits) = bits {
            *self.bits_sum.get_or_insert_default() += bits;
        }
        self.errors.extend(error);
    }

    /// Means and medians of what was added.
    #[must_use]
    pub fn finish(mut self) -> Self {
        let switches = self.switches.max(1) as f64;
        self.top1 = self.hits as f64 / switches;
        self.bits = self.bits_sum.map(|sum| sum / switches);
        self.run_time_error = median(&mut self.errors);
        self
    }
}

/// Time of a step, an event in and a prediction out, us.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Engine {
    pub p50: f64,
    pub p99: f64,
}

impl Engine {
    pub fn new(mut ns: Vec<u64>) -> Self {
        ns.sort_unstable();
        let at = |share: f64| {
            let place = (ns.len() as f64 * share) as usize;
            ns.get(place.min(ns.len().saturating_sub(1)))
                .map_or(0.0, |ns| *ns as f64 / 1e3)
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

/// By what computes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Plain arrays.
    pub plain: Engine,
    /// candle, one thread.
    pub candle: Option<Engine>,
}

/// One of the listed steps.
#[derive(Clone, Debug, Serialize)]
pub struct AtStep {
    pub k: usize,
    pub top1: Each<f64>,
    pub interval_error: Each<Option<f64>>,
    pub elapsed_error: Each<Option<f64>>,
}

/// Leading steps that are all right, over the starts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Horizon {
    pub exact_mean: f64,
    pub exact_median: f64,
    pub exact_max: usize,
}

/// A foretold switch by name.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    pub task: Option<String>,
    pub diff_ns: f64,
}

/// What the picture shows.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Index of the first foretold switch.
    pub from: usize,
    pub steps: usize,
    pub foretold: Vec<Named>,
}

/// Everything that is told of a forecast.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub file: String,
    pub recipe: &'static str,
    pub model: String,
    pub cpu: u32,
    pub switches: usize,
    pub tasks: usize,
    pub test_from: usize,
    pub starts: usize,
    pub steps: usize,
    pub seed: u64,
    pub one_step: OneStep,
    pub latency_us: Latency,
    pub forecasters: Vec<&'static str>,
    pub at_step: Vec<AtStep>,
    pub horizon: Each<Horizon>,
    pub mean_top1: Each<f64>,
    pub beats_until: usize,
    pub top1_by_step: Each<Vec<f64>>,
    pub picture: Shown,
}

/// What came of one forecaster's paths.
#[derive(Clone, Debug)]
struct Record {
    name: &'static str,
    hits: Vec<u32>,
    exact: Vec<usize>,
    /// For each listed step the errors of its interval, and of the time up to it.
    errors: Vec<(Vec<f64>, Vec<f64>)>,
}

/// Compares paths with what came.
#[derive(Clone, Debug)]
pub struct Scorer {
    steps: usize,
    starts: usize,
    records: Vec<Record>,
}

/// The figures of a scorer.
#[derive(Clone, Debug)]
pub struct Scored {
    pub starts: usize,
    pub forecasters: Vec<&'static str>,
    pub at_step: Vec<AtStep>,
    pub horizon: Each<Horizon>,
    pub mean_top1: Each<f64>,
    pub beats_until: usize,
    pub top1_by_step: Each<Vec<f64>>,
}

impl Scorer {
    pub fn new(steps: usize) -> Self {
        Self {
            steps,
            starts: 0,
            records: Vec::new(),
        }
    }

    fn listed(&self) -> impl Iterator<Item = usize> + use<> {
        let steps = self.steps;
        LISTED.into_iter().filter(move |k| *k <= steps)
    }

    /// `truth` are the switches that came, as many as the paths have steps. Steps that a path lacks are wrong.
    pub fn add(&mut self, paths: &Paths, truth: &[Sample]) {
        self.starts += 1;
        let listed: Vec<usize> = self.listed().collect();
        for (name, path) in paths {
            let at = self.records.iter().position(|record| record.name == *name);
            let at = at.unwrap_or_else(|| {
                self.records.push(Record {
                    name,
                    hits: vec![0; self.steps],
                    exact: Vec::new(),
                    errors: vec![Default::default(); listed.len()],
                });
                self.records.len() - 1
            });
            let record = &mut self.records[at];
            let right = |(step, sample): (&Step, &Sample)| step.task == Some(sample.task);
            for (hits, pair) in record.hits.iter_mut().zip(path.iter().zip(truth)) {
                *hits += u32::from(right(pair));
            }
            let exact = path.iter().zip(truth).take_while(|pair| right(*pair));
            record.exact.push(exact.count());
            let (mut actual, mut next) = (0.0, 0);
            for (i, (step, sample)) in path.iter().zip(truth).enumerate() {
                actual += sample.diff_ns as f64;
                if listed.get(next) == Some(&(i + 1)) {
                    let (interval, elapsed) = &mut record.errors[next];
                    interval.push(relative_error(step.diff_ns, sample.diff_ns as f64));
                    elapsed.push(relative_error(step.elapsed_ns, actual));
                    next += 1;
                }
            }
        }
    }

    pub fn finish(mut self) -> Scored {
        let starts = self.starts.max(1) as f64;
        let listed: Vec<usize> = self.listed().collect();
        let by_step: Each<Vec<f64>> = (self.records.iter())
            .map(|record| {
                let shares = record.hits.iter().map(|hits| f64::from(*hits) / starts);
                (record.name, shares.collect())
            })
            .collect();
        let at_step = (listed.iter().enumerate())
            .map(|(i, &k)| AtStep {
                k,
                top1: by_step
                    .iter()
                    .map(|(name, top1)| (*name, top1[k - 1]))
                    .collect(),
                interval_error: (self.records.iter_mut())
                    .map(|record| (record.name, median(&mut record.errors[i].0)))
                    .collect(),
                elapsed_error: (self.records.iter_mut())
                    .map(|record| (record.name, median(&mut record.errors[i].1)))
                    .collect(),
            })
            .collect();
        let horizon = (self.records.iter())
            .map(|record| {
                let mut exact: Vec<f64> = record.exact.iter().map(|n| *n as f64).collect();
                let horizon = Horizon {
                    exact_mean: exact.iter().sum::<f64>() / starts,
                    exact_median: median(&mut exact).unwrap_or(0.0),
                    exact_max: record.exact.iter().copied().max().unwrap_or(0),
                };
                (record.name, horizon)
            })
            .collect();
        let mean = |top1: &Vec<f64>| top1.iter().sum::<f64>() / top1.len().max(1) as f64;
        Scored {
            starts: self.starts,
            forecasters: self.records.iter().map(|record| record.name).collect(),
            at_step,
            horizon,
            mean_top1: by_step
                .iter()
                .map(|(name, top1)| (*name, mean(top1)))
                .collect(),
            beats_until: self.beats_until(),
            top1_by_step: by_step,
        }
    }

    /// The largest k for which the forecast has more hits in steps 1 to k, over all starts, than every baseline.
    fn beats_until(&self) -> usize {
        let mut sums: Each<u64> = Each::new();
        let mut until = 0;
        for k in 0..self.steps {
            for record in &self.records {
                *sums.entry(record.name).or_default() += u64::from(record.hits[k]);
            }
            let own = sums.get("forecast").copied().unwrap_or(0);
            let baseline = |name: &&str| super::baselines::NAMES.contains(name);
            if sums.iter().all(|(name, sum)| !baseline(name) || own > *sum) {
                until = k + 1;
            }
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(tasks: &[u32], diff_ns: f64) -> super::super::Path {
        super::super::walk(tasks.iter().map(|task| (Some(*task), diff_ns)))
    }

    #[test]
    fn figures_by_hand() {
        let truth: Vec<Sample> = [1, 2, 1, 2, 1]
            .map(|task| Sample {
                task,
                diff_ns: 100,
                cut: false,
            })
            .into();
        let mut scorer = Scorer::new(5);
        scorer.add(
            &vec![
                ("forecast", path(&[1, 2, 1, 3, 1], 150.0)),
                ("order1", path(&[1, 2], 50.0)),
            ],
            &truth,
        );
        scorer.add(
            &vec![
                ("forecast", path(&[1, 3, 1, 2, 3], 100.0)),
                ("order1", path(&[1, 2, 1, 2, 1], 50.0)),
            ],
            &truth,
        );
        let scored = scorer.finish();
        assert_eq!(scored.top1_by_step["forecast"], [1.0, 0.5, 1.0, 0.5, 0.5]);
        assert_eq!(scored.top1_by_step["order1"], [1.0, 1.0, 0.5, 0.5, 0.5]);
        assert!((scored.mean_top1["forecast"] - 0.7).abs() < 1e-12);
        assert_eq!(scored.horizon["forecast"].exact_max, 3);
        assert!((scored.horizon["forecast"].exact_mean - 2.0).abs() < 1e-12);
        assert_eq!(scored.beats_until, 0);
        let steps: Vec<usize> = scored.at_step.iter().map(|at| at.k).collect();
        assert_eq!(steps, [1, 2, 5]);
        assert_eq!(scored.at_step[2].elapsed_error["forecast"], Some(0.5));
        assert_eq!(scored.at_step[2].elapsed_error["order1"], Some(0.5));
    }
}
