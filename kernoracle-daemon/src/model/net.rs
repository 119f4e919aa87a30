//! The network in candle: its variables, and what it makes of batches of views.

use super::batch::Batch;
use super::forward::Lstm;
use super::linear::Linear;
use super::mixer::{KINDS, Mixer, SELECTORS};
use super::ragged::{DataProduct, RowProduct};
use super::recurrence::Recurrence;
use super::run_mixer::RunMixer;
use super::weights::{
    TENSORS, Weights,
    shape::{FEATURES, HIDDEN, INPUT, QUANTILES, SITUATION},
};
use super::without::Without;
use candle_core::{D, DType, Device, Result, Tensor, Var, bail};
use candle_nn::{
    LSTM, LSTMConfig, VarBuilder, VarMap,
    ops::{log_softmax, sigmoid},
};
use std::collections::BTreeMap;

/// Log-score of a place that holds no candidate.
const EMPTY: f32 = -1e9;

/// The network with variables that an optimiser can change.
pub(super) struct Net {
    variables: VarMap,
    pub(super) lstm: LSTM,
    tensors: BTreeMap<&'static str, Tensor>,
    pub(super) without: Without,
    linear: Option<LinearVariables>,
}

/// The linear parts as variables: pretraining changes them together with the network.
struct LinearVariables {
    /// `[KINDS, FEATURES]`
    shared: Var,
    /// `[KINDS SELECTORS, FEATURES]`
    selected: Var,
    /// `[QUANTILES, SITUATION]`
    run: Var,
}

/// What a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Network,
    /// The linear weights of all situations.
    Shared,
    /// Those of one kind of situation.
    Selected,
    RunTime,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

