//! The forward step: one pass over plain arrays, without a call or an allocation in it.
//!
//! Equal to [`super::Reference`], the same network in candle, within 1e-5; a test compares them. The compiler vectorises it, once for each
//! set of vector instructions; which of them the machine has is asked at run time, and all that fuse give the same bits ([`super::vector`]).

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::code_rows::Sums;
use super::differing::{Differing, reference};
use super::frame::{MAX_CANDIDATES, View};
use super::numeric::{exp, sigmoid, tanh};
use super::pairs::add_pairs;
use super::vector::{LANES, Vector, add_chosen_rows, add_product, add_rows, add_sparse_rows, fold};
use super::weights::{
    Weights,
    shape::{HEADS, HIDDEN, INPUT, QUANTILES, RUN, SCORER},
};
use crate::runqueue::CODE;
use multiversion::{multiversion, target::target_cfg_f};

/// State of the LSTM of one CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    pub hidden: [f32; HIDDEN],
    pub cell: [f32; HIDDEN],
}

impl Default for Lstm {
    fn default() -> Self {
        Self {
            hidden: [0.0; HIDDEN],
            cell: [0.0; HIDDEN],
        }
    }
}

impl Lstm {
    /// One step (Hochreiter and Schmidhuber 1997, with forget gates; gates in candle's order input, forget, cell, output).
    pub fn step(&mut self, weights: &Weights, input: &[f32; INPUT]) {
        lstm_step(&weights.lstm, input, &mut self.hidden, &mut self.cell);
    }
}

/// What the recurrent weights make of `hidden` for each gate, its bias included: the part of a step that needs no input.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2+fma",
    "x86_64+avx2+bmi1+bmi2+fma"
))]
pub(super) fn gates_of_hidden(weights: &Weights, hidden: &[f32; HIDDEN]) -> Sums {
    if target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")) {
        any_gates_of_hidden::<true>(weights, hidden)
    } else {
        any_gates_of_hidden::<false>(weights, hidden)
    }
}

/// [`gates_of_hidden`], with the vector instructions of the caller.
#[inline(always)]
fn any_gates_of_hidden<const FUSED: bool>(weights: &Weights, hidden: &[f32; HIDDEN]) -> Sums {
    let mut gates = [Vector::ZERO; 4];
    let biases = weights.lstm.iter().step_by(1 + INPUT + HIDDEN);
    let pairs = weights.recurrent.chunks_exact(HIDDEN / 2);
    for ((gate, bias), pairs) in gates.iter_mut().zip(biases).zip(pairs) {
        *gate = add_pairs::<FUSED, _>(*bias, hidden, pairs);
    }
    gates
}

/// A step where [`gates_of_hidden`] and the sums over the codes in the input are known.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2+fma",
    "x86_64+avx2+bmi1+bmi2+fma"
))]
pub(super) fn kept_step(
    rows: &[Vector<HIDDEN>],
    of_hidden: Sums,
    codes: [Option<&Sums>; 2],
    input: &[f32; INPUT],
    state: &mut Lstm,
) {
    if target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")) {
        any_kept_step::<true>(rows, of_hidden, codes, input, state);
    } else {
        any_kept_step::<false>(rows, of_hidden, codes, input, state);
    }
}

/// [`kept_step`], with the vector instructions of the caller.
#[inline(always)]
fn any_kept_step<const FUSED: bool>(
    rows: &[Vector<HIDDEN>],
    mut gates: Sums,
    codes: [Option<&Sums>; 2],
    input: &[f32; INPUT],
    state: &mut Lstm,
) {
    let rows = rows.chunks_exact(1 + INPUT + HIDDEN);
    for (i, (gate, rows)) in gates.iter_mut().zip(rows).enumerate() {
        for code in codes.into_iter().flatten() {
            for (sum, of_code) in gate.0.iter_mut().zip(&code[i].0) {
                *sum += of_code;
            }
        }
        let between = CODE..INPUT - CODE;
        let of_input = &rows[1..][..INPUT];
        *gate = add_sparse_rows::<FUSED, _>(*gate, &input[between.clone()], &of_input[between]);
    }
    activate(&gates, &mut state.hidden, &mut state.cell);
}

