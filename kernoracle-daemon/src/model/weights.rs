//! The weights as plain arrays, laid out for the forward step.

use super::features::{candidate, situation, switch};
use super::pairs::{Pair, rounded};
use super::vector::{LANES, Vector};
use super::without::Without;
use crate::runqueue::CODE;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Sizes of the network.
pub mod shape {
    use super::{CODE, LANES, candidate, situation, switch};

    /// The LSTM's input: the code of the task that entered, what happened, the code of the task that was woken last before.
    pub const INPUT: usize = CODE + switch::LEN + CODE;
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
    /// Outputs of the rows that all heads share: the scorer's units, the query, the run-time head's units.
    pub const HEADS: usize = (SCORER + CODE + RUN).next_multiple_of(LANES);
    /// Numbers in the row of a candidate's features; those beyond [`FEATURES`] are zero.
    pub const FEATURE_ROW: usize = FEATURES.next_multiple_of(LANES);
}

use shape::{FEATURES, HEADS, HIDDEN, INPUT, QUANTILES, RUN, SCORER, STATE};

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
    /// For each gate its bias, what each input adds, what each hidden unit adds: `[4][1 + INPUT + HIDDEN][HIDDEN]`. The hidden units' rows are
    /// rounded to bfloat16.
    pub(super) lstm: Vec<Vector<HIDDEN>>,
    /// The hidden units' rows once more: `[4][HIDDEN / 2]`.
    pub(super) recurrent: Vec<Pair<HIDDEN>>,
    /// `[FEATURES][SCORER]`
    pub(super) scorer_feature: Vec<Vector<SCORER>>,
    pub(super) scorer_out: Vector<SCORER>,
    /// What the state adds to the scorer's units, the query and the run-time head's units: `[STATE][HEADS]`.
    pub(super) heads: Vec<Vector<HEADS>>,
    pub(super) heads_bias: Vector<HEADS>,
    /// `[RUN][QUANTILES]`
    pub(super) run_out: Vec<[f32; QUANTILES]>,
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
        // What input `column` adds to outputs `from..from + N`.
        fn column<const N: usize>(
            by_name: &BTreeMap<&'static str, Vec<f32>>,
            name: &str,
            column: usize,
            from: usize,
        ) -> [f32; N] {
            let (_, dims) = TENSORS
                .iter()
                .find(|(other, _)| *other == name)
                .expect("a known tensor");
            let columns = dims[1];
            std::array::from_fn(|row| by_name[name][(from + row) * columns + column])
        }
        let mut lstm = Vec::with_capacity(4 * (1 + INPUT + HIDDEN));
        let mut recurrent = Vec::with_capacity(4 * HIDDEN / 2);
        for from in (0..4).map(|gate| gate * HIDDEN) {
            let biases = [&by_name["lstm.bias_ih_l0"], &by_name["lstm.bias_hh_l0"]];
            lstm.push(Vector(std::array::from_fn(|i| {
                biases[0][from + i] + biases[1][from + i]
            })));
            lstm.extend((0..INPUT).map(|i| Vector(column(&by_name, "lstm.weight_ih_l0", i, from))));
            let of_hidden =
                (0..HIDDEN).map(|i| column(&by_name, "lstm.weight_hh_l0", i, from).map(rounded));
            lstm.extend(of_hidden.map(Vector));
            let (pairs, _) = lstm[lstm.len() - HIDDEN..].as_chunks::<2>();
            recurrent.extend(pairs.iter().map(|[first, second]| Pair::new(first, second)));
        }
        let heads = (0..STATE).map(|i| {
            let mut row = Vector::ZERO;
            row[..SCORER].copy_from_slice(&column::<SCORER>(&by_name, "scorer.state", i, 0));
            row[SCORER..SCORER + CODE].copy_from_slice(&column::<CODE>(
                &by_name,
                "query.state",
                i,
                0,
            ));
            row[SCORER + CODE..SCORER + CODE + RUN].copy_from_slice(&column::<RUN>(
                &by_name,
                "run.state",
                i,
                0,
            ));
            row
        });
        let mut heads_bias = Vector::padded(&by_name["scorer.bias"]);
        heads_bias[SCORER + CODE..SCORER + CODE + RUN].copy_from_slice(&by_name["run.bias"]);
        Self {
            without: Without::default(),
            lstm,
            recurrent,
            scorer_feature: (0..FEATURES)
                .map(|i| Vector(column(&by_name, "scorer.feature", i, 0)))
                .collect(),
            scorer_out: Vector::padded(&by_name["scorer.out"]),
            heads: heads.collect(),
            heads_bias,
            run_out: (0..RUN)
                .map(|i| column(&by_name, "run.out", i, 0))
                .collect(),
            by_name,
        }
    }

    /// The tensors as the checkpoint names and shapes them.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'static str, &'static [usize], &[f32])> {
        TENSORS
            .iter()
            .map(|(name, dims)| (*name, *dims, self.by_name[name].as_slice()))
    }

    /// The weights as the forward step takes them: its recurrent ones are bfloat16, for training they are what they are.
    pub(super) fn stepped(&self) -> Self {
        let mut by_name = self.by_name.clone();
        for x in by_name.get_mut("lstm.weight_hh_l0").into_iter().flatten() {
            *x = rounded(*x);
        }
        Self {
            without: self.without,
            ..Self::from_tensors(by_name)
        }
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
