//! What training minimises: the log-loss of predictions and the pinball loss of run times, over windows.

use super::batch::{Batch, BatchBuilder};
use super::forward::Lstm;
use super::frame::{Frame, QUANTILE_LEVELS};
use super::net::Net;
use super::weights::shape::{HIDDEN, INPUT, QUANTILES};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};

/// Switches at a window's start whose predictions do not count: the LSTM starts from zero there, not in its stream.
pub(super) const WARM_UP: usize = 8;
/// Weight of refined predictions and of the run-time head beside the at-switch log-loss.
const REFINED_WEIGHT: f32 = 0.5;
const RUN_WEIGHT: f64 = 0.3;
/// Candidates whose scores and gradients are in memory at once where memory counts.
const PART: usize = 400;

/// A training loss.
pub(super) struct Loss {
    /// What is minimised.
    pub total: Tensor,
    /// Mean log-loss of the at-switch predictions, bits.
    pub bits: f32,
}

/// What some predictions add to the mean loss of all.
struct Share {
    total: Tensor,
    /// Sum of the log-loss of the at-switch predictions, bits, and how many these are.
    bits: f32,
    decisions: f32,
}

/// Shares added up.
#[derive(Default)]
struct Sum {
    gradients: Option<GradStore>,
    bits: f32,
    decisions: f32,
}

impl Sum {
    fn add(&mut self, gradients: GradStore) -> Result<()> {
        match &mut self.gradients {
            Some(sum) => sum.extend(gradients)?,
            None => self.gradients = Some(gradients),
        }
        Ok(())
    }
}

/// What a loss is the mean over.
#[derive(Clone, Copy, Debug, Default)]
struct Whole {
    /// Sum of the predictions' weights.
    weight: f32,
    /// Run times that are known.
    runs: usize,
}