/// One step of an LSTM with `H` units. `rows` holds for each gate its bias, then what each number of `input` adds, then what each
/// of `hidden` adds: `[4][1 + INPUT + H][H]`.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2+fma",
    "x86_64+avx2+bmi1+bmi2+fma"
))]
pub fn lstm_step<const H: usize>(
    rows: &[Vector<H>],
    input: &[f32],
    hidden: &mut [f32; H],
    cell: &mut [f32; H],
) {
    if target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")) {
        any_lstm_step::<true, H>(rows, input, hidden, cell);
    } else {
        any_lstm_step::<false, H>(rows, input, hidden, cell);
    }
}

/// [`lstm_step`], with the vector instructions of the caller.
#[inline(always)]
pub(super) fn any_lstm_step<const FUSED: bool, const H: usize>(
    rows: &[Vector<H>],
    input: &[f32],
    hidden: &mut [f32; H],
    cell: &mut [f32; H],
) {
    let mut gates = [Vector::<H>::ZERO; 4];
    for (gate, rows) in gates.iter_mut().zip(rows.chunks_exact(1 + input.len() + H)) {
        let (of_input, of_hidden) = rows[1..].split_at(input.len());
        let sum = add_sparse_rows::<FUSED, _>(rows[0], input, of_input);
        *gate = add_rows::<FUSED, _>(sum, hidden, of_hidden);
    }
    activate(&gates, hidden, cell);
}

/// What the gates make of the state.
#[inline(always)]
fn activate<const H: usize>(
    [input_gate, forget_gate, new, output_gate]: &[Vector<H>; 4],
    hidden: &mut [f32; H],
    cell: &mut [f32; H],
) {
    for i in 0..H {
        cell[i] = sigmoid(forget_gate[i]) * cell[i] + sigmoid(input_gate[i]) * tanh(new[i]);
    }
    for i in 0..H {
        hidden[i] = sigmoid(output_gate[i]) * tanh(cell[i]);
    }
}

/// What the heads say of one view.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// What the network adds to each candidate's linear score.
    pub network: Vec<f32>,
    /// Probability of each candidate; they sum to one.
    pub p: Vec<f32>,
    /// `ln` of the run time's quantiles .1, .5, .9, in ns.
    pub run: [f32; QUANTILES],
    /// The same before the distances of the outer ones were made positive.
    pub run_raw: [f32; QUANTILES],
    /// Scratch space.
    pub(super) differing: Differing,
}

/// Scores a view's candidates and the current task's run time, given the LSTM's output `hidden` (`[HIDDEN]`).
pub fn score(weights: &Weights, hidden: &[f32; HIDDEN], view: &View, scores: &mut Scores) {
    score_from(weights, &heads_of_hidden(weights, hidden), view, scores);
}

/// The same, given [`heads_of_hidden`].
pub(super) fn score_from(
    weights: &Weights,
    of_hidden: &Vector<HEADS>,
    view: &View,
    scores: &mut Scores,
) {
    scores.network.clear();
    scores.network.resize(view.candidates.len(), 0.0);
    scores.p.clear();
    scores.p.resize(view.candidates.len(), 0.0);
    scores.differing.find(&view.candidates, &view.common);
    let Scores {
        network,
        p,
        differing,
        ..
    } = scores;
    scores.run_raw = heads(weights, of_hidden, view, differing, network, p);
    for (out, shift) in scores.run_raw.iter_mut().zip(&view.run_shift) {
        *out += shift;
    }
    scores.run = quantiles(view.run_base, scores.run_raw);
}

/// What the LSTM's output adds to the units of all heads, their bias included.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2+fma",
    "x86_64+avx2+bmi1+bmi2+fma"
))]
pub(super) fn heads_of_hidden(weights: &Weights, hidden: &[f32; HIDDEN]) -> Vector<HEADS> {
    if target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")) {
        add_rows::<true, _>(weights.heads_bias, hidden, &weights.heads[..HIDDEN])
    } else {
        add_rows::<false, _>(weights.heads_bias, hidden, &weights.heads[..HIDDEN])
    }
}

