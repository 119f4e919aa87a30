//! What several simulations say together, and how far to trust them.
//!
//! Each simulation gives every task a probability at every step; their mean is the simulations' answer. Far ahead they are few draws of
//! something that only habits decide, so there the mean is shrunk towards how often each task ran: by how much, and from which step on another forecaster
//! is better altogether, is learned from earlier points whose outcome is known (as [`crate::model::Guard`] does for single predictions).

use super::{Path, Step};
use crate::paper::sequence::Sample;

/// How many draws the frequencies count as, in the answers that may be chosen.
const SHRINKS: [f32; 5] = [0.0, 1.0, 4.0, 16.0, 256.0];
/// Steps 1, 2, 3-4, 5-8, ... are judged together.
const BLOCKS: usize = 24;

/// What the simulations foretell at one point.
#[derive(Debug, Default)]
pub struct Together {
    draws: f32,
    steps: Vec<StepVotes>,
}

#[derive(Debug, Default)]
struct StepVotes {
    /// Sums of probabilities by task.
    tasks: Vec<(u32, f32)>,
    diffs_ns: Vec<f64>,
    elapsed_ns: Vec<f64>,
}

impl Together {
    pub fn new(steps: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(steps, StepVotes::default);
        Self {
            draws: 0.0,
            steps: all,
        }
    }

    /// Another simulation begins.
    pub fn begin(&mut self) {
        self.draws += 1.0;
    }

    /// One simulation's step: what it thought possible, and the times that it came to.
    pub fn add(
        &mut self,
        step: usize,
        possible: impl Iterator<Item = (u32, f32)>,
        times_ns: (f64, f64),
    ) {
        let votes = &mut self.steps[step];
        for (task, p) in possible {
            match votes.tasks.iter_mut().find(|(other, _)| *other == task) {
                Some((_, sum)) => *sum += p,
                None => votes.tasks.push((task, p)),
            }
        }
        votes.diffs_ns.push(times_ns.0);
        votes.elapsed_ns.push(times_ns.1);
    }

    /// An answer for each of the ways to weigh the simulations against `frequency`, the share of switches into each task.
    pub fn answers(mut self, frequency: &[f64]) -> Vec<Path> {
        let usual = (0..frequency.len()).max_by(|a, b| frequency[*a].total_cmp(&frequency[*b]));
        let usual = usual.map(|task| (task as u32, 0.0));
        for votes in &mut self.steps {
            votes.diffs_ns.sort_by(f64::total_cmp);
            votes.elapsed_ns.sort_by(f64::total_cmp);
        }
        let answer = |shrink: f32| -> Path {
            let step = |votes: &StepVotes| {
                let weighed = |&(task, p): &(u32, f32)| {
                    let often = frequency
                        .get(task as usize)
                        .map_or(0.0, |share| *share as f32);
                    (task, p + shrink * often)
                };
                // Of equals the one that was named first.
                let best = (votes.tasks.iter().chain(&usual).map(weighed))
                    .reduce(|best, other| if other.1 > best.1 { other } else { best });
                let middle = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied();
                Some(Step {
                    task: best.map(|(task, _)| task),
                    diff_ns: middle(&votes.diffs_ns)?,
                    elapsed_ns: middle(&votes.elapsed_ns)?,
                })
            };
            self.steps.iter().map_while(step).collect()
        };
        SHRINKS.map(answer).into()
    }
}

/// Which of several paths did best so far, by how far ahead.
#[derive(Debug, Default)]
pub struct Trust {
    /// Hits of each path in each block of steps.
    hits: Vec<[u64; BLOCKS]>,
    /// Steps in which the path was right and the first one was not, or the other way round.
    differs: Vec<[u64; BLOCKS]>,
}

impl Trust {
    /// What came of paths that were foretold from an earlier point.
    pub fn judge(&mut self, paths: &[Path], truth: &[Sample]) {
        self.hits.resize(paths.len(), [0; BLOCKS]);
        self.differs.resize(paths.len(), [0; BLOCKS]);
        for (i, sample) in truth.iter().enumerate() {
            let right = |path: &Path| {
                path.get(i)
                    .is_some_and(|step| step.task == Some(sample.task))
            };
            let first = right(&paths[0]);
            for (which, path) in paths.iter().enumerate() {
                let hit = right(path);
                self.hits[which][block(i)] += u64::from(hit);
                self.differs[which][block(i)] += u64::from(hit != first);
            }
        }
    }

    /// In each block of steps the path with most hits, the first one unless another is ahead by more than chance: one standard error of
    /// the difference. Times are the first path's.
    pub fn choose(&self, paths: &[Path]) -> Path {
        let chosen: Vec<usize> = (0..BLOCKS).map(|block| self.best(block)).collect();
        let step = |(i, step): (usize, &Step)| {
            let task = paths[chosen[block(i)]].get(i).and_then(|step| step.task);
            Step {
                task: task.or(step.task),
                ..*step
            }
        };
        paths[0].iter().enumerate().map(step).collect()
    }

    fn best(&self, block: usize) -> usize {
        let ahead = |which: usize| {
            let hits = |which: usize| self.hits[which][block] as f64;
            hits(which) - hits(0) - (self.differs[which][block] as f64).sqrt()
        };
        let others = 1..self.hits.len();
        let best = others.max_by(|a, b| ahead(*a).total_cmp(&ahead(*b)));
        best.filter(|which| ahead(*which) > 0.0).unwrap_or(0)
    }
}

fn block(step: usize) -> usize {
    // ceil(log2(k)) of the k-th step, k from 1.
    ((step + 1).next_power_of_two().ilog2() as usize).min(BLOCKS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::walk;

    fn path(task: u32) -> Path {
        walk((0..8).map(|_| (Some(task), 10.0)))
    }

    #[test]
    fn blocks_double() {
        let blocks: Vec<usize> = (0..9).map(block).collect();
        assert_eq!(blocks, [0, 1, 2, 2, 3, 3, 3, 3, 4]);
    }

    #[test]
    fn what_was_right_before_is_chosen_where_it_was_right() {
        let paths = [path(1), path(2)];
        let mut trust = Trust::default();
        for _ in 0..9 {
            // The first path is right at the first step, the second one behind the second step.
            let truth: Vec<Sample> = (0..8)
                .map(|i| Sample {
                    task: [1, 3, 2][i.min(2)],
                    diff_ns: 10,
                    cut: false,
                })
                .collect();
            trust.judge(&paths, &truth);
        }
        let tasks: Vec<Option<u32>> = trust.choose(&paths).iter().map(|step| step.task).collect();
        let want = [1, 1, 2, 2, 2, 2, 2, 2].map(Some);
        assert_eq!(tasks, want);
    }

    #[test]
    fn without_a_record_the_first_is_chosen() {
        assert_eq!(Trust::default().choose(&[path(1), path(2)]), path(1));
    }

    #[test]
    fn frequencies_decide_where_simulations_do_not() {
        let mut together = Together::new(1);
        for p in [0.6, 0.5] {
            together.begin();
            together.add(0, [(0, p), (1, 1.0 - p)].into_iter(), (10.0, 10.0));
        }
        let answers = together.answers(&[0.1, 0.9]);
        let tasks: Vec<Option<u32>> = answers.iter().map(|path| path[0].task).collect();
        assert_eq!(tasks, [0, 1, 1, 1, 1].map(Some));
    }
}
