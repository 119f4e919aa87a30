//! The forward step: pure functions over plain arrays.
//!
//! Equal to [`super::Reference`], the same network in candle, within 1e-5; a test compares them.

use super::frame::View;
use super::numeric::{exp, sigmoid, tanh};
use super::weights::{
    Weights,
    shape::{HIDDEN, INPUT, QUANTILES, RUN, SCORER, STATE},
};
use crate::runqueue::CODE;

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

/// `out += x[i] * rows[i]` over all inputs; inputs that are zero cost nothing.
fn add_rows<const OUT: usize>(out: &mut [f32; OUT], inputs: &[f32], rows: &[f32]) {
    for (&x, row) in inputs.iter().zip(rows.chunks_exact(OUT)) {
        if x != 0.0 {
            for (out, w) in out.iter_mut().zip(row) {
                *out += x * w;
            }
        }
    }
}

impl Lstm {
    /// One step (Hochreiter and Schmidhuber 1997, with forget gates; gates in candle's order input, forget, cell, output).
    pub fn step(&mut self, weights: &Weights, input: &[f32; INPUT]) {
        let mut gates = [0.0_f32; 4 * HIDDEN];
        gates.copy_from_slice(&weights.lstm_bias);
        add_rows(&mut gates, input, &weights.lstm_input);
        add_rows(&mut gates, &self.hidden, &weights.lstm_hidden);
        for i in 0..HIDDEN {
            let input_gate = sigmoid(gates[i]);
            let forget_gate = sigmoid(gates[HIDDEN + i]);
            let cell = tanh(gates[2 * HIDDEN + i]);
            let output_gate = sigmoid(gates[3 * HIDDEN + i]);
            self.cell[i] = forget_gate * self.cell[i] + input_gate * cell;
            self.hidden[i] = output_gate * tanh(self.cell[i]);
        }
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
}

/// Scores a view's candidates and the current task's run time, given the LSTM's output `hidden` (`[HIDDEN]`).
pub fn score(weights: &Weights, hidden: &[f32; HIDDEN], view: &View, scores: &mut Scores) {
    let mut state = [0.0_f32; STATE];
    state[..HIDDEN].copy_from_slice(hidden);
    state[HIDDEN..].copy_from_slice(&view.situation);

    let mut base = [0.0_f32; SCORER];
    base.copy_from_slice(&weights.scorer_bias);
    add_rows(&mut base, &state, &weights.scorer_state);
    let mut query = [0.0_f32; CODE];
    add_rows(&mut query, &state, &weights.query_state);

    scores.network.clear();
    for candidate in &view.candidates {
        let mut units = base;
        add_rows(&mut units, &candidate.features, &weights.scorer_feature);
        let unit_score: f32 = units
            .iter()
            .zip(&weights.scorer_out)
            .map(|(unit, w)| unit.max(0.0) * w)
            .sum();
        let code_score: f32 = query.iter().zip(&candidate.code).map(|(q, c)| q * c).sum();
        scores.network.push(unit_score + code_score);
    }
    softmax(&view.linear, &scores.network, &mut scores.p);

    let mut units = [0.0_f32; RUN];
    units.copy_from_slice(&weights.run_bias);
    add_rows(&mut units, &state, &weights.run_state);
    for unit in &mut units {
        *unit = unit.max(0.0);
    }
    let mut out = [0.0_f32; QUANTILES];
    add_rows(&mut out, &units, &weights.run_out);
    for (out, shift) in out.iter_mut().zip(&view.run_shift) {
        *out += shift;
    }
    scores.run_raw = out;
    scores.run = quantiles(view.run_base, out);
}

/// `softmax(linear + network)`.
fn softmax(linear: &[f32], network: &[f32], p: &mut Vec<f32>) {
    p.clear();
    p.extend(linear.iter().zip(network).map(|(a, b)| a + b));
    let most = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for p in p.iter_mut() {
        *p = exp(*p - most);
        sum += *p;
    }
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
