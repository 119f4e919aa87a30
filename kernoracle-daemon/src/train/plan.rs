//! What is asked of a training.

use crate::model::Without;
use serde::{Deserialize, Serialize};

/// Everything that a training's outcome follows from, besides its recordings and the model that it starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub epochs: u32,
    /// Windows of a recording in an epoch, at most.
    pub windows: usize,
    /// Switches in a window.
    pub length: usize,
    /// Windows in a step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// The recordings are replayed anew after so many epochs.
    pub refresh: u32,
    /// Ends after so many epochs without a better validation.
    pub patience: u32,
    pub without: Without,
}

/// Share of a training in which the rate rises.
const WARM_UP: f64 = 0.04;
/// The rate at the end, against the highest.
const LAST: f64 = 0.02;

impl Plan {
    /// The learning rate when `done` (0 to 1) of the training is behind: up in a line, down along a cosine (Loshchilov and Hutter 2017).
    pub fn rate_at(&self, done: f64) -> f64 {
        if done < WARM_UP {
            return self.rate * (done / WARM_UP).max(0.01);
        }
        let turn = std::f64::consts::PI * ((done - WARM_UP) / (1.0 - WARM_UP)).min(1.0);
        self.rate * (LAST + (1.0 - LAST) * 0.5 * (1.0 + turn.cos()))
    }

    /// The recordings are replayed before this epoch. After the first one too, as no model changes more than an untrained one.
    pub fn refreshes(&self, epoch: u32) -> bool {
        epoch <= 1 || epoch.is_multiple_of(self.refresh)
    }

    /// A seed for one purpose in one epoch.
    pub fn seed_for(&self, purpose: u64, epoch: u32) -> u64 {
        self.seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(purpose << 32)
            .wrapping_add(u64::from(epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let plan = Plan {
            seed: 1,
            epochs: 10,
            windows: 1,
            length: 72,
            batch: 1,
            rate: 2e-3,
            refresh: 3,
            patience: 5,
            without: Without::default(),
        };
        assert!(plan.rate_at(0.0) < 1e-4);
        assert!((plan.rate_at(WARM_UP) - 2e-3).abs() < 1e-9);
        assert!((plan.rate_at(1.0) - 4e-5).abs() < 1e-9);
        assert!(plan.rate_at(0.3) > plan.rate_at(0.6));
        let refreshed: Vec<u32> = (0..8).filter(|epoch| plan.refreshes(*epoch)).collect();
        assert_eq!(refreshed, [0, 1, 3, 6]);
    }
}