impl Net {
    pub(super) fn new(weights: &Weights) -> Result<Self> {
        let device = Device::Cpu;
        let variables = VarMap::new();
        let mut tensors = BTreeMap::new();
        {
            let mut data = variables.data().lock().expect("no thread panicked with it");
            for (name, dims, values) in weights.tensors() {
                let var = Var::from_tensor(&Tensor::from_slice(values, dims, &device)?)?;
                tensors.insert(name, var.as_tensor().clone());
                data.insert(name.to_owned(), var);
            }
        }
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &device);
        let lstm = LSTM::new(INPUT, HIDDEN, LSTMConfig::default(), builder.pp("lstm"))?;
        Ok(Self {
            variables,
            lstm,
            tensors,
            without: weights.without,
            linear: None,
        })
    }

    /// A network whose linear parts are variables too.
    pub(super) fn pretraining(weights: &Weights, linear: &Linear) -> Result<Self> {
        let rows = linear.candidates.to_rows();
        let (shared, selected) = rows.split_at(KINDS * FEATURES);
        let var = |values: &[f32], dims: (usize, usize)| {
            Var::from_tensor(&Tensor::from_slice(values, dims, &Device::Cpu)?)
        };
        let linear = LinearVariables {
            shared: var(shared, (KINDS, FEATURES))?,
            selected: var(selected, (KINDS * SELECTORS, FEATURES))?,
            run: var(&linear.run.to_rows(), (QUANTILES, SITUATION))?,
        };
        Ok(Self {
            linear: Some(linear),
            ..Self::new(weights)?
        })
    }

    /// Name, role and variable of everything that is trained, in a fixed order.
    pub(super) fn named_variables(&self) -> Vec<(&'static str, Role, Var)> {
        let names = TENSORS.iter().map(|(name, _)| (*name, Role::Network));
        let mut all: Vec<_> = names
            .zip(self.variables())
            .map(|((name, role), var)| (name, role, var))
            .collect();
        if let Some(linear) = &self.linear {
            all.push(("mixer.shared", Role::Shared, linear.shared.clone()));
            all.push(("mixer.selected", Role::Selected, linear.selected.clone()));
            all.push(("run_mixer.weights", Role::RunTime, linear.run.clone()));
        }
        all
    }

    /// The present linear parts, which must be variables.
    pub(super) fn linear(&self) -> Result<Linear> {
        let Some(linear) = &self.linear else {
            bail!("the linear parts are not variables");
        };
        let mut rows = linear.shared.flatten_all()?.to_vec1::<f32>()?;
        rows.extend(linear.selected.flatten_all()?.to_vec1::<f32>()?);
        Ok(Linear {
            candidates: Mixer::from_rows(&rows),
            run: RunMixer::from_rows(&linear.run.flatten_all()?.to_vec1::<f32>()?),
        })
    }

    pub(super) fn variables(&self) -> Vec<Var> {
        // In the order of names: optimisers and seeds must not depend on a hash map's order.
        let data = self
            .variables
            .data()
            .lock()
            .expect("no thread panicked with it");
        TENSORS
            .iter()
            .map(|(name, _)| data[*name].clone())
            .collect()
    }

    /// The present weights as plain arrays.
    pub(super) fn weights(&self) -> Result<Weights> {
        let by_name: Result<BTreeMap<_, _>> = TENSORS
            .iter()
            .map(|(name, _)| Ok((*name, self.tensors[name].flatten_all()?.to_vec1::<f32>()?)))
            .collect();
        Ok(Weights {
            without: self.without,
            ..Weights::from_tensors(by_name?)
        })
    }

    fn project(&self, name: &str, input: &Tensor) -> Result<Tensor> {
        input.matmul(&self.tensors[name].t()?)
    }

    /// Log-probabilities `[N, K]` and run-time quantiles `[N, QUANTILES]` (`ln` ns) of `N` views, given the LSTM's output for each (`[N, HIDDEN]`).
    pub(super) fn heads(&self, hidden: &Tensor, batch: &Batch) -> Result<(Tensor, Tensor)> {
        let (n, k) = (batch.n, batch.k);
        let device = hidden.device();
        let by_view = |data: &Tensor| RowProduct {
            data: data.clone(),
            owner: batch.owner.clone(),
        };
        let state = Tensor::cat(&[hidden, &batch.situation], 1)?;
        let base = self
            .project("scorer.state", &state)?
            .broadcast_add(&self.tensors["scorer.bias"])?;
        let units = self.tensors["scorer.feature"].apply_op1(DataProduct {
            data: batch.features.clone(),
        })?;
        let units = (units + base.index_select(&batch.owner, 0)?)?.relu()?;
        let unit_score = self.project("scorer.out", &units)?.squeeze(1)?;
        let query = self.project("query.state", &state)?;
        let code_score = query.apply_op1(by_view(&batch.codes))?;
        let (linear, run_shift) = match &self.linear {
            Some(linear) => {
                let rows = (linear.shared.index_select(&batch.shared, 0)?
                    + linear.selected.index_select(&batch.selected, 0)?)?;
                (
                    rows.apply_op1(by_view(&batch.features))?,
                    linear.run.apply_op1(DataProduct {
                        data: batch.situation.clone(),
                    })?,
                )
            }
            None => (batch.linear.clone(), batch.run_shift.clone()),
        };
        let scores = ((linear + unit_score)? + code_score)?;
        let logits = Tensor::cat(&[&scores, &Tensor::new(&[EMPTY], device)?], 0)?
            .index_select(&batch.places, 0)?
            .reshape((n, k))?;
        let log_p = log_softmax(&logits, D::Minus1)?;

        let units = self
            .project("run.state", &state)?
            .broadcast_add(&self.tensors["run.bias"])?
            .relu()?;
        let out = (self.project("run.out", &units)? + run_shift)?;
        let middle = (&batch.run_base + out.narrow(1, 1, 1)?)?;
        let low = (&middle - softplus(&out.narrow(1, 0, 1)?)?)?;
        let high = (&middle + softplus(&out.narrow(1, 2, 1)?)?)?;
        Ok((log_p, Tensor::cat(&[low, middle, high], 1)?))
    }

    /// The LSTM's outputs `[B, T, HIDDEN]` for inputs `[B, T, INPUT]`, from the states `starts` or from zero: what [`LSTM::seq`] gives, but the
    /// input's part is one product for all steps and the rest one operation.
    pub(super) fn unroll(&self, inputs: &Tensor, starts: &[&Lstm]) -> Result<Tensor> {
        let (b, t, _) = inputs.dims3()?;
        let bias = (&self.tensors["lstm.bias_ih_l0"] + &self.tensors["lstm.bias_hh_l0"])?;
        let from_input = self
            .project("lstm.weight_ih_l0", &inputs.reshape((b * t, INPUT))?)?
            .broadcast_add(&bias)?;
        // Time first, so that each step is one contiguous piece.
        let from_input = from_input
            .reshape((b, t, 4 * HIDDEN))?
            .transpose(0, 1)?
            .contiguous()?;
        let start = |part: fn(&Lstm) -> &[f32; HIDDEN]| -> Vec<f32> {
            if starts.is_empty() {
                vec![0.0; b * HIDDEN]
            } else {
                starts.iter().flat_map(|start| *part(start)).collect()
            }
        };
        let steps = Recurrence {
            start: [start(|start| &start.hidden), start(|start| &start.cell)],
        };
        from_input
            .apply_op2(&self.tensors["lstm.weight_hh_l0"], steps)?
            .transpose(0, 1)?
            .contiguous()
    }
}

fn softplus(x: &Tensor) -> Result<Tensor> {
    // ln(1 + e^x) = x - ln sigmoid(x); the arguments stay small.
    x - sigmoid(x)?.log()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::RNN as _;

    #[test]
    fn unrolled_equals_candles_own() {
        let net = Net::new(&Weights::untrained(3)).expect("candle takes the weights");
        let inputs = Tensor::randn(0.0_f32, 1.0, (3, 20, INPUT), &Device::Cpu).expect("inputs");
        let states = net.lstm.seq(&inputs).expect("candle steps");
        let want = net.lstm.states_to_tensor(&states).expect("stacked");
        let got = net.unroll(&inputs, &[]).expect("unrolled");
        let apart = (want - got)
            .and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>())
            .expect("a number");
        assert!(apart < 1e-5, "{apart}");
    }
}
