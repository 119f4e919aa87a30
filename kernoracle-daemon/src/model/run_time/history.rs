//! The last runs in one context, and how well their median has foretold the next one.

/// Runs that a history holds.
pub(super) const LEN: usize = 16;
/// A record of errors follows its last ten entries, and is their plain mean until there are ten.
const MEMORY: u8 = 10;

/// The last 16 values, sorted; `ln` ns.
///
/// What is asked of all histories that hold stands in front, in one cache line; the values are asked of one of them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub(super) struct History {
    median: f32,
    error: f32,
    len: u8,
    next: u8,
    tried: u8,
    /// Where in the ring of arrivals each of `sorted` stands.
    arrival: [u8; LEN],
    sorted: [f32; LEN],
}

impl History {
    /// Adds a run; the oldest leaves once 16 are there.
    pub(super) fn push(&mut self, value: f32) {
        if let Some(median) = self.median() {
            let error = distance(median, value);
            self.tried = (self.tried + 1).min(MEMORY);
            self.error += (error - self.error) / f32::from(self.tried);
        }
        let mut len = self.len();
        if len == LEN {
            // The ring is full: what arrived where the next one goes is the oldest.
            let oldest = self
                .arrival
                .iter()
                .position(|at| *at == self.next)
                .unwrap_or(0);
            // Not `copy_within`: a call for a few numbers.
            for i in oldest..LEN - 1 {
                self.sorted[i] = self.sorted[i + 1];
                self.arrival[i] = self.arrival[i + 1];
            }
            len -= 1;
        }
        let place = self.sorted[..len].partition_point(|other| *other < value);
        for i in (place..len).rev() {
            self.sorted[i + 1] = self.sorted[i];
            self.arrival[i + 1] = self.arrival[i];
        }
        self.sorted[place] = value;
        self.arrival[place] = self.next;
        self.next = (self.next + 1) % LEN as u8;
        self.len = (len + 1) as u8;
        self.median = self.sorted[self.len() / 2];
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The upper one of two.
    pub(super) fn median(&self) -> Option<f32> {
        (self.len > 0).then_some(self.median)
    }

    /// A quantile, between neighbours in proportion; the value at place `i` of `n` is taken as the one of level `(i + 1) / (n + 1)`.
    pub(super) fn quantile(&self, level: f32) -> Option<f32> {
        let last = self.len().checked_sub(1)?;
        let place = (level * (self.len() + 1) as f32 - 1.0).clamp(0.0, last as f32);
        let low = place as usize;
        let high = (low + 1).min(last);
        Some(self.sorted[low] + (self.sorted[high] - self.sorted[low]) * (place - low as f32))
    }

    /// Mean error of the last medians, and how many they were.
    pub(super) fn record(&self) -> (f32, f32) {
        (self.error, f32::from(self.tried))
    }
}

/// How far a prediction is off in the logarithm, at most 1: beyond that, wrong is wrong. For small errors it is the relative error.
pub(super) fn distance(predicted: f32, actual: f32) -> f32 {
    (predicted - actual).abs().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the plain way: keep all, sort the last 16.
        #[test]
        fn sorted_window(values in proptest::collection::vec(0_u8..9, 1..120)) {
            let mut history = History::default();
            let mut errors = Vec::new();
            for (i, value) in values.iter().enumerate() {
                let mut window: Vec<f32> = values[i.saturating_sub(LEN)..i].iter().copied().map(f32::from).collect();
                window.sort_by(f32::total_cmp);
                let median = window.get(window.len() / 2).copied();
                prop_assert_eq!(history.median(), median);
                prop_assert_eq!(&history.sorted[..history.len()], &window[..]);
                let value = f32::from(*value);
                if let Some(median) = median {
                    errors.push(f64::from((median - value).abs().min(1.0)));
                }
                history.push(value);
                let (error, tried) = history.record();
                prop_assert_eq!(tried as usize, errors.len().min(10));
                if (1..=10).contains(&errors.len()) {
                    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
                    prop_assert!((f64::from(error) - mean).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn quantiles_by_hand() {
        let mut history = History::default();
        assert_eq!(history.quantile(0.5), None);
        history.push(7.0);
        assert_eq!(history.quantile(0.1), Some(7.0));
        for value in [3.0, 1.0, 5.0, 9.0, 2.0, 4.0, 6.0, 8.0] {
            history.push(value);
        }
        // Of 1 to 9 the i-th is the quantile i / 10.
        for (level, want) in [(0.1, 1.0), (0.25, 2.5), (0.5, 5.0), (0.9, 9.0), (0.99, 9.0)] {
            let got = history.quantile(level).expect("nine values");
            assert!((got - want).abs() < 1e-5, "{level}: {got}");
        }
    }
}
