//! The weights as plain arrays, laid out for the forward step.

use super::features::{candidate, situation, switch};
use super::without::Without;
use crate::runqueue::CODE;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Sizes of the network.
pub mod shape {
    use super::{CODE, candidate, situation, switch};

    /// The LSTM's input: a role code and what happened.
    pub const INPUT: usize = CODE + switch::LEN;
    pub const HIDDEN: usize = 64;
    /// Numbers a candidate.
    pub const FEATURES: usize = candidate::LEN;
    /// Numbers of the situation.
    pub const SITUATION: usize = situation::LEN;
    /// The state that both heads see: the LSTM's output and the situation.
    pub const STATE: usize = HIDDEN + SITUATION;
    /// Hidden units of the candidate scorer.
    pub const SCORER: usize = 32;
    /// Hidden units of the run-time head.
    pub const RUN: usize = 24;
    /// Quantiles that the run-time head gives: .1, .5, .9.
    pub const QUANTILES: usize = 3;
}

use shape::{FEATURES, HIDDEN, INPUT, QUANTILES, RUN, SCORER, STATE};

/// Name, shape and gain of every tensor, as the checkpoint stores them; `[out, in]` like candle.
pub(super) const TENSORS: [(&str, &[usize]); 12] = [
    ("lstm.weight_ih_l0", &[4 * HIDDEN, INPUT]),
    ("lstm.weight_hh_l0", &[4 * HIDDEN, HIDDEN]),
    ("lstm.bias_ih_l0", &[4 * HIDDEN]),
    ("lstm.bias_hh_l0", &[4 * HIDDEN]),
    ("scorer.feature", &[SCORER, FEATURES]),
    ("scorer.state", &[SCORER, STATE]),
    ("scorer.bias", &[SCORER]),
    ("scorer.out", &[1, SCORER]),
    ("query.state", &[CODE, STATE]),
    ("run.state", &[RUN, STATE]),
    ("run.bias", &[RUN]),
    ("run.out", &[QUANTILES, RUN]),
];

/// All weights of the network. Matrices are stored input-major: row `i` holds what input `i` adds to every output.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Parts that the model was trained without.
    pub without: Without,
    pub(super) by_name: BTreeMap<&'static str, Vec<f32>>,
    /// `[INPUT][4 HIDDEN]`
    pub(super) lstm_input: Vec<f32>,
    /// `[HIDDEN][4 HIDDEN]`
    pub(super) lstm_hidden: Vec<f32>,
    /// `[4 HIDDEN]`, both biases.
    pub(super) lstm_bias: Vec<f32>,
    /// `[FEATURES][SCORER]`
    pub(super) scorer_feature: Vec<f32>,
    /// `[STATE][SCORER]`
    pub(super) scorer_state: Vec<f32>,
    pub(super) scorer_bias: Vec<f32>,
    pub(super) scorer_out: Vec<f32>,
    /// `[STATE][CODE]`
    pub(super) query_state: Vec<f32>,
    /// `[STATE][RUN]`
    pub(super) run_state: Vec<f32>,
    pub(super) run_bias: Vec<f32>,
    /// `[RUN][QUANTILES]`
    pub(super) run_out: Vec<f32>,
}

impl Weights {
    /// Untrained weights. The outputs of both heads start at zero: before it has learned, the network adds nothing to
    /// the linear part.
    pub fn untrained(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let tensors = TENSORS.iter().map(|(name, dims)| {
            let len: usize = dims.iter().product();
            let fan_in = dims.last().copied().unwrap_or(1).max(1) as f32;
            let bound = match *name {
                "run.out" | "query.state" => 0.0,
                name if name.contains("bias") => 0.0,
                "scorer.out" => 0.05,
                _ => 1.0 / fan_in.sqrt(),
            };
            let mut values: Vec<f32> = (0..len)
                .map(|_| bound * random.random_range(-1.0..1.0))
                .collect();
            if *name == "lstm.bias_ih_l0" {
                // An LSTM that starts by remembering learns long dependencies sooner (Jozefowicz et al. 2015).
                values[HIDDEN..2 * HIDDEN].fill(1.0);
            }
            (*name, values)
        });
        Self::from_tensors(tensors.collect())
    }

    /// From tensors as the checkpoint names and shapes them, lengths already checked.
    pub(super) fn from_tensors(by_name: BTreeMap<&'static str, Vec<f32>>) -> Self {
        let transposed = |name: &str| {
            let (_, dims) = TENSORS
                .iter()
                .find(|(other, _)| *other == name)
                .expect("a known tensor");
            let (rows, columns) = (dims[0], dims[1]);
            let values = &by_name[name];
            (0..columns)
                .flat_map(|c| (0..rows).map(move |r| values[r * columns + c]))
                .collect()
        };
        let lstm_bias = by_name["lstm.bias_ih_l0"]
            .iter()
            .zip(&by_name["lstm.bias_hh_l0"])
            .map(|(a, b)| a + b)
            .collect();
        Self {
            without: Without::default(),
            lstm_input: transposed("lstm.weight_ih_l0"),
            lstm_hidden: transposed("lstm.weight_hh_l0"),
            lstm_bias,
            scorer_feature: transposed("scorer.feature"),
            scorer_state: transposed("scorer.state"),
            scorer_bias: by_name["scorer.bias"].clone(),
            scorer_out: by_name["scorer.out"].clone(),
            query_state: transposed("query.state"),
            run_state: transposed("run.state"),
            run_bias: by_name["run.bias"].clone(),
            run_out: transposed("run.out"),
            by_name,
        }
    }

    /// The tensors as the checkpoint names and shapes them.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'static str, &'static [usize], &[f32])> {
        TENSORS
            .iter()
            .map(|(name, dims)| (*name, *dims, self.by_name[name].as_slice()))
    }

    /// How many numbers there are to learn.
    pub fn parameters(&self) -> usize {
        self.by_name.values().map(Vec::len).sum()
    }

    /// No tensor holds an infinity or a NaN.
    pub fn finite(&self) -> bool {
        self.by_name.values().flatten().all(|x| x.is_finite())
    }
}
