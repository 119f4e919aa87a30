//! A model with a part left out: what the ablations compare with the whole.

use super::candidates::selector_without;
use super::features::{Feature, Part, candidate, situation, switch};
use super::frame::View;
use super::weights::shape::INPUT;
use crate::runqueue::CODE;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The parts that a model does without. Its features are zero, its hidden state is held at zero, in training as in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Without {
    /// The LSTM's state.
    pub lstm: bool,
    /// Run queues, wake-ups and the fair scheduler's numbers.
    pub scheduler: bool,
    /// Counts of what followed the last tasks.
    pub counts: bool,
}

impl Without {
    /// Without what either of both is without.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            lstm: self.lstm || other.lstm,
            scheduler: self.scheduler || other.scheduler,
            counts: self.counts || other.counts,
        }
    }

    fn covers(self, feature: &Feature) -> bool {
        match feature.part {
            Some(Part::Scheduler) => self.scheduler,
            Some(Part::Counts) => self.counts,
            Some(Part::StateCounts) => self.scheduler || self.counts,
            None => false,
        }
    }

    fn mask(self, features: &[Feature], values: &mut [f32]) {
        for (feature, value) in features.iter().zip(values) {
            if self.covers(feature) {
                *value = 0.0;
            }
        }
    }

    /// Takes the parts' features out of what a prediction is made from.
    pub fn mask_view(self, view: &mut View) {
        if !(self.scheduler || self.counts) {
            return;
        }
        self.mask(&situation::ALL, &mut view.situation);
        for candidate in &mut view.candidates {
            self.mask(&candidate::ALL, &mut candidate.features[..]);
        }
        view.selector = selector_without(view.selector, self);
    }

    /// Takes the parts' features out of the LSTM's input.
    pub fn mask_input(self, input: &mut [f32; INPUT]) {
        self.mask(&switch::ALL, &mut input[CODE..]);
        if self.scheduler {
            input[CODE + switch::LEN..].fill(0.0);
        }
    }
}

/// `lstm and counts`; nothing if the model is whole.
impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.lstm, "lstm"),
            (self.scheduler, "scheduler"),
            (self.counts, "counts"),
        ];
        let names: Vec<&str> = parts
            .iter()
            .filter_map(|(left_out, name)| left_out.then_some(*name))
            .collect();
        f.write_str(&names.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Candidate;

    #[test]
    fn only_the_parts_features_go() {
        let mut view = View::default();
        view.clear();
        view.situation.fill(1.0);
        let mut candidate = Candidate::other();
        candidate.features[..candidate::LEN].fill(1.0);
        view.candidates.push(candidate);
        let without = Without {
            counts: true,
            ..Without::default()
        };
        without.mask_view(&mut view);
        let features = &view.candidates[0].features;
        assert_eq!(features[candidate::LOG_P].to_bits(), 0);
        assert_eq!(features[candidate::SURE12].to_bits(), 0);
        assert!((features[candidate::RUNNABLE] - 1.0).abs() < 1e-9);
        assert_eq!(view.situation[situation::TOP_P].to_bits(), 0);
        assert!((view.situation[situation::WAITING] - 1.0).abs() < 1e-9);
        assert_eq!(without.to_string(), "counts");
    }

    #[test]
    fn without_the_scheduler_the_lstm_does_not_see_who_was_woken() {
        let mut input = [1.0; INPUT];
        let without = Without {
            scheduler: true,
            ..Without::default()
        };
        without.mask_input(&mut input);
        let (entered, rest) = input.split_at(CODE);
        let (happened, woken) = rest.split_at(switch::LEN);
        assert!(entered.iter().all(|x| *x > 0.0));
        assert!(happened[switch::RUN_TIME] > 0.0);
        assert!(happened[switch::SINCE_WOKEN] < 0.5);
        assert_eq!(woken, [0.0; CODE]);
    }
}
