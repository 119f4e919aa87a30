//! The network in candle: what is trained, and the reference that the plain forward step is compared with.

use super::batch::{Batch, BatchBuilder};
use super::features::candidate;
use super::forward::{Lstm, Scores};
use super::frame::{Frame, QUANTILE_LEVELS, View};
use super::linear::Linear;
use super::mixer::{KINDS, Mixer, SELECTORS};
use super::ragged::{DataProduct, RowProduct};
use super::run_mixer::RunMixer;
use super::weights::{
    TENSORS, Weights,
    shape::{FEATURES, HIDDEN, INPUT, QUANTILES, SITUATION},
};
use super::without::Without;
use candle_core::{D, DType, Device, Result, Tensor, Var, bail};
use candle_nn::{
    LSTM, LSTMConfig, RNN as _, VarBuilder, VarMap,
    ops::{log_softmax, sigmoid},
    rnn::LSTMState,
};
use std::collections::BTreeMap;

/// Switches at a window's start whose predictions do not count: the LSTM starts from zero there, not in its stream.
pub(super) const WARM_UP: usize = 8;
/// Weight of refined predictions and of the run-time head beside the at-switch log-loss.
const REFINED_WEIGHT: f32 = 0.5;
const RUN_WEIGHT: f64 = 0.3;
/// Log-score of a place that holds no candidate.
const EMPTY: f32 = -1e9;

/// The network with variables that an optimiser can change.
pub(super) struct Net {
    variables: VarMap,
    lstm: LSTM,
    tensors: BTreeMap<&'static str, Tensor>,
    without: Without,
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

/// The parts of a training loss.
pub(super) struct Loss {
    /// What is minimised.
    pub total: Tensor,
    /// Mean log-loss of the at-switch predictions, bits.
    pub bits: f32,
    /// How many at-switch predictions that is.
    pub decisions: f32,
}

/// What a loss is the mean over: of windows of which only some are looked at, all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whole {
    /// Sum of the predictions' weights.
    weight: f32,
    /// Run times that are known.
    runs: usize,
}

impl Whole {
    /// A window more.
    pub(super) fn add(&mut self, window: &[Frame]) {
        let mut batch = BatchBuilder::default();
        counted(window, 0, &mut batch);
        let (weight, runs) = batch.sums();
        self.weight += weight;
        self.runs += runs;
    }
}

/// Adds a window's predictions that count; its first row of the LSTM's output is `row`.
fn counted<'a>(window: &'a [Frame], row: u32, batch: &mut BatchBuilder<'a>) {
    for (t, frame) in window.iter().enumerate().skip(WARM_UP) {
        let row = row + t as u32;
        if frame.at_switch.target.is_some() {
            batch.add(row, &frame.at_switch, false, 1.0, frame.run_time);
        }
        if let Some(refined) = &frame.refined
            && refined.target.is_some()
        {
            batch.add(row, refined, true, REFINED_WEIGHT, None);
        }
    }
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
    fn heads(&self, hidden: &Tensor, batch: &Batch) -> Result<(Tensor, Tensor)> {
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
    /// input's part is one product for all steps and the weights are transposed once, which halves the cost of a training step.
    fn unroll(&self, inputs: &Tensor, starts: &[&Lstm]) -> Result<Tensor> {
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
        let recurrent = self.tensors["lstm.weight_hh_l0"].t()?.contiguous()?;
        let (mut h, mut c) = if starts.is_empty() {
            let zero = Tensor::zeros((b, HIDDEN), DType::F32, inputs.device())?;
            (zero.clone(), zero)
        } else {
            let stacked = |part: fn(&Lstm) -> &[f32; HIDDEN]| {
                let values: Vec<f32> = starts.iter().flat_map(|start| *part(start)).collect();
                Tensor::from_vec(values, (b, HIDDEN), inputs.device())
            };
            (
                stacked(|start| &start.hidden)?,
                stacked(|start| &start.cell)?,
            )
        };
        let mut outputs = Vec::with_capacity(t);
        for step in 0..t {
            let gates = (from_input.get(step)? + h.matmul(&recurrent)?)?;
            let open = sigmoid(&gates)?;
            let gate = |i: usize| open.narrow(1, i * HIDDEN, HIDDEN);
            let cell = gates.narrow(1, 2 * HIDDEN, HIDDEN)?.tanh()?;
            c = ((gate(1)? * c)? + (gate(0)? * cell)?)?;
            h = (gate(3)? * c.tanh()?)?;
            outputs.push(h.clone());
        }
        Tensor::stack(&outputs, 1)
    }

    /// Mean loss over windows of equal length, each a slice of frames without a gap. `starts` is the LSTM's state before each
    /// window; zero without.
    pub(super) fn loss(&self, windows: &[&[Frame]], starts: &[&Lstm]) -> Result<Loss> {
        let mut whole = Whole::default();
        for window in windows {
            whole.add(window);
        }
        self.loss_in(windows, starts, whole)
    }

    /// The share of these windows in the mean loss of all that `whole` is of: such shares, and their gradients, add up to it and to its.
    pub(super) fn loss_in(
        &self,
        windows: &[&[Frame]],
        starts: &[&Lstm],
        whole: Whole,
    ) -> Result<Loss> {
        let device = Device::Cpu;
        let length = windows.iter().map(|window| window.len()).min().unwrap_or(0);
        let hidden = if self.without.lstm {
            Tensor::zeros((windows.len() * length, HIDDEN), DType::F32, &device)?
        } else {
            let inputs: Vec<f32> = windows
                .iter()
                .flat_map(|window| &window[..length])
                .flat_map(|frame| frame.input)
                .collect();
            let inputs = Tensor::from_vec(inputs, (windows.len(), length, INPUT), &device)?;
            self.unroll(&inputs, starts)?
                .reshape((windows.len() * length, HIDDEN))?
        };

        let mut batch = BatchBuilder::default();
        for (b, window) in windows.iter().enumerate() {
            counted(&window[..length], (b * length) as u32, &mut batch);
        }
        let batch = batch.build(&device)?;
        let (log_p, run) = self.heads(&hidden.index_select(&batch.rows, 0)?, &batch)?;
        let surprise = log_p.gather(&batch.targets, 1)?.squeeze(1)?.neg()?;
        let log_loss =
            ((&surprise * &batch.weights)?.sum_all()? / f64::from(whole.weight.max(1.0)))?;

        // Pinball loss in the logarithm: max(q e, (q - 1) e) with e = actual - predicted.
        let error = batch.run_time.broadcast_sub(&run)?;
        let levels = Tensor::new(&QUANTILE_LEVELS, &device)?.reshape((1, QUANTILES))?;
        let pinball = error
            .broadcast_mul(&levels)?
            .maximum(&error.broadcast_mul(&(&levels - 1.0)?)?)?;
        let run_loss = (pinball.broadcast_mul(&batch.run_known)?.sum_all()?
            / (whole.runs.max(1) * QUANTILES) as f64)?;

        let at_switch = batch.at_switch.sum_all()?.to_scalar::<f32>()?.max(1.0);
        let bits = (&surprise * &batch.at_switch)?
            .sum_all()?
            .to_scalar::<f32>()?
            / at_switch
            / std::f32::consts::LN_2;
        Ok(Loss {
            total: (log_loss + (run_loss * RUN_WEIGHT)?)?,
            bits,
            decisions: at_switch,
        })
    }
}

