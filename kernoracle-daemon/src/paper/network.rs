//! The paper's network: two LSTM layers and a linear one, from each switch to the vector of the next; mean squared error.
//!
//! The shape is that of PyTorch's example `time_sequence_prediction`, which the paper follows: `LSTMCell` of 51, twice, and `Linear`.

use super::encoding::Encoded;
use super::layer::{Tape, add_rows, backward, forward};
use super::matrix::{Matrix, add_product};
use super::parameters::{GATES, HIDDEN, Layout};

/// Sequences of one length, each of which starts from a state of zeros.
#[derive(Clone, Debug)]
pub struct Batch {
    sequences: usize,
    /// `[time, sequence]`; the last time is only ever an answer.
    samples: Vec<Encoded>,
}

/// What a pass over a batch gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum of squared errors over all numbers of all answers.
    pub squared: f64,
    /// Numbers in all answers.
    pub numbers: u64,
    /// Answers, and those whose greatest number among the tasks' was the right one's.
    pub answers: u64,
    pub hits: u64,
}

impl Loss {
    pub fn mse(&self) -> f64 {
        self.squared / self.numbers.max(1) as f64
    }

    pub fn top1(&self) -> f64 {
        self.hits as f64 / self.answers.max(1) as f64
    }

    pub fn add(&mut self, other: &Self) {
        self.squared += other.squared;
        self.numbers += other.numbers;
        self.answers += other.answers;
        self.hits += other.hits;
    }
}

impl Batch {
    /// # Panics
    ///
    /// If the sequences differ in length or have less than two switches.
    pub fn new(sequences: &[Vec<Encoded>]) -> Self {
        let length = sequences.first().map_or(0, Vec::len);
        assert!(length >= 2, "a switch and its answer");
        assert!(sequences.iter().all(|s| s.len() == length), "one length");
        Self {
            sequences: sequences.len(),
            samples: (0..length)
                .flat_map(|time| sequences.iter().map(move |sequence| sequence[time]))
                .collect(),
        }
    }

    fn inputs(&self) -> &[Encoded] {
        &self.samples[..self.samples.len() - self.sequences]
    }

    fn answers(&self) -> &[Encoded] {
        &self.samples[self.sequences..]
    }

    /// How many numbers the answers have.
    pub fn numbers(&self, width: usize) -> u64 {
        (self.answers().len() * width) as u64
    }
}

/// Index of the greatest number; of equals the first.
pub fn greatest(values: &[f32]) -> Option<usize> {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (0..values.len()).reduce(better)
}

/// Scratch space, kept to be used again.
#[derive(Debug, Default)]
pub struct Network {
    first: Tape,
    second: Tape,
    out: Vec<f32>,
    d_hidden: Vec<f32>,
}

impl Network {
    /// The loss over `batch`.
    pub fn loss(&mut self, layout: &Layout, weights: &[f32], batch: &Batch) -> Loss {
        let width = layout.width;
        let rows = batch.inputs().len();
        let gates = &mut self.first.gates;
        gates.clear();
        let input = &weights[layout.first.input.clone()];
        let row = |i: usize| &input[i * GATES..][..GATES];
        for sample in batch.inputs() {
            let at = gates.len();
            gates.extend_from_slice(&weights[layout.first.bias.clone()]);
            let gates = &mut gates[at..];
            if let Some(place) = sample.place {
                add_rows(gates, row(place as usize));
            }
            for (gate, w) in gates.iter_mut().zip(row(width - 1)) {
                *gate += sample.time * w;
            }
        }
        forward(weights, &layout.first, batch.sequences, &mut self.first);

        let gates = &mut self.second.gates;
        gates.clear();
        for _ in 0..rows {
            gates.extend_from_slice(&weights[layout.second.bias.clone()]);
        }
        let input = Matrix::new(&weights[layout.second.input.clone()], HIDDEN, GATES);
        add_product(gates, Matrix::new(&self.first.hidden, rows, HIDDEN), input);
        forward(weights, &layout.second, batch.sequences, &mut self.second);

        self.out.clear();
        for _ in 0..rows {
            self.out
                .extend_from_slice(&weights[layout.out_bias.clone()]);
        }
        let linear = Matrix::new(&weights[layout.out.clone()], HIDDEN, width);
        let hidden = Matrix::new(&self.second.hidden, rows, HIDDEN);
        add_product(&mut self.out, hidden, linear);

        let mut loss = Loss {
            numbers: batch.numbers(width),
            answers: rows as u64,
            ..Loss::default()
        };
        for (out, answer) in self.out.chunks_exact_mut(width).zip(batch.answers()) {
            let best = greatest(&out[..width - 1]).map(|i| i as u32);
            loss.hits += u64::from(best.is_some() && best == answer.place);
            if let Some(place) = answer.place {
                out[place as usize] -= 1.0;
            }
            out[width - 1] -= answer.time;
            loss.squared += out.iter().map(|e| f64::from(e * e)).sum::<f64>();
        }
        loss
    }

