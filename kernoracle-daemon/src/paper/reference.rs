//! The same network in candle: what the plain code has to equal, and how fast a framework is.

use super::parameters::{HIDDEN, Layout};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::ops::sigmoid;

/// The network.
#[derive(Debug)]
pub struct Reference {
    pub vars: Vec<Var>,
    width: usize,
}

/// Hidden state and cell of each layer, `[sequences, HIDDEN]`.
#[derive(Clone, Debug)]
pub struct ReferenceState([Tensor; 4]);

impl Reference {
    pub fn new(layout: &Layout, weights: &[f32]) -> Result<Self> {
        let vars = layout.tensors().map(|(_, shape, range)| {
            Var::from_slice(&weights[range], shape.as_slice(), &Device::Cpu)
        });
        Ok(Self {
            vars: vars.into_iter().collect::<Result<_>>()?,
            width: layout.width,
        })
    }

    /// A state of zeros.
    pub fn zeros(sequences: usize) -> Result<ReferenceState> {
        let zeros = || Tensor::zeros((sequences, HIDDEN), DType::F32, &Device::Cpu);
        Ok(ReferenceState([zeros()?, zeros()?, zeros()?, zeros()?]))
    }

    /// Takes `[sequences, width]` numbers, row by row, and gives as many.
    pub fn step(&self, state: &mut ReferenceState, values: Vec<f32>) -> Result<Tensor> {
        let sequences = values.len() / self.width;
        let mut x = Tensor::from_vec(values, (sequences, self.width), &Device::Cpu)?;
        for (layer, state) in state.0.chunks_exact_mut(2).enumerate() {
            let w = &self.vars[3 * layer..];
            let gates = x.matmul(&w[0])?.add(&state[0].matmul(&w[1])?)?;
            let gates = gates.broadcast_add(&w[2])?.chunk(4, 1)?;
            let kept = (sigmoid(&gates[1])? * &state[1])?;
            let cell = kept.add(&(sigmoid(&gates[0])? * gates[2].tanh()?)?)?;
            x = (sigmoid(&gates[3])? * cell.tanh()?)?;
            state[0] = x.clone();
            state[1] = cell;
        }
        x.matmul(&self.vars[6])?.broadcast_add(&self.vars[7])
    }
}
