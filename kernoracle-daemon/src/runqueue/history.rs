//! The last few run or sleep times of a task, and their median.

use crate::model::log_time;

const LEN: usize = 16;

/// What is asked of a task's last durations at every prediction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usual {
    /// The upper one of two.
    median: u64,
    /// The median on the scale of `log_time`.
    log_median: f32,
    /// See [`Self::regular`].
    regular: f32,
    known: bool,
}

impl Usual {
    /// The median on the scale of `log_time`.
    pub fn log_median(&self) -> Option<f32> {
        self.known.then_some(self.log_median)
    }

    /// 1 if all are equal, nearer to 0 the further the quartiles are apart.
    pub fn regular(&self) -> Option<f32> {
        self.known.then_some(self.regular)
    }

    /// Median of the window, ns; the upper one of two. `None` before the first duration.
    pub fn median(&self) -> Option<u64> {
        self.known.then_some(self.median)
    }
}

/// A window of the last 16 durations. Apart from what follows from it, which is asked for far more often and of many tasks at once.
#[derive(Clone, Debug, Default)]
pub struct RunHistory {
    len: u8,
    at: u8,
    sorted: [u64; LEN],
    recent: [u64; LEN],
}

impl RunHistory {
    /// Adds a duration, ns; the oldest leaves once 16 are there. Returns what is usual now.
    #[must_use]
    pub fn push(&mut self, ns: u64) -> Usual {
        let mut len = usize::from(self.len);
        if len == LEN {
            let oldest = self.recent[usize::from(self.at)];
            let out = self.sorted.partition_point(|&x| x < oldest);
            self.sorted.copy_within(out + 1.., out);
            len -= 1;
        }
        let place = self.sorted[..len].partition_point(|&x| x < ns);
        self.sorted.copy_within(place..len, place + 1);
        self.sorted[place] = ns;
        self.len = (len + 1) as u8;
        self.recent[usize::from(self.at)] = ns;
        self.at = (self.at + 1) % LEN as u8;
        let len = usize::from(self.len);
        let median = self.sorted[len / 2];
        let [quartile1, quartile3] = [len / 4, (len * 3 / 4).min(len - 1)].map(|i| self.sorted[i]);
        let spread = (quartile3 - quartile1) as f32 / median.max(1) as f32;
        Usual {
            median,
            log_median: log_time(median),
            regular: 1.0 / (1.0 + 8.0 * spread),
            known: true,
        }
    }

    /// The last duration, ns.
    pub fn last(&self) -> Option<u64> {
        (self.len > 0).then(|| self.recent[(usize::from(self.at) + LEN - 1) % LEN])
    }

    /// First and third quartile, ns.
    pub fn quartiles(&self) -> Option<(u64, u64)> {
        let len = usize::from(self.len);
        (len > 0).then(|| {
            (
                self.sorted[len / 4],
                self.sorted[(len * 3 / 4).min(len - 1)],
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::RunHistory;

    #[test]
    fn median_of_the_last_sixteen() {
        let mut history = RunHistory::default();
        assert_eq!(super::Usual::default().median(), None);
        let mut all = Vec::new();
        let mut x = 12_345_u64;
        for _ in 0..200 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Few values, so that ties are common.
            let ns = (x >> 33) % 7;
            let usual = history.push(ns);
            all.push(ns);
            let mut window = all[all.len().saturating_sub(16)..].to_vec();
            window.sort_unstable();
            assert_eq!(usual.median(), Some(window[window.len() / 2]));
            assert_eq!(history.last(), Some(ns));
        }
    }
}
