//! candle's own forward step: what the plain one is compared with.

use super::batch::BatchBuilder;
use super::features::candidate;
use super::forward::Scores;
use super::frame::View;
use super::net::Net;
use super::weights::{
    Weights,
    shape::{HIDDEN, INPUT},
};
use candle_core::{Device, Result, Tensor};
use candle_nn::{RNN as _, rnn::LSTMState};

/// candle's own forward step, one CPU's state at a time: the reference, and `--engine candle`.
#[derive(Debug)]
pub struct Reference {
    net: Net,
    states: Vec<Option<LSTMState>>,
}

impl Reference {
    pub fn new(weights: &Weights) -> Result<Self> {
        Ok(Self {
            net: Net::new(&weights.stepped())?,
            states: Vec::new(),
        })
    }

    /// Takes other weights and keeps the states.
    pub fn swap(&mut self, weights: &Weights) -> Result<()> {
        self.net = Net::new(&weights.stepped())?;
        Ok(())
    }

    /// Sets the state of a CPU back to zero.
    pub fn reset(&mut self, cpu: usize) {
        if let Some(state) = self.states.get_mut(cpu) {
            *state = None;
        }
    }

    /// One step of the LSTM.
    pub fn step(&mut self, cpu: usize, input: &[f32; INPUT]) -> Result<()> {
        if self.states.len() <= cpu {
            self.states.resize(cpu + 1, None);
        }
        let input = Tensor::from_slice(input, (1, INPUT), &Device::Cpu)?;
        let before = match self.states[cpu].take() {
            Some(state) => state,
            None => self.net.lstm.zero_state(1)?,
        };
        let after = self.net.lstm.step(&input, &before)?;
        // Without the history of its computation, which would grow without end.
        self.states[cpu] = Some(LSTMState {
            h: after.h.detach(),
            c: after.c.detach(),
        });
        Ok(())
    }

    /// The LSTM's output for a CPU, `[HIDDEN]`.
    pub fn hidden(&self, cpu: usize) -> Result<Vec<f32>> {
        match self.states.get(cpu) {
            Some(Some(state)) => state.h.flatten_all()?.to_vec1(),
            _ => Ok(vec![0.0; HIDDEN]),
        }
    }

    /// Scores a view.
    pub fn score(&self, cpu: usize, view: &View, scores: &mut Scores) -> Result<()> {
        debug_assert_eq!(
            view.candidates
                .last()
                .map(|last| last.features[candidate::OTHER]),
            Some(1.0)
        );
        let hidden = Tensor::from_vec(self.hidden(cpu)?, (1, HIDDEN), &Device::Cpu)?;
        let mut builder = BatchBuilder::default();
        builder.add(0, view, false, 1.0, None);
        let batch = builder.build(&Device::Cpu)?;
        let (log_p, run) = self.net.heads(&hidden, &batch)?;
        let log_p = log_p.squeeze(0)?.to_vec1::<f32>()?;
        scores.p.clear();
        scores.p.extend(log_p.iter().map(|p| p.exp()));
        scores
            .run
            .copy_from_slice(&run.squeeze(0)?.to_vec1::<f32>()?);
        // The inverse of softplus: ln(e^x - 1).
        let inverse = |distance: f32| distance.exp_m1().max(1e-12).ln();
        scores.run_raw = [
            inverse(scores.run[1] - scores.run[0]),
            scores.run[1] - view.run_base,
            inverse(scores.run[2] - scores.run[1]),
        ];
        Ok(())
    }
}
