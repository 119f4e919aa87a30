//! Two predictors on the same recordings: is one ahead everywhere, or does one load carry the mean?

use super::figures::{Results, at, mean};

/// By how much a figure is higher with one than with the other, over loads.
#[derive(Debug, PartialEq)]
pub struct Paired {
    /// Mean over loads of each load's mean over its recordings.
    pub mean: f64,
    /// Of that mean, were the same loads recorded again. `None` if there is one recording of a load.
    pub of_recordings: Option<f64>,
    /// Of that mean, were it of other loads: of one load the recordings are no independent trials. `None` for a single load.
    pub of_loads: Option<f64>,
    /// The load with the largest difference, and the mean over the others.
    pub most: &'static str,
    pub mean_of_others: Option<f64>,
    /// Wilcoxon's signed-rank test over the loads, one-sided: how likely chance alone puts one as far ahead, were it ahead on a load as often and as far as it is
    /// behind. Unlike the standard error it does not suffer where one load gains much more than the others.
    pub p: f64,
}

impl Paired {
    /// `None` if no recording has the figure at `path` in both.
    pub fn of(one: &Results, other: &Results, path: &str) -> Option<Self> {
        let by_recording: Vec<(&'static str, Vec<f64>)> = one
            .0
            .iter()
            .filter_map(|result| {
                let rounds = result.rounds.iter().zip(&other.get(result.load)?.rounds);
                let differences = rounds.filter_map(|(a, b)| Some(at(a, path)? - at(b, path)?));
                Some((result.load.name, differences.collect()))
            })
            .collect();
        let mut differences: Vec<(&'static str, f64)> = by_recording
            .iter()
            .filter_map(|(name, values)| Some((*name, mean(values.iter().copied())?)))
            .collect();
        differences.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
        let (most, _) = *differences.first()?;
        let values = || differences.iter().map(|(_, difference)| *difference);
        let whole = mean(values())?;
        let loads = differences.len() as f64;
        let of_each: Option<Vec<f64>> = by_recording
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(_, values)| squared_error(values))
            .collect();
        let all: Vec<f64> = values().collect();
        Some(Self {
            mean: whole,
            of_recordings: of_each.map(|squares| squares.iter().sum::<f64>().sqrt() / loads),
            of_loads: squared_error(&all).map(f64::sqrt),
            most,
            mean_of_others: mean(values().skip(1)),
            p: signed_rank(&all),
        })
    }
}

/// The square of the standard error of a mean; `None` of a single value.
pub fn squared_error(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let middle = mean(values.iter().copied())?;
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    (count > 1.0).then(|| squares / (count - 1.0) / count)
}

/// The exact one-sided p of Wilcoxon's signed-rank test that `differences` tend to be positive (Wilcoxon 1945). Zeros are left out, equal ones share
/// their ranks' mean.
fn signed_rank(differences: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|difference| *difference != 0.0)
        .collect();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the ranks, so that a mean of two is whole.
    let doubled: Vec<usize> = sorted
        .iter()
        .map(|difference| {
            let size = difference.abs();
            let below = sorted.iter().filter(|other| other.abs() < size).count();
            let equal = sorted.iter().filter(|other| other.abs() <= size).count() - below;
            2 * below + equal + 1
        })
        .collect();
    let ranks = sorted.iter().zip(&doubled);
    let positive: usize = ranks
        .filter(|(difference, _)| **difference > 0.0)
        .map(|(_, rank)| rank)
        .sum();
    // How probable each sum of ranks is if every sign is a fair coin.
    let mut sums = vec![1.0];
    for rank in doubled {
        let mut next = vec![0.0; sums.len() + rank];
        for (sum, p) in sums.iter().enumerate() {
            next[sum] += p / 2.0;
            next[sum + rank] += p / 2.0;
        }
        sums = next;
    }
    sums[positive..].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::{TOP1, tests::results};

    #[test]
    fn by_hand() {
        let one = results(&[("redis", &[0.9, 0.7]), ("cpu-4", &[0.5])], [0.1; 4]);
        let other = results(&[("redis", &[0.6, 0.6]), ("cpu-4", &[0.6])], [0.1; 4]);
        let paired = Paired::of(&one, &other, TOP1).unwrap();
        // .2 and -.1: both are .15 from their mean.
        assert!((paired.mean - 0.05).abs() < 1e-9);
        let error = (2.0 * 0.15_f64.powi(2) / 1.0 / 2.0).sqrt();
        assert!((paired.of_loads.unwrap() - error).abs() < 1e-9);
        assert_eq!(paired.of_recordings, None, "of cpu-4 there is one");
        // Ahead on the load with rank 2 of two: the sums 0 to 3 are equally likely, and two of them are no less than 2.
        assert!((paired.p - 0.5).abs() < 1e-9);
        assert_eq!(paired.most, "redis");
        assert!((paired.mean_of_others.unwrap() + 0.1).abs() < 1e-9);
        assert_eq!(Paired::of(&one, &Results(Vec::new()), TOP1), None);
    }

    #[test]
    fn recorded_again_only_recordings_vary() {
        let one = results(&[("redis", &[0.9, 0.7]), ("cpu-4", &[0.5, 0.5])], [0.1; 4]);
        let other = results(&[("redis", &[0.6, 0.6]), ("cpu-4", &[0.6, 0.6])], [0.1; 4]);
        let paired = Paired::of(&one, &other, TOP1).unwrap();
        // redis is ahead by .3 and .1, a mean with an error of .1; cpu-4 has none; the mean of both has half of it.
        assert!((paired.of_recordings.unwrap() - 0.05).abs() < 1e-9);
        assert!((paired.of_loads.unwrap() - 0.15).abs() < 1e-9);
    }

    /// Against the table of critical values: of ten, a rank sum of 5 or less on one side has p = .0098 (Wilcoxon and Wilcox 1964).
    #[test]
    fn the_signed_rank_test_is_that_of_the_tables() {
        let mut differences: Vec<f64> = (1..=10).map(f64::from).collect();
        differences[4] = -5.0;
        let p = signed_rank(&differences);
        assert!((p - 10.0 / 1024.0).abs() < 1e-12, "{p}");
        let all: Vec<f64> = (1..=4).map(f64::from).collect();
        assert!((signed_rank(&all) - 1.0 / 16.0).abs() < 1e-12);
        // Zeros say nothing; ties share a rank: of 1.5, 1.5 and 3 the sum is at least 4.5 in three cases of eight.
        let p = signed_rank(&[0.0, 1.0, -1.0, 2.0]);
        assert!((p - 3.0 / 8.0).abs() < 1e-12, "{p}");
        assert!((signed_rank(&[]) - 1.0).abs() < 1e-12);
    }
}
