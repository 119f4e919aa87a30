//! The paper's network one switch at a time, over plain arrays.

use super::encoding::Encoded;
use super::parameters::{GATES, HIDDEN, LayerLayout, Layout};
use crate::model::{sigmoid, tanh};

/// State of the two layers.
#[derive(Clone, Debug)]
pub struct Stepper {
    layers: [State; 2],
    /// What the last step said: a number for each task, then the scaled time.
    pub out: Vec<f32>,
}

#[derive(Clone, Debug)]
struct State {
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

impl Stepper {
    /// A state of zeros.
    pub fn new(layout: &Layout) -> Self {
        let zeros = State {
            hidden: [0.0; HIDDEN],
            cell: [0.0; HIDDEN],
        };
        Self {
            layers: [zeros.clone(), zeros],
            out: vec![0.0; layout.width],
        }
    }

    /// Takes a switch that happened.
    pub fn step(&mut self, layout: &Layout, weights: &[f32], sample: Encoded) {
        let mut gates = bias(weights, &layout.first);
        let input = &weights[layout.first.input.clone()];
        if let Some(place) = sample.place {
            add(&mut gates, 1.0, &input[place as usize * GATES..]);
        }
        add(
            &mut gates,
            sample.time,
            &input[(layout.width - 1) * GATES..],
        );
        self.rest(layout, weights, gates);
    }

    /// Takes its own last output as if that had happened.
    pub fn feed_back(&mut self, layout: &Layout, weights: &[f32]) {
        let mut gates = bias(weights, &layout.first);
        let input = weights[layout.first.input.clone()].chunks_exact(GATES);
        for (x, row) in self.out.iter().zip(input) {
            add(&mut gates, *x, row);
        }
        self.rest(layout, weights, gates);
    }

    fn rest(&mut self, layout: &Layout, weights: &[f32], mut gates: [f32; GATES]) {
        let [first, second] = &mut self.layers;
        first.step(weights, &layout.first, &mut gates);
        let mut gates = bias(weights, &layout.second);
        let input = weights[layout.second.input.clone()].chunks_exact(GATES);
        for (x, row) in first.hidden.iter().zip(input) {
            add(&mut gates, *x, row);
        }
        second.step(weights, &layout.second, &mut gates);
        self.out.copy_from_slice(&weights[layout.out_bias.clone()]);
        let linear = weights[layout.out.clone()].chunks_exact(layout.width);
        for (x, row) in second.hidden.iter().zip(linear) {
            add(&mut self.out, *x, row);
        }
    }
}

impl State {
    fn step(&mut self, weights: &[f32], layout: &LayerLayout, gates: &mut [f32; GATES]) {
        let recurrent = weights[layout.hidden.clone()].chunks_exact(GATES);
        for (x, row) in self.hidden.iter().zip(recurrent) {
            add(gates, *x, row);
        }
        for i in 0..HIDDEN {
            let (input, forget) = (sigmoid(gates[i]), sigmoid(gates[HIDDEN + i]));
            let (new, out) = (tanh(gates[2 * HIDDEN + i]), sigmoid(gates[3 * HIDDEN + i]));
            self.cell[i] = forget * self.cell[i] + input * new;
            self.hidden[i] = out * tanh(self.cell[i]);
        }
    }
}

fn bias(weights: &[f32], layout: &LayerLayout) -> [f32; GATES] {
    let mut gates = [0.0; GATES];
    gates.copy_from_slice(&weights[layout.bias.clone()]);
    gates
}

fn add(sum: &mut [f32], scale: f32, row: &[f32]) {
    for (sum, w) in sum.iter_mut().zip(row) {
        *sum += scale * w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::network::{Batch, Network};

    #[test]
    fn steps_equal_the_batch() {
        let layout = Layout::new(4);
        let weights = layout.draw(5);
        let sequence: Vec<Encoded> = (0..40_u32)
            .map(|t| Encoded {
                place: Some(t * t % 4).filter(|place| *place < 3),
                time: (t % 5) as f32 / 5.0,
            })
            .collect();
        let mut stepper = Stepper::new(&layout);
        let mut squared = 0.0;
        for pair in sequence.windows(2) {
            stepper.step(&layout, &weights, pair[0]);
            let mut want = vec![0.0; layout.width];
            if let Some(place) = pair[1].place {
                want[place as usize] = 1.0;
            }
            want[layout.width - 1] = pair[1].time;
            let errors = stepper.out.iter().zip(&want);
            squared += errors
                .map(|(a, b)| f64::from((a - b) * (a - b)))
                .sum::<f64>();
        }
        let batch = Batch::new(&[sequence]);
        let loss = Network::default().loss(&layout, &weights, &batch);
        assert!(
            (loss.squared - squared).abs() < 1e-4,
            "{} {squared}",
            loss.squared
        );
    }

    #[test]
    fn its_own_output_is_an_input() {
        let layout = Layout::new(3);
        let weights = layout.draw(5);
        let mut a = Stepper::new(&layout);
        a.out = vec![0.0, 1.0, 0.25];
        let mut b = a.clone();
        a.feed_back(&layout, &weights);
        let sample = Encoded {
            place: Some(1),
            time: 0.25,
        };
        b.step(&layout, &weights, sample);
        for (a, b) in a.out.iter().zip(&b.out) {
            assert!((a - b).abs() < 1e-6);
        }
    }
}
