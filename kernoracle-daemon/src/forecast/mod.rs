//! Runs a model on from a point of a recording on its own output, and says for how long it stays right.
//!
//! `habits` and `simulator` let the oracle run on, `paper` the paper's model, `baselines` are what both have to beat; `score` compares each with
//! what came. A forecaster is handed what lies before the first foretold switch and nothing else.

mod baselines;
mod habits;
mod oracle;
mod paper;
mod picture;
mod placement;
mod score;
mod simulator;
mod text;
mod together;

pub use baselines::Baselines;
pub use habits::Habits;
pub use oracle::{Task, foretell_by_oracle};
pub use paper::foretell_by_paper;
pub use picture::picture;
pub use score::{AtStep, Horizon, Latency, Named, OneStep, Report, Scored, Scorer, Shown};
pub use simulator::{Chance, Simulator};

use crate::model::CheckpointError;
use crate::oracle::ModelError;
use crate::paper::sequence::SequenceError;
use crate::trace::ReadError;
use std::path::PathBuf;

/// A foretold switch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Who enters: an index into the sequence's names; `None` for one that is not in it.
    pub task: Option<u32>,
    /// ns since the switch before.
    pub diff_ns: f64,
    /// ns from the last switch that happened.
    pub elapsed_ns: f64,
}

/// Foretold switches, the first one first.
pub type Path = Vec<Step>;

/// What a forecaster gives at one start: paths by the index of their name in [`Report::forecasters`].
pub type Paths = Vec<(&'static str, Path)>;

/// The path of these tasks and the times between them.
pub fn walk(steps: impl Iterator<Item = (Option<u32>, f64)>) -> Path {
    let mut elapsed_ns = 0.0;
    let mut step = |(task, diff_ns)| {
        elapsed_ns += diff_ns;
        Step {
            task,
            diff_ns,
            elapsed_ns,
        }
    };
    steps.map(&mut step).collect()
}

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{}: too short: the test part has {have} switches of CPU {cpu}, {steps} without a gap are to be foretold; record longer, or give fewer --steps", path.display())]
    TooShort {
        path: PathBuf,
        cpu: u32,
        have: usize,
        steps: usize,
    },
    #[error("{}: a forecast from switch {from} over {steps} needs both inside the test part, {first}..{end}, without a gap between; give another --from", path.display())]
    From {
        path: PathBuf,
        from: usize,
        steps: usize,
        first: usize,
        end: usize,
    },
    #[error("{}: the model ({model}) knows none of its tasks; the paper's recipe names tasks by pid: train it on this recording", path.display())]
    NoTaskKnown { model: String, path: PathBuf },
}

/// Where forecasts begin: the index of the first foretold switch of each. `count` of them at most, evenly over what follows `test_from`.
pub fn starts(
    whole: impl Fn(usize) -> bool,
    test_from: usize,
    len: usize,
    steps: usize,
    count: usize,
) -> Vec<usize> {
    let Some(last) = len.checked_sub(steps).filter(|last| *last >= test_from) else {
        return Vec::new();
    };
    let span = last - test_from;
    let count = count.min(span + 1);
    let place = |i: usize| {
        if count == 1 {
            test_from + span / 2
        } else {
            test_from + (span as u128 * i as u128 / (count - 1) as u128) as usize
        }
    };
    (0..count)
        .map(place)
        .filter(|start| whole(*start))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::starts;

    #[test]
    fn starts_lie_in_the_test_part_and_end_inside_it() {
        assert_eq!(starts(|_| true, 70, 100, 10, 3), [70, 80, 90]);
        assert_eq!(starts(|start| start != 80, 70, 100, 10, 3), [70, 90]);
        assert_eq!(starts(|_| true, 70, 100, 30, 9), [70]);
        assert!(starts(|_| true, 70, 100, 31, 9).is_empty());
        assert_eq!(starts(|_| true, 0, 100, 100, 1), [0]);
    }
}