    /// The loss over `batch`, and adds to `gradient` that of the squared errors' sum divided by `numbers`.
    pub fn gradient(
        &mut self,
        layout: &Layout,
        weights: &[f32],
        batch: &Batch,
        numbers: u64,
        gradient: &mut [f32],
    ) -> Loss {
        let loss = self.loss(layout, weights, batch);
        let (width, sequences) = (layout.width, batch.sequences);
        let rows = batch.inputs().len();
        let scale = (2.0 / numbers as f64) as f32;
        // `out` holds the errors now.
        for error in &mut self.out {
            *error *= scale;
        }
        let errors = Matrix::new(&self.out, rows, width);
        let hidden = Matrix::new(&self.second.hidden, rows, HIDDEN);
        add_product(&mut gradient[layout.out.clone()], hidden.t(), errors);
        add_rows(&mut gradient[layout.out_bias.clone()], &self.out);

        let linear = Matrix::new(&weights[layout.out.clone()], HIDDEN, width);
        self.d_hidden.clear();
        self.d_hidden.resize(rows * HIDDEN, 0.0);
        add_product(&mut self.d_hidden, errors, linear.t());
        let (layer, tape, d_hidden) = (&layout.second, &mut self.second, &mut self.d_hidden);
        backward(weights, layer, sequences, tape, d_hidden, gradient);
        let d_gates = Matrix::new(&tape.gates, rows, GATES);
        let below = Matrix::new(&self.first.hidden, rows, HIDDEN);
        add_product(&mut gradient[layer.input.clone()], below.t(), d_gates);

        let input = Matrix::new(&weights[layer.input.clone()], HIDDEN, GATES);
        d_hidden.fill(0.0);
        add_product(d_hidden, d_gates, input.t());
        let (layer, tape) = (&layout.first, &mut self.first);
        backward(weights, layer, sequences, tape, d_hidden, gradient);
        let (places, time) = gradient[layer.input.clone()].split_at_mut((width - 1) * GATES);
        for (gates, sample) in tape.gates.chunks_exact(GATES).zip(batch.inputs()) {
            if let Some(place) = sample.place {
                add_rows(&mut places[place as usize * GATES..][..GATES], gates);
            }
            for (sum, gate) in time.iter_mut().zip(gates) {
                *sum += sample.time * gate;
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::Reference;
    use candle_core::{Result, Tensor};

    /// The same loss in candle, with its own gradients.
    fn candle(
        layout: &Layout,
        weights: &[f32],
        sequences: &[Vec<Encoded>],
    ) -> Result<(f32, Vec<f32>)> {
        let network = Reference::new(layout, weights)?;
        let (count, length) = (sequences.len(), sequences[0].len());
        let vectors = |time: usize| {
            let mut values = vec![0.0_f32; count * layout.width];
            for (row, sequence) in values.chunks_exact_mut(layout.width).zip(sequences) {
                sequence[time].write(row);
            }
            values
        };
        let mut state = Reference::zeros(count)?;
        let mut losses = Vec::new();
        for time in 0..length - 1 {
            let out = network.step(&mut state, vectors(time))?;
            let answer = Tensor::from_vec(vectors(time + 1), out.shape(), out.device())?;
            losses.push((out - answer)?.sqr()?);
        }
        let loss = Tensor::stack(&losses, 0)?.mean_all()?;
        let gradients = loss.backward()?;
        let mut flat = Vec::new();
        for var in &network.vars {
            let gradient = gradients.get(var).expect("each weight matters");
            flat.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((loss.to_scalar()?, flat))
    }

    #[test]
    fn loss_and_gradient_equal_candles() {
        let layout = Layout::new(6);
        let weights = layout.draw(3);
        let sequences: Vec<Vec<Encoded>> = (0..4_u32)
            .map(|s| {
                let encoded = |t: u32| Encoded {
                    place: Some((t * t + s * 3) % 7).filter(|place| *place < 5),
                    time: ((t * 5 + s) % 11) as f32 / 11.0,
                };
                (0..9).map(encoded).collect()
            })
            .collect();
        let batch = Batch::new(&sequences);
        let mut gradient = vec![0.0; layout.count()];
        let numbers = batch.numbers(layout.width);
        let loss = Network::default().gradient(&layout, &weights, &batch, numbers, &mut gradient);
        let (want_loss, want) = candle(&layout, &weights, &sequences).expect("candle runs");
        assert!(
            (loss.mse() - f64::from(want_loss)).abs() < 1e-6,
            "{loss:?} {want_loss}"
        );
        let largest = want.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!(largest > 1e-3, "{largest}");
        for (i, (ours, theirs)) in gradient.iter().zip(&want).enumerate() {
            assert!(
                (ours - theirs).abs() < 1e-5 * largest.max(1.0),
                "{i}: {ours} {theirs}"
            );
        }
    }
}
