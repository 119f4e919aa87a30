//! The LSTM of a CPU while it runs: its state, and what follows from that alone.
//!
//! Most of a step is the product of the recurrent weights with the state, and for that nothing has to happen first: it is worked out when a
//! prediction has been given and the next switch is waited for. What the heads take from the state serves every prediction
//! between two switches.

use super::code_rows::{CodeRows, Sums};
use super::forward::{Lstm, Scores, gates_of_hidden, heads_of_hidden, kept_step, score_from};
use super::frame::View;
use super::vector::Vector;
use super::weights::{
    Weights,
    shape::{HEADS, INPUT},
};

/// State of the LSTM of one CPU, between its steps. All calls take the same weights, or [`Self::forget`] is called in between.
#[derive(Clone, Debug, Default)]
pub struct RunningLstm {
    state: Lstm,
    /// For the next step.
    gates: Option<Sums>,
    /// For predictions from this state.
    heads: Option<Vector<HEADS>>,
}

impl RunningLstm {
    /// In a given state.
    pub fn from_state(state: Lstm) -> Self {
        Self {
            state,
            gates: None,
            heads: None,
        }
    }

    pub fn state(&self) -> &Lstm {
        &self.state
    }

    /// The weights are others now.
    pub fn forget(&mut self) {
        self.gates = None;
        self.heads = None;
    }

    /// One step, like [`Lstm::step`], with what the codes add kept in `rows`, which are of these weights.
    pub fn step(&mut self, weights: &Weights, rows: &mut CodeRows, input: &[f32; INPUT]) {
        let of_hidden =
            (self.gates.take()).unwrap_or_else(|| gates_of_hidden(weights, &self.state.hidden));
        let codes = rows.sums(weights, input);
        kept_step(&weights.lstm, of_hidden, codes, input, &mut self.state);
        self.heads = None;
    }

    /// Works out what the next step will need.
    pub fn work_ahead(&mut self, weights: &Weights) {
        self.gates
            .get_or_insert_with(|| gates_of_hidden(weights, &self.state.hidden));
    }

    /// Scores a view from the present state, like [`super::score`].
    pub fn score(&mut self, weights: &Weights, view: &View, scores: &mut Scores) {
        let of_hidden = self
            .heads
            .get_or_insert_with(|| heads_of_hidden(weights, &self.state.hidden));
        score_from(weights, of_hidden, view, scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{busy_weights, view};
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn whatever_is_worked_out_ahead_the_numbers_are_the_same() {
        let mut random = ChaCha8Rng::seed_from_u64(14);
        let mut rows = CodeRows::default();
        let mut running = RunningLstm::default();
        let mut plain = Lstm::default();
        let mut all = [busy_weights(1), busy_weights(2)];
        for step in 0..400 {
            if step % 50 == 49 {
                all.swap(0, 1);
                rows.forget();
                running.forget();
            }
            if step == 200 {
                running = RunningLstm::from_state(Lstm::default());
                plain = Lstm::default();
            }
            let weights = &all[0];
            if random.random() {
                running.work_ahead(weights);
            }
            let input = std::array::from_fn(|_| random.random_range(-1.0..1.0));
            running.step(weights, &mut rows, &input);
            plain.step(weights, &input);
            for (a, b) in running.state().hidden.iter().zip(&plain.hidden) {
                assert!((a - b).abs() < 1e-5, "step {step}: {a} {b}");
            }
            for _ in 0..random.random_range(0..3) {
                let view = view(&mut random, 5);
                let (mut one, mut other) = (Scores::default(), Scores::default());
                running.score(weights, &view, &mut one);
                super::super::score(weights, &plain.hidden, &view, &mut other);
                let pairs = one
                    .p
                    .iter()
                    .chain(&one.run)
                    .zip(other.p.iter().chain(&other.run));
                for (a, b) in pairs {
                    assert!((a - b).abs() < 1e-4, "step {step}: {a} {b}");
                }
            }
        }
    }
}
