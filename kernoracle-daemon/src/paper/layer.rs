//! One LSTM layer over many sequences at once, forwards and backwards.
//!
//! Arrays are `[time, sequence, ..]`: the rows of one time step lie together, so that a step is one product of matrices.
//! The gradients are those of back-propagation through time (Werbos 1990) without truncation; a test compares them with candle's.

use super::matrix::{Matrix, add_product};
use super::parameters::{GATES, HIDDEN, LayerLayout};
use crate::model::{sigmoid, tanh};

/// What a forward pass keeps for the way back.
#[derive(Debug, Default)]
pub struct Tape {
    /// Gates after their functions, `[time, sequence, GATES]`.
    pub gates: Vec<f32>,
    /// `[time, sequence, HIDDEN]`
    pub cells: Vec<f32>,
    pub hidden: Vec<f32>,
}

/// Runs the layer from a state of zeros. `tape.gates` hold what the inputs and the bias give each gate, and are replaced.
pub fn forward(weights: &[f32], layout: &LayerLayout, sequences: usize, tape: &mut Tape) {
    let recurrent = Matrix::new(&weights[layout.hidden.clone()], HIDDEN, GATES);
    let (state, step) = (sequences * HIDDEN, sequences * GATES);
    let times = tape.gates.len() / step;
    for values in [&mut tape.cells, &mut tape.hidden] {
        values.clear();
        values.resize(times * state, 0.0);
    }
    for time in 0..times {
        let gates = &mut tape.gates[time * step..][..step];
        let (hidden_before, hidden) = tape.hidden.split_at_mut(time * state);
        let (cells_before, cells) = tape.cells.split_at_mut(time * state);
        let cells_before = time.checked_sub(1).map(|t| &cells_before[t * state..]);
        if let Some(before) = time.checked_sub(1).map(|t| &hidden_before[t * state..]) {
            add_product(gates, Matrix::new(before, sequences, HIDDEN), recurrent);
        }
        for row in 0..sequences {
            let gates = &mut gates[row * GATES..][..GATES];
            let (sigmoids, rest) = gates.split_at_mut(2 * HIDDEN);
            let (news, outs) = rest.split_at_mut(HIDDEN);
            for x in sigmoids.iter_mut() {
                *x = sigmoid(*x);
            }
            for x in news.iter_mut() {
                *x = tanh(*x);
            }
            for x in outs.iter_mut() {
                *x = sigmoid(*x);
            }
            let (inputs, forgets) = sigmoids.split_at(HIDDEN);
            let cells = &mut cells[row * HIDDEN..][..HIDDEN];
            for i in 0..HIDDEN {
                let before = cells_before.map_or(0.0, |cells| cells[row * HIDDEN + i]);
                cells[i] = forgets[i] * before + inputs[i] * news[i];
            }
            let hidden = &mut hidden[row * HIDDEN..][..HIDDEN];
            for i in 0..HIDDEN {
                hidden[i] = outs[i] * tanh(cells[i]);
            }
        }
    }
}

/// Turns `d_hidden`, the loss's gradient by the layer's outputs `[time, sequence, HIDDEN]`, into that by the gates before their functions,
/// which replaces `tape.gates`, and adds the gradients of recurrent weights and bias.
pub fn backward(
    weights: &[f32],
    layout: &LayerLayout,
    sequences: usize,
    tape: &mut Tape,
    d_hidden: &mut [f32],
    gradient: &mut [f32],
) {
    let recurrent = Matrix::new(&weights[layout.hidden.clone()], HIDDEN, GATES);
    let (state, step) = (sequences * HIDDEN, sequences * GATES);
    let times = tape.gates.len() / step;
    let mut d_cells = vec![0.0_f32; state];
    for time in (0..times).rev() {
        let (here, after) = tape.gates.split_at_mut((time + 1) * step);
        let gates = &mut here[time * step..];
        let d_hidden = &mut d_hidden[time * state..][..state];
        if time + 1 < times {
            let after = Matrix::new(&after[..step], sequences, GATES);
            add_product(d_hidden, after, recurrent.t());
        }
        let cells = &tape.cells[time * state..][..state];
        let cells_before = time
            .checked_sub(1)
            .map(|before| &tape.cells[before * state..][..state]);
        for row in 0..sequences {
            let gates = &mut gates[row * GATES..][..GATES];
            for i in 0..HIDDEN {
                let at = row * HIDDEN + i;
                let (input, forget) = (gates[i], gates[HIDDEN + i]);
                let (new, out) = (gates[2 * HIDDEN + i], gates[3 * HIDDEN + i]);
                let squashed = tanh(cells[at]);
                let d_cell = d_cells[at] + d_hidden[at] * out * (1.0 - squashed * squashed);
                let before = cells_before.map_or(0.0, |cells| cells[at]);
                gates[i] = d_cell * new * input * (1.0 - input);
                gates[HIDDEN + i] = d_cell * before * forget * (1.0 - forget);
                gates[2 * HIDDEN + i] = d_cell * input * (1.0 - new * new);
                gates[3 * HIDDEN + i] = d_hidden[at] * squashed * out * (1.0 - out);
                d_cells[at] = d_cell * forget;
            }
        }
    }
    if times > 1 {
        let rows = (times - 1) * sequences;
        let hidden = Matrix::new(&tape.hidden[..rows * HIDDEN], rows, HIDDEN);
        let after = Matrix::new(&tape.gates[step..], rows, GATES);
        add_product(&mut gradient[layout.hidden.clone()], hidden.t(), after);
    }
    add_rows(&mut gradient[layout.bias.clone()], &tape.gates);
}

/// Adds every row of `rows` to `sum`.
pub fn add_rows(sum: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(sum.len()) {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += x;
        }
    }
}
