//! Forecasts that need no model.
//!
//! - `order1`, `backoff8`: again and again what most often followed the last task, or the longest known context of up to eight tasks.
//! - `repeat_cycle`: the cycle that the last 512 switches fit best, repeated.
//! - `most_frequent`: always the task that ran most often.
//!
//! Where a cycle does not give the times, each task runs as long as the median of its last 16 runs.

use super::{Path, Paths, walk};
use crate::paper::sequence::Sample;
use crate::runqueue::{RunHistory, Usual};
use foldhash::HashMap;

const LONGEST: usize = 8;
/// Switches that a cycle has to fit, and the longest cycle.
const FITTED: usize = 512;
const LONGEST_CYCLE: usize = 1024;
/// What runs for an unknown time, ns.
const UNKNOWN_NS: u64 = 100_000;

/// Names of the baselines' paths.
pub const NAMES: [&str; 4] = ["order1", "backoff8", "repeat_cycle", "most_frequent"];

/// Counts over the switches seen so far.
#[derive(Debug, Default)]
pub struct Baselines {
    /// Successors with their counts, by order and context.
    counts: HashMap<(u8, u64), Vec<(u32, u32)>>,
    past: Vec<Sample>,
    /// Where the unbroken past begins.
    since: usize,
    frequent: Vec<u64>,
    runs: Vec<(RunHistory, Usual)>,
}

impl Baselines {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next switch that happened.
    pub fn push(&mut self, sample: Sample) {
        let task = sample.task as usize;
        if self.frequent.len() <= task {
            self.frequent.resize(task + 1, 0);
            self.runs.resize_with(task + 1, Default::default);
        }
        if sample.cut {
            self.since = self.past.len();
        } else {
            if let Some(before) = self.past.last() {
                let (history, usual) = &mut self.runs[before.task as usize];
                *usual = history.push(sample.diff_ns);
            }
            let context: Vec<u32> = self.context();
            for order in 1..=context.len() {
                let key = key(&context[context.len() - order..]);
                let row = self.counts.entry(key).or_default();
                match row.iter_mut().find(|(task, _)| *task == sample.task) {
                    Some((_, count)) => *count += 1,
                    None => row.push((sample.task, 1)),
                }
            }
        }
        self.frequent[task] += 1;
        self.past.push(sample);
    }

    /// The last tasks, the latest one last.
    fn context(&self) -> Vec<u32> {
        let from = self.since.max(self.past.len().saturating_sub(LONGEST));
        self.past[from..].iter().map(|sample| sample.task).collect()
    }

    /// Forecasts of all baselines, from here on.
    pub fn paths(&self, steps: usize) -> Paths {
        let paths = [
            self.by_counts(1, steps),
            self.by_counts(LONGEST, steps),
            self.by_cycle(steps),
            self.by_frequency(steps),
        ];
        NAMES.into_iter().zip(paths).collect()
    }

    fn by_counts(&self, longest: usize, steps: usize) -> Path {
        let mut context = self.context();
        let mut path = Vec::with_capacity(steps);
        for _ in 0..steps {
            let from = context.len().saturating_sub(longest);
            let row = (from..context.len()).find_map(|at| self.counts.get(&key(&context[at..])));
            let likeliest = row.and_then(|row| {
                // Of equals the one that came first.
                let better = |a: (u32, u32), b: &(u32, u32)| if b.1 > a.1 { *b } else { a };
                row.iter()
                    .skip(1)
                    .fold(row.first().copied(), |a, b| a.map(|a| better(a, b)))
            });
            let Some((task, _)) = likeliest.or_else(|| Some((self.frequent()?, 0))) else {
                break;
            };
            path.push((Some(task), self.run_ns(context.last().copied())));
            if context.len() == LONGEST {
                context.remove(0);
            }
            context.push(task);
        }
        walk(path.into_iter())
    }

    fn by_cycle(&self, steps: usize) -> Path {
        let past = &self.past[self.since..];
        let len = past.len();
        let fitted = FITTED.min(len / 2);
        let fit = |cycle: usize| {
            let same = |i: &usize| past[len - i].task == past[len - i - cycle].task;
            (1..=fitted).filter(same).count()
        };
        let longest = LONGEST_CYCLE.min(len.saturating_sub(fitted));
        // Of equals the shortest.
        let best = (1..=longest).rev().max_by_key(|cycle| fit(*cycle));
        let cycle = best.unwrap_or(1).min(len);
        if cycle == 0 {
            return Path::new();
        }
        walk((0..steps).map(|step| {
            let sample = past[len - cycle + step % cycle];
            (Some(sample.task), sample.diff_ns as f64)
        }))
    }

    fn by_frequency(&self, steps: usize) -> Path {
        let task = self.frequent();
        walk((0..steps).map(|_| (task, self.run_ns(task))))
    }

    /// Share of the switches into each task, so far.
    pub fn frequency(&self) -> Vec<f64> {
        let all = self.past.len().max(1) as f64;
        self.frequent
            .iter()
            .map(|count| *count as f64 / all)
            .collect()
    }

    /// The switches so far.
    pub fn past(&self) -> &[Sample] {
        &self.past
    }

    fn frequent(&self) -> Option<u32> {
        let most = (0..self.frequent.len())
            .rev()
            .max_by_key(|i| self.frequent[*i]);
        most.map(|task| task as u32)
    }

    fn run_ns(&self, task: Option<u32>) -> f64 {
        let median = task.and_then(|task| {
            let (_, usual) = &self.runs[task as usize];
            usual.median()
        });
        median.unwrap_or(UNKNOWN_NS) as f64
    }
}

/// Order and hash of a context.
fn key(context: &[u32]) -> (u8, u64) {
    let hash = context
        .iter()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |hash, task| {
            let hash = (hash ^ u64::from(*task)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            hash ^ hash >> 32
        });
    (context.len() as u8, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(tasks: &[u32], steps: usize) -> Vec<(&'static str, Vec<u32>)> {
        let mut baselines = Baselines::new();
        for (i, task) in tasks.iter().enumerate() {
            baselines.push(Sample {
                task: *task,
                diff_ns: 100 * u64::from(*task),
                cut: i == 0,
            });
        }
        let tasks = |path: Path| path.iter().filter_map(|step| step.task).collect();
        let paths = baselines.paths(steps).into_iter();
        paths.map(|(name, path)| (name, tasks(path))).collect()
    }

    #[test]
    fn each_goes_on_in_its_way() {
        let past: Vec<u32> = [0, 1, 0, 2].into_iter().cycle().take(41).collect();
        let paths = after(&past, 6);
        // The last one was 0, as the first of a cycle of four. After 0 comes 1 as often as 2, and 1 came first.
        assert_eq!(paths[0], ("order1", vec![1, 0, 1, 0, 1, 0]));
        assert_eq!(paths[1], ("backoff8", vec![1, 0, 2, 0, 1, 0]));
        assert_eq!(paths[2], ("repeat_cycle", vec![1, 0, 2, 0, 1, 0]));
        assert_eq!(paths[3], ("most_frequent", vec![0; 6]));
    }

    #[test]
    fn a_short_past_is_enough() {
        for len in 1..4 {
            for (name, path) in after(&[7, 8, 9][..len], 5) {
                assert_eq!(path.len(), 5, "{name} after {len}");
            }
        }
    }
}
