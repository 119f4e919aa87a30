//! Quantiles: of values that are all kept, or of a histogram that does not grow.

use hdrhistogram::Histogram;

/// Three digits: a quantile is right to one in a thousand.
const DIGITS: u8 = 3;
/// The largest value kept apart from larger ones: eleven days in ns, or a ratio of 1e9.
const MAX: u64 = 1_000_000_000_000_000;
/// The histogram's steps in one: ratios are kept as whole millionths.
const SCALE: f64 = 1e6;

/// Ratios and their quantiles.
#[derive(Clone, Debug)]
pub(super) enum Ratios {
    /// Every value: for a trace that ends.
    Exact(Vec<f32>),
    /// For a daemon that runs for weeks.
    Histogram(Histogram<u64>),
}

impl Ratios {
    pub fn new(exact: bool) -> Self {
        if exact {
            Self::Exact(Vec::new())
        } else {
            Self::Histogram(histogram())
        }
    }

    pub fn add(&mut self, value: f64) {
        match self {
            Self::Exact(values) => values.push(value as f32),
            Self::Histogram(histogram) => {
                histogram.saturating_record((value * SCALE) as u64);
            }
        }
    }

    /// Half of the values are at most this; of an even number, the lower of the two in the middle.
    pub fn median(&self) -> Option<f64> {
        match self {
            Self::Exact(values) if values.is_empty() => None,
            Self::Exact(values) => {
                let mut values = values.clone();
                let middle = (values.len() - 1) / 2;
                let (_, median, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
                Some(f64::from(*median))
            }
            Self::Histogram(histogram) if histogram.is_empty() => None,
            Self::Histogram(histogram) => Some(histogram.value_at_quantile(0.5) as f64 / SCALE),
        }
    }
}

/// Signed times, ns.
#[derive(Clone, Debug)]
pub(super) struct SignedTimes {
    negative: Histogram<u64>,
    /// Zero too.
    positive: Histogram<u64>,
}

impl SignedTimes {
    pub fn new() -> Self {
        Self {
            negative: histogram(),
            positive: histogram(),
        }
    }

    pub fn add(&mut self, ns: i64) {
        let side = if ns < 0 {
            &mut self.negative
        } else {
            &mut self.positive
        };
        side.saturating_record(ns.unsigned_abs());
    }

    /// The value that a share of `quantile` is at or below.
    pub fn quantile_ns(&self, quantile: f64) -> Option<i64> {
        let (below, above) = (self.negative.len(), self.positive.len());
        let total = below + above;
        if total == 0 {
            return None;
        }
        let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total);
        Some(if rank <= below {
            // The largest magnitude comes first.
            let from_zero = (below - rank + 1) as f64 / below as f64;
            -(self.negative.value_at_quantile(from_zero) as i64)
        } else {
            let from_zero = (rank - below) as f64 / above as f64;
            self.positive.value_at_quantile(from_zero) as i64
        })
    }
}

/// A histogram of values up to [`MAX`]; larger ones count as that.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(MAX, DIGITS)
        .expect("the digits and the maximum are within the crate's bounds")
}

/// A quantile, where there are values.
pub(super) fn quantile(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_median_of_odd_and_even() {
        let mut ratios = Ratios::new(true);
        assert_eq!(ratios.median(), None);
        for value in [0.5, 0.1, 0.9] {
            ratios.add(value);
        }
        assert_eq!(ratios.median(), Some(f64::from(0.5_f32)));
        ratios.add(0.2);
        assert_eq!(ratios.median(), Some(f64::from(0.2_f32)));
    }

    #[test]
    fn histogram_median_is_close() {
        let mut ratios = Ratios::new(false);
        assert_eq!(ratios.median(), None);
        for step in 1..=999 {
            ratios.add(f64::from(step) / 1000.0);
        }
        let median = ratios.median().unwrap();
        assert!((median - 0.5).abs() < 0.001, "{median}");
        ratios.add(f64::INFINITY);
        assert!(ratios.median().unwrap() < 0.51);
    }

    #[test]
    fn signed_quantiles_cross_zero() {
        let mut times = SignedTimes::new();
        assert_eq!(times.quantile_ns(0.5), None);
        for ns in [-300, -200, -100, 0, 100] {
            times.add(ns);
        }
        let at = |quantile| times.quantile_ns(quantile).unwrap();
        assert_eq!(
            [at(0.0), at(0.4), at(0.5), at(0.8), at(1.0)],
            [-300, -200, -100, 0, 100]
        );
    }
}
