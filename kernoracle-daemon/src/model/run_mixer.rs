//! The linear part of the run-time head, adapted at every switch.
//!
//! It shifts the quantiles of the current task's run time, in the logarithm, by a weighted sum of the situation's numbers; the weights follow the
//! gradient of the pinball loss (Koenker and Bassett 1978), which is what the quantiles are scored by.

use super::forward::Scores;
use super::frame::{QUANTILE_LEVELS, View};
use super::numeric::sigmoid;
use super::weights::shape::{QUANTILES, SITUATION};

const RATE: f32 = 0.08;

/// Weights `[QUANTILES][SITUATION]` and the squares that scale their steps.
#[derive(Clone, Debug, PartialEq)]
pub struct RunMixer {
    weights: [[f32; SITUATION]; QUANTILES],
    squares: [[f32; SITUATION]; QUANTILES],
}

impl Default for RunMixer {
    fn default() -> Self {
        Self {
            weights: [[0.0; SITUATION]; QUANTILES],
            squares: [[1.0; SITUATION]; QUANTILES],
        }
    }
}

impl RunMixer {
    /// Fills in the view's linear shifts.
    pub fn shift(&self, view: &mut View) {
        for (shift, weights) in view.run_shift.iter_mut().zip(&self.weights) {
            *shift = weights
                .iter()
                .zip(&view.situation)
                .map(|(w, x)| w * x)
                .sum();
        }
    }

    /// Follows the gradient of the pinball loss of what was predicted towards `actual`, `ln` ns.
    pub fn learn(&mut self, view: &View, scores: &Scores, actual: f32) {
        let raw = &scores.run_raw;
        // The middle one learns from what it offered, also where that was not taken.
        let predicted = [scores.run[0], view.run_base + raw[1], scores.run[2]];
        // d loss / d prediction is 1 - q above the actual value, -q below it.
        let slope: [f32; QUANTILES] = std::array::from_fn(|i| {
            if actual < predicted[i] {
                1.0 - QUANTILE_LEVELS[i]
            } else {
                -QUANTILE_LEVELS[i]
            }
        });
        // The outer quantiles are the middle one less or plus softplus(raw), whose derivative is the logistic function.
        let gradient = [
            -slope[0] * sigmoid(raw[0]),
            slope[1],
            slope[2] * sigmoid(raw[2]),
        ];
        for ((weights, squares), gradient) in
            self.weights.iter_mut().zip(&mut self.squares).zip(gradient)
        {
            for ((w, square), x) in weights.iter_mut().zip(squares).zip(&view.situation) {
                let g = gradient * x;
                *square += g * g;
                *w -= RATE * g / square.sqrt();
            }
        }
    }

    /// The weights, row by row.
    pub fn to_rows(&self) -> Vec<f32> {
        self.weights.iter().flatten().copied().collect()
    }

    /// From what [`Self::to_rows`] gave.
    pub fn from_rows(rows: &[f32]) -> Self {
        let mut mixer = Self::default();
        for (weights, row) in mixer.weights.iter_mut().zip(rows.chunks_exact(SITUATION)) {
            weights.copy_from_slice(row);
        }
        mixer
    }
}
