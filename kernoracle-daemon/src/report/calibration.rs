//! How far the probability of the first choice can be believed.

use super::{fields::documented, tally::share};
use crate::oracle::outcome::Scored;

/// As in Guo et al. 2017.
const BINS: usize = 15;

documented! {
    /// Predictions whose first choice had a probability in one range.
    #[derive(Copy, PartialEq)]
    pub struct CalibrationBin {
        /// Predictions.
        pub decisions: u64,
        /// Mean probability of their first choice, 0 to 1; null without predictions.
        pub confidence: Option<f64>,
        /// Share of them whose first choice was right, 0 to 1.
        pub accuracy: Option<f64>,
    }
}

documented! {
    /// Probability of the first choice against share of hits. The expected calibration error (Naeini et al.
    /// 2015, with the bins of Guo et al. 2017) is the sum over 15 bins of equal width of `decisions / all
    /// decisions * |confidence - accuracy|`. A prediction without candidates counts as a miss of probability 0.
    #[derive(Default, PartialEq)]
    pub struct CalibrationFigures {
        /// Expected calibration error of the at-switch predictions, 0 to 1; null without predictions.
        pub ece: Option<f64>,
        /// The same of the refined predictions; where nothing woke, the at-switch prediction stands.
        pub refined_ece: Option<f64>,
        /// The at-switch predictions by the probability of their first choice: up to 1/15, above it up to
        /// 2/15, and so on.
        pub bins: Vec<CalibrationBin>,
    }
}

/// Sums of one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    decisions: u64,
    hits: u64,
    confidence: f64,
}

/// Sums of the bins of one predictor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calibration {
    bins: [Bin; BINS],
}

impl Calibration {
    pub fn add(&mut self, scored: &Scored) {
        let confidence = scored.top.first().map_or(0.0, |&(_, p)| f64::from(p));
        // A bin holds its upper bound and not its lower one, but for 0.
        let at = (confidence * BINS as f64).ceil() as usize;
        let bin = &mut self.bins[at.clamp(1, BINS) - 1];
        bin.decisions += 1;
        bin.hits += u64::from(scored.hit());
        bin.confidence += confidence;
    }

    fn ece(&self) -> Option<f64> {
        let decisions: u64 = self.bins.iter().map(|bin| bin.decisions).sum();
        // n_b/n |confidence/n_b - hits/n_b|, without the divisions by n_b that an empty bin would not bear.
        let apart: f64 = self
            .bins
            .iter()
            .map(|bin| (bin.confidence - bin.hits as f64).abs())
            .sum();
        (decisions > 0).then(|| apart / decisions as f64)
    }

    /// Of at-switch predictions, and of `refined` ones.
    pub fn figures(&self, refined: &Self) -> CalibrationFigures {
        let bin = |bin: &Bin| CalibrationBin {
            decisions: bin.decisions,
            confidence: (bin.decisions > 0).then(|| bin.confidence / bin.decisions as f64),
            accuracy: share(bin.hits, bin.decisions),
        };
        CalibrationFigures {
            ece: self.ece(),
            refined_ece: refined.ece(),
            bins: self.bins.iter().map(bin).collect(),
        }
    }
}
