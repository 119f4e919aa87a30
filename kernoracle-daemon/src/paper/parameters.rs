//! All weights of the paper's model in one vector, as L-BFGS wants them.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Units of each LSTM layer, as in the paper.
pub const HIDDEN: usize = 51;
/// Gates of a layer, in the order input, forget, cell, output.
pub const GATES: usize = 4 * HIDDEN;

/// Where each tensor lies, for vectors of `width` numbers in and out. Matrices are `[from, to]`, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub width: usize,
    pub first: LayerLayout,
    pub second: LayerLayout,
    /// `[HIDDEN, width]` and `[width]`
    pub out: Range<usize>,
    pub out_bias: Range<usize>,
}

/// One LSTM layer. PyTorch has two biases, which only ever appear as their sum; here it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLayout {
    /// `[inputs, GATES]`
    pub input: Range<usize>,
    /// `[HIDDEN, GATES]`
    pub hidden: Range<usize>,
    /// `[GATES]`
    pub bias: Range<usize>,
}

impl Layout {
    pub fn new(width: usize) -> Self {
        let mut at = 0;
        let mut take = |len: usize| {
            at += len;
            at - len..at
        };
        let mut layer = |inputs: usize| LayerLayout {
            input: take(inputs * GATES),
            hidden: take(HIDDEN * GATES),
            bias: take(GATES),
        };
        let (first, second) = (layer(width), layer(HIDDEN));
        Self {
            width,
            first,
            second,
            out: take(HIDDEN * width),
            out_bias: take(width),
        }
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.out_bias.end
    }

    /// Name, shape and place of each tensor, as they are stored.
    pub fn tensors(&self) -> [(&'static str, Vec<usize>, Range<usize>); 8] {
        let Self {
            width,
            first,
            second,
            out,
            out_bias,
        } = self;
        [
            ("lstm1.input", vec![*width, GATES], first.input.clone()),
            ("lstm1.hidden", vec![HIDDEN, GATES], first.hidden.clone()),
            ("lstm1.bias", vec![GATES], first.bias.clone()),
            ("lstm2.input", vec![HIDDEN, GATES], second.input.clone()),
            ("lstm2.hidden", vec![HIDDEN, GATES], second.hidden.clone()),
            ("lstm2.bias", vec![GATES], second.bias.clone()),
            ("linear.weight", vec![HIDDEN, *width], out.clone()),
            ("linear.bias", vec![*width], out_bias.clone()),
        ]
    }

    /// First weights: even between `-1/sqrt(HIDDEN)` and `1/sqrt(HIDDEN)`, as PyTorch draws those of `LSTMCell` and `Linear`.
    pub fn draw(&self, seed: u64) -> Vec<f32> {
        let bound = 1.0 / (HIDDEN as f32).sqrt();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..self.count())
            .map(|_| random.random_range(-bound..bound))
            .collect()
    }
}