fn softplus(x: &Tensor) -> Result<Tensor> {
    // ln(1 + e^x) = x - ln sigmoid(x); the arguments stay small.
    x - sigmoid(x)?.log()?
}

/// candle's own forward step, one CPU's state at a time: the reference, and `--engine candle`.
#[derive(Debug)]
pub struct Reference {
    net: Net,
    states: Vec<Option<LSTMState>>,
}

impl Reference {
    pub fn new(weights: &Weights) -> Result<Self> {
        Ok(Self {
            net: Net::new(weights)?,
            states: Vec::new(),
        })
    }

    /// Takes other weights and keeps the states.
    pub fn swap(&mut self, weights: &Weights) -> Result<()> {
        self.net = Net::new(weights)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{busy_weights, view};
    use candle_core::backprop::GradStore;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    /// A window of switches with random views, refined ones too, all decided.
    fn window(random: &mut ChaCha8Rng) -> Vec<Frame> {
        let mut decided = |candidates| View {
            target: Some(candidates / 2),
            ..view(random, candidates)
        };
        let mut frames: Vec<Frame> = (0..WARM_UP + 20)
            .map(|i| Frame {
                at_switch: decided(1 + i % 5),
                refined: (i % 3 == 0).then(|| decided(2)),
                run_time: (i % 4 > 0).then_some(10.0 + i as f32 / 7.0),
                ..Frame::default()
            })
            .collect();
        for frame in &mut frames {
            frame.input = std::array::from_fn(|_| random.random_range(-1.0..1.0));
        }
        // Windows weigh by what counts in them.
        for frame in &mut frames[WARM_UP..WARM_UP + random.random_range(0..10)] {
            frame.at_switch.target = None;
        }
        frames
    }

    #[test]
    fn shares_of_windows_and_their_gradients_add_up_to_those_of_all() -> Result<()> {
        let net = Net::new(&busy_weights(4))?;
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let windows: Vec<Vec<Frame>> = (0..3).map(|_| window(&mut random)).collect();
        let windows: Vec<&[Frame]> = windows.iter().map(Vec::as_slice).collect();
        let all = net.loss(&windows, &[])?;
        let of_all = all.total.backward()?;

        let mut whole = Whole::default();
        for window in &windows {
            whole.add(window);
        }
        let (mut total, mut bits, mut decisions) = (0.0, 0.0, 0.0);
        let mut summed: Option<GradStore> = None;
        for window in &windows {
            let share = net.loss_in(&[window], &[], whole)?;
            total += share.total.to_scalar::<f32>()?;
            bits += share.bits * share.decisions;
            decisions += share.decisions;
            let gradients = share.total.backward()?;
            match &mut summed {
                Some(summed) => summed.extend(gradients)?,
                None => summed = Some(gradients),
            }
        }
        let summed = summed.expect("there are windows");
        let apart = (total - all.total.to_scalar::<f32>()?).abs();
        assert!(apart < 1e-4, "{apart}");
        let apart = (bits / decisions - all.bits).abs();
        assert!(apart < 1e-4, "{apart}");
        for var in net.variables() {
            let (a, b) = (of_all.get(&var), summed.get(&var));
            let (a, b) = (a.expect("it has one"), b.expect("it has one"));
            let most = a.abs()?.max_all()?.to_scalar::<f32>()?;
            let apart = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart <= 1e-4 * most.max(1e-2), "{apart} of {most}");
        }
        Ok(())
    }

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