/// Fills in what the network adds to each candidate, and the softmax of that and the linear scores. Returns the run-time head's output.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2+fma",
    "x86_64+avx2+bmi1+bmi2+fma"
))]
fn heads(
    weights: &Weights,
    of_hidden: &Vector<HEADS>,
    view: &View,
    differing: &Differing,
    network: &mut [f32],
    p: &mut [f32],
) -> [f32; QUANTILES] {
    if target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")) {
        any_heads::<true>(weights, of_hidden, view, differing, network, p)
    } else {
        any_heads::<false>(weights, of_hidden, view, differing, network, p)
    }
}

/// [`heads`], with the vector instructions of the caller.
#[inline(always)]
pub(super) fn any_heads<const FUSED: bool>(
    weights: &Weights,
    of_hidden: &Vector<HEADS>,
    view: &View,
    differing: &Differing,
    network: &mut [f32],
    p: &mut [f32],
) -> [f32; QUANTILES] {
    let of_situation = &weights.heads[HIDDEN..];
    let all = add_sparse_rows::<FUSED, _>(*of_hidden, &view.situation, of_situation);
    let (base, rest) = all.split_at(SCORER);
    let (query, rest) = rest.split_at(CODE);
    let base = Vector::<SCORER>::padded(base);
    let common = add_chosen_rows::<FUSED, _, _>(
        base,
        &view.common.0,
        &Vector::ZERO.0,
        &differing.common,
        &weights.scorer_feature,
    );
    let (query, _) = query.as_chunks::<CODE>();
    let (of_units, _) = weights.scorer_out.as_chunks::<LANES>();
    let all = (view.candidates.chunks(LANES)).zip(differing.candidates.chunks(LANES));
    for ((candidates, differing), out) in all.zip(network.chunks_mut(LANES)) {
        // Sums are folded apart from where they are made: seen together, the compiler makes pairs of the lanes of both.
        let mut sums = [Vector::<LANES>::ZERO; LANES];
        for ((candidate, chosen), lanes) in candidates.iter().zip(differing).zip(&mut sums) {
            let start = if candidate.sym.is_some() {
                common
            } else {
                base
            };
            let units = add_chosen_rows::<FUSED, _, _>(
                start,
                &candidate.features,
                reference(candidate, &view.common),
                chosen,
                &weights.scorer_feature,
            );
            for i in 0..CODE {
                lanes[i] = add_product::<FUSED>(lanes[i], query[0][i], candidate.code[i]);
            }
            for (units, of_units) in units.as_chunks::<LANES>().0.iter().zip(of_units) {
                for i in 0..LANES {
                    lanes[i] = add_product::<FUSED>(lanes[i], positive(units[i]), of_units[i]);
                }
            }
        }
        for (lanes, out) in sums.iter().zip(out) {
            *out = fold(lanes.0);
        }
    }
    softmax(&view.linear, network, p);

    let mut out = [0.0_f32; QUANTILES];
    for (unit, row) in rest[..RUN].iter().zip(&weights.run_out) {
        for (out, w) in out.iter_mut().zip(row) {
            *out += positive(*unit) * w;
        }
    }
    out
}

/// The rectifier. Not [`f32::max`], which has more to do where a number is none.
#[inline(always)]
fn positive(x: f32) -> f32 {
    if x > 0.0 { x } else { 0.0 }
}

/// `softmax(linear + network)`.
#[inline(always)]
fn softmax(linear: &[f32], network: &[f32], p: &mut [f32]) {
    let mut most = f32::NEG_INFINITY;
    for ((p, a), b) in p.iter_mut().zip(linear).zip(network) {
        *p = a + b;
        most = most.max(*p);
    }
    for p in p.iter_mut() {
        *p = exp(*p - most);
    }
    let sum: f32 = p.iter().sum();
    for p in p {
        *p /= sum;
    }
}