impl Whole {
    /// A window more.
    fn add(&mut self, window: &[Frame]) {
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

impl Net {
    /// Mean loss over windows of equal length, each a slice of frames without a gap. `starts` is the LSTM's state before each
    /// window; zero without.
    pub(super) fn loss(&self, windows: &[&[Frame]], starts: &[&Lstm]) -> Result<Loss> {
        let mut whole = Whole::default();
        for window in windows {
            whole.add(window);
        }
        let length = windows.iter().map(|window| window.len()).min().unwrap_or(0);
        let mut batch = BatchBuilder::default();
        for (b, window) in windows.iter().enumerate() {
            counted(&window[..length], (b * length) as u32, &mut batch);
        }
        let hidden = self.hidden(windows, starts)?;
        let share = self.share(&hidden, &batch.build(&Device::Cpu)?, whole)?;
        Ok(Loss {
            total: share.total,
            bits: share.bits / share.decisions.max(1.0),
        })
    }

    /// Gradients of [`Self::loss`], without starts, and its bits: of one window at a time and a part of its predictions at a time, or the tensors of
    /// all would be most of the daemon's memory. For the same reason each window is asked for twice, rather than kept.
    pub(super) fn gradients(
        &self,
        windows: impl Iterator<Item = Vec<Frame>> + Clone,
    ) -> Result<(GradStore, f32)> {
        let mut whole = Whole::default();
        for window in windows.clone() {
            whole.add(&window);
        }
        let mut sum = Sum::default();
        for window in windows {
            self.add_gradients(&window, whole, &mut sum)?;
        }
        let Some(gradients) = sum.gradients else {
            bail!("no prediction to learn from");
        };
        Ok((gradients, sum.bits / sum.decisions.max(1.0)))
    }

    /// Adds a window's share: first the gradients of the heads and, part by part, of the LSTM's outputs; then from these the LSTM's own.
    fn add_gradients(&self, window: &[Frame], whole: Whole, sum: &mut Sum) -> Result<()> {
        let hidden = self.hidden(&[window], &[])?;
        let outputs = Var::from_tensor(&hidden.detach())?;
        let mut of_outputs: Option<Tensor> = None;
        let mut batch = BatchBuilder::default();
        counted(window, 0, &mut batch);
        for part in batch.parts(PART) {
            let share = self.share(&outputs, &part.build(&Device::Cpu)?, whole)?;
            sum.bits += share.bits;
            sum.decisions += share.decisions;
            let mut gradients = share.total.backward()?;
            if let Some(more) = gradients.remove(&outputs) {
                of_outputs = Some(match of_outputs {
                    Some(sum) => (sum + more)?,
                    None => more,
                });
            }
            sum.add(gradients)?;
        }
        if let (false, Some(of_outputs)) = (self.without.lstm, of_outputs) {
            // What has these gradients for its outputs.
            let through = (hidden * of_outputs.detach())?.sum_all()?;
            sum.add(through.backward()?)?;
        }
        Ok(())
    }

    /// Mean log-loss of a window's at-switch predictions, bits: [`Self::loss`] says the same, and takes more memory.
    pub(super) fn bits(&self, window: &[Frame]) -> Result<f32> {
        let hidden = self.hidden(&[window], &[])?.detach();
        let mut batch = BatchBuilder::default();
        counted(window, 0, &mut batch);
        let (mut bits, mut decisions) = (0.0, 0.0_f32);
        for part in batch.parts(PART) {
            let share = self.share(&hidden, &part.build(&Device::Cpu)?, Whole::default())?;
            bits += share.bits;
            decisions += share.decisions;
        }
        Ok(bits / decisions.max(1.0))
    }

    /// The LSTM's output at each switch of some windows of equal length: `[windows * length, HIDDEN]`.
    fn hidden(&self, windows: &[&[Frame]], starts: &[&Lstm]) -> Result<Tensor> {
        let length = windows.iter().map(|window| window.len()).min().unwrap_or(0);
        let rows = windows.len() * length;
        if self.without.lstm {
            return Tensor::zeros((rows, HIDDEN), DType::F32, &Device::Cpu);
        }
        let inputs: Vec<f32> = windows
            .iter()
            .flat_map(|window| &window[..length])
            .flat_map(|frame| frame.input)
            .collect();
        let inputs = Tensor::from_vec(inputs, (windows.len(), length, INPUT), &Device::Cpu)?;
        self.unroll(&inputs, starts)?.reshape((rows, HIDDEN))
    }

    /// The share of these predictions in the mean loss of all that `whole` counts: such shares add up to it.
    fn share(&self, hidden: &Tensor, batch: &Batch, whole: Whole) -> Result<Share> {
        let (log_p, run) = self.heads(&hidden.index_select(&batch.rows, 0)?, batch)?;
        let surprise = log_p.gather(&batch.targets, 1)?.squeeze(1)?.neg()?;
        let log_loss =
            ((&surprise * &batch.weights)?.sum_all()? / f64::from(whole.weight.max(1.0)))?;

        // Pinball loss in the logarithm: max(q e, (q - 1) e) with e = actual - predicted.
        let error = batch.run_time.broadcast_sub(&run)?;
        let levels = Tensor::new(&QUANTILE_LEVELS, &Device::Cpu)?.reshape((1, QUANTILES))?;
        let pinball = error
            .broadcast_mul(&levels)?
            .maximum(&error.broadcast_mul(&(&levels - 1.0)?)?)?;
        let run_loss = (pinball.broadcast_mul(&batch.run_known)?.sum_all()?
            / (whole.runs.max(1) * QUANTILES) as f64)?;

        let surprise = (&surprise * &batch.at_switch)?.sum_all()?;
        Ok(Share {
            total: (log_loss + (run_loss * RUN_WEIGHT)?)?,
            bits: surprise.to_scalar::<f32>()? / std::f32::consts::LN_2,
            decisions: batch.at_switch.sum_all()?.to_scalar::<f32>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::View;
    use crate::model::tests::{busy_weights, view};
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    /// A window of switches with random views, refined ones too, all decided.
    fn window(random: &mut ChaCha8Rng) -> Vec<Frame> {
        let mut decided = |candidates| View {
            target: Some(candidates / 2),
            ..view(random, candidates)
        };
        let mut frames: Vec<Frame> = (0..WARM_UP + 40)
            .map(|i| Frame {
                at_switch: Box::new(decided(16 + i % 16)),
                refined: (i % 3 == 0).then(|| Box::new(decided(2))),
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
    fn gradients_part_by_part_are_those_of_all_at_once() -> Result<()> {
        let net = Net::new(&busy_weights(4))?;
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let windows: Vec<Vec<Frame>> = (0..3).map(|_| window(&mut random)).collect();
        let slices: Vec<&[Frame]> = windows.iter().map(Vec::as_slice).collect();
        let all = net.loss(&slices, &[])?;
        let want = all.total.backward()?;
        let mut batch = BatchBuilder::default();
        counted(&windows[0], 0, &mut batch);
        assert!(batch.parts(PART).len() > 1, "one part: nothing is added up");
        let (got, bits) = net.gradients(windows.iter().cloned())?;
        let apart = (bits - all.bits).abs();
        assert!(apart < 1e-4, "{bits} and {} bits", all.bits);
        let one = net.bits(&windows[0])? - net.loss(&slices[..1], &[])?.bits;
        assert!(one.abs() < 1e-4, "{one} bits more part by part");
        for var in net.variables() {
            let of = |gradients: &GradStore| gradients.get(&var).cloned().expect("it has one");
            let (want, got) = (of(&want), of(&got));
            let most = want.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(most > 0.0, "nothing to compare");
            let apart = (want - got)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart <= 1e-4 * most, "{apart} of {most}");
        }
        Ok(())
    }
}
