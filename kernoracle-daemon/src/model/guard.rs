//! Falls back on the model as it was where adapting makes it worse.
//!
//! Two experts predict: the linear part as it has adapted, and as it was at the start. Their probabilities are mixed by how well each has done, with
//! a record that decays (exponential weights, Vovk 1990; the share that is kept for the other, Herbster and Warmuth 1998): the mixture
//! never does worse than the better of them by more than a few bits a change of fortune.

use super::forward::Scores;
use super::frame::View;
use super::numeric::exp;

/// How much of the record is kept from one decision to the next.
const KEPT: f32 = 0.995;
/// ln of the odds at most: the other one always keeps a small share.
const SUREST: f32 = 5.0;

/// The record of one kind of prediction.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Log-likelihood that the adapted one is ahead by, nats.
    ahead: f32,
    /// What each gave the candidates of the last prediction.
    adapted: Vec<f32>,
    start: Vec<f32>,
    linear: Vec<f32>,
}

impl Guard {
    /// Room for what the linear part gave at the start; to be filled before [`Self::mix`].
    pub fn start_scores(&mut self) -> &mut Vec<f32> {
        &mut self.linear
    }

    /// Share of the adapted one in the mixture.
    pub fn adapted_share(&self) -> f32 {
        1.0 / (1.0 + exp(-self.ahead.clamp(-SUREST, SUREST)))
    }

    /// Mixes into `scores.p`, which is that of the adapted one, what the start would have given.
    pub fn mix(&mut self, view: &View, scores: &mut Scores) {
        let Self {
            adapted,
            start,
            linear,
            ..
        } = self;
        adapted.clear();
        adapted.extend_from_slice(&scores.p);
        // The network's part is the same in both: p of the start is p of the adapted one times e^(difference of the linear parts).
        let shift = |i: usize| linear[i] - view.linear[i];
        let most = (0..adapted.len())
            .map(shift)
            .fold(f32::NEG_INFINITY, f32::max);
        start.clear();
        start.extend(
            adapted
                .iter()
                .enumerate()
                .map(|(i, p)| p * exp(shift(i) - most)),
        );
        let sum: f32 = start.iter().sum();
        if sum < 1e-20 {
            // So far apart that nothing is left to compare.
            start.copy_from_slice(adapted);
        } else {
            for p in start.iter_mut() {
                *p /= sum;
            }
        }
        let share = self.adapted_share();
        for ((p, adapted), start) in scores.p.iter_mut().zip(&self.adapted).zip(&self.start) {
            *p = share * adapted + (1.0 - share) * start;
        }
    }

    /// What the adapted one alone gave: that is what it learns from.
    pub fn adapted(&self) -> &[f32] {
        &self.adapted
    }

    /// The last prediction's answer was candidate `target`.
    pub fn judge(&mut self, target: usize) {
        let nats = |p: &[f32]| p[target].max(1e-6).ln();
        let ahead = self.ahead * KEPT + nats(&self.adapted) - nats(&self.start);
        // Beyond what the odds use, the record would only delay a change of mind.
        self.ahead = ahead.clamp(-2.0 * SUREST, 2.0 * SUREST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two candidates; the adapted linear part gives the first `linear` more, the start nothing.
    fn round(guard: &mut Guard, linear: f32, target: usize) -> f32 {
        let view = View {
            linear: vec![linear, 0.0],
            ..View::default()
        };
        let p = 1.0 / (1.0 + (-linear).exp());
        let mut scores = Scores {
            p: vec![p, 1.0 - p],
            ..Scores::default()
        };
        guard.start_scores().clear();
        guard.start_scores().extend([0.0, 0.0]);
        guard.mix(&view, &mut scores);
        assert!((scores.p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        guard.judge(target);
        -scores.p[target].log2()
    }

    #[test]
    fn bad_adaptation_costs_little() {
        let mut guard = Guard::default();
        // Sure of the first candidate, and always wrong: 4.3 bits each, where the start's even odds cost one bit.
        let bits: f32 = (0..1_000).map(|_| round(&mut guard, 3.0, 1)).sum();
        assert!(bits < 1_000.0 * 1.01 + 10.0, "{bits}");
        assert!(guard.adapted_share() < 0.01);
    }

    #[test]
    fn good_adaptation_is_kept() {
        let mut guard = Guard::default();
        let alone = 1_000.0 * (1.0_f32 + (-3.0_f32).exp()).log2();
        let bits: f32 = (0..1_000).map(|_| round(&mut guard, 3.0, 0)).sum();
        assert!(bits < alone * 1.15 + 10.0, "{bits} of {alone}");
    }

    #[test]
    fn a_change_is_followed() {
        let mut guard = Guard::default();
        for _ in 0..1_000 {
            round(&mut guard, 3.0, 0);
        }
        for _ in 0..20 {
            round(&mut guard, 3.0, 1);
        }
        assert!(guard.adapted_share() < 0.5);
    }
}