/// The middle quantile is the base shifted; the outer ones lie below and above by a positive distance, so they never cross.
fn quantiles(base: f32, out: [f32; QUANTILES]) -> [f32; QUANTILES] {
    let middle = base + out[1];
    [middle - softplus(out[0]), middle, middle + softplus(out[2])]
}

fn softplus(x: f32) -> f32 {
    if x > 15.0 { x } else { (1.0 + exp(x)).ln() }
}

const _: () = assert!(SCORER + CODE + RUN <= HEADS && MAX_CANDIDATES <= 64 && CODE <= LANES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{busy_weights, view};
    use crate::model::versions::assert_same;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    type Step<const H: usize> = unsafe fn(&[Vector<H>], &[f32], &mut [f32; H], &mut [f32; H]);

    /// The versions of the step of so many units.
    macro_rules! steps {
        ($units:literal) => {
            versions!(
                any_lstm_step::<false, $units>,
                any_lstm_step::<true, $units>,
                fn(
                    rows: &[Vector<$units>],
                    input: &[f32],
                    hidden: &mut [f32; $units],
                    cell: &mut [f32; $units],
                )
            )
        };
    }

    fn steps_agree<const H: usize>(steps: &[(&str, Step<H>)]) {
        let mut random = ChaCha8Rng::seed_from_u64(H as u64);
        let mut number = || random.random_range(-0.4..0.4);
        let rows: Vec<Vector<H>> = (0..4 * (1 + INPUT + H))
            .map(|_| Vector(std::array::from_fn(|_| number())))
            .collect();
        let (mut hidden, mut cell) = ([0.0; H], [0.0; H]);
        let mut others = vec![([0.0; H], [0.0; H]); steps.len()];
        for step in 0..100 {
            let input: [f32; INPUT] = std::array::from_fn(|i| {
                // Many inputs are zero.
                if (i + step) % 3 == 0 { number() } else { 0.0 }
            });
            lstm_step(&rows, &input, &mut hidden, &mut cell);
            for ((hidden, cell), (_, version)) in others.iter_mut().zip(steps) {
                // SAFETY: the machine has the instructions of every version in the list.
                unsafe { version(&rows, &input, hidden, cell) };
            }
        }
        for (other, (name, _)) in others.iter().zip(steps) {
            assert_same(name, &hidden, &other.0);
            assert_same(name, &cell, &other.1);
        }
    }

    #[test]
    fn every_version_steps_the_same() {
        steps_agree(&steps!(16));
        steps_agree(&steps!(32));
        steps_agree(&steps!(64));
        steps_agree(&steps!(128));
    }

    #[test]
    fn every_version_of_the_heads_gives_the_same() {
        let versions = versions!(
            any_heads::<false>,
            any_heads::<true>,
            fn(
                weights: &Weights,
                of_hidden: &Vector<HEADS>,
                view: &View,
                differing: &Differing,
                network: &mut [f32],
                p: &mut [f32],
            ) -> [f32; QUANTILES]
        );
        let weights = busy_weights(21);
        let mut random = ChaCha8Rng::seed_from_u64(22);
        for candidates in 1..32 {
            let view = view(&mut random, candidates);
            let hidden: [f32; HIDDEN] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
            let empty = || vec![0.0; view.candidates.len()];
            let (mut network, mut p) = (empty(), empty());
            let mut differing = Differing::default();
            differing.find(&view.candidates, &view.common);
            let of_hidden = heads_of_hidden(&weights, &hidden);
            let run = heads(
                &weights,
                &of_hidden,
                &view,
                &differing,
                &mut network,
                &mut p,
            );
            for (name, version) in &versions {
                let (mut other_network, mut other_p) = (empty(), empty());
                // SAFETY: the machine has the instructions of every version in the list.
                let other = unsafe {
                    let (network, p) = (&mut other_network, &mut other_p);
                    version(&weights, &of_hidden, &view, &differing, network, p)
                };
                assert_same(name, &run, &other);
                assert_same(name, &network, &other_network);
                assert_same(name, &p, &other_p);
            }
        }
    }
}
