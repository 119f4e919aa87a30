//! Two predictors on the same recordings: is one ahead everywhere, or does one load carry the mean?

use super::figures::{Results, at, mean};

/// By how much a figure is higher with one than with the other, over loads.
#[derive(Debug, PartialEq)]
pub struct Paired {
    /// Mean over loads of each load's mean over its recordings.
    pub mean: f64,
    /// Of that mean. Loads are what varies: the recordings of one are no independent trials. `None` for a single load.
    pub standard_error: Option<f64>,
    /// The load with the largest difference, and the mean over the others.
    pub most: &'static str,
    pub mean_of_others: Option<f64>,
}

impl Paired {
    /// `None` if no recording has the figure at `path` in both.
    pub fn of(one: &Results, other: &Results, path: &str) -> Option<Self> {
        let mut differences: Vec<(&'static str, f64)> = one
            .0
            .iter()
            .filter_map(|result| {
                let rounds = result.rounds.iter().zip(&other.get(result.load)?.rounds);
                let of_load = mean(rounds.filter_map(|(a, b)| Some(at(a, path)? - at(b, path)?)))?;
                Some((result.load.name, of_load))
            })
            .collect();
        differences.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
        let (most, _) = *differences.first()?;
        let values = || differences.iter().map(|(_, difference)| *difference);
        let whole = mean(values())?;
        let loads = differences.len() as f64;
        let squares: f64 = values().map(|value| (value - whole).powi(2)).sum();
        Some(Self {
            mean: whole,
            standard_error: (loads > 1.0).then(|| (squares / (loads - 1.0) / loads).sqrt()),
            most,
            mean_of_others: mean(values().skip(1)),
        })
    }
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
        assert!((paired.standard_error.unwrap() - error).abs() < 1e-9);
        assert_eq!(paired.most, "redis");
        assert!((paired.mean_of_others.unwrap() + 0.1).abs() < 1e-9);
        assert_eq!(Paired::of(&one, &Results(Vec::new()), TOP1), None);
    }
}
