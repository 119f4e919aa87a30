//! The LSTM's steps over windows as one candle operation.
//!
//! As a graph of candle's own operations each step adds its share to the gradient of the recurrent weights, and candle holds all these sums until the
//! last one: most of what a training step took in memory.

use super::ragged::contiguous;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// Outputs `[T, B, H]` of an LSTM, given what its inputs and biases add to the gates, `[T, B, 4 H]` (input, forget, cell, output), and the recurrent
/// weights, `[4 H, H]`. Gradients by back-propagation through time (Werbos 1990).
pub(super) struct Recurrence {
    /// Hidden state and cell before the first step, `[B, H]` each.
    pub start: [Vec<f32>; 2],
}

/// What the steps went through.
struct Course {
    /// `[T, B, H]`
    outputs: Vec<f32>,
    cells: Vec<f32>,
    /// Open gates and the new cell's share, `[T, B, 4 H]`.
    gates: Vec<f32>,
}

/// Lengths.
#[derive(Clone, Copy)]
struct Dims {
    steps: usize,
    windows: usize,
    units: usize,
}

impl Dims {
    fn of(gates: &Shape, weights: &Shape) -> Result<Self> {
        let (steps, windows, width) = gates.dims3()?;
        let (rows, units) = weights.dims2()?;
        if width != 4 * units || rows != width {
            bail!("gates of {width} and weights of {rows} by {units} do not fit");
        }
        Ok(Self {
            steps,
            windows,
            units,
        })
    }

    /// Where a state stands: of a step and a window.
    fn at(self, step: usize, window: usize) -> std::ops::Range<usize> {
        let row = step * self.windows + window;
        row * self.units..(row + 1) * self.units
    }

    fn gates_at(self, step: usize, window: usize) -> std::ops::Range<usize> {
        let state = self.at(step, window);
        4 * state.start..4 * state.end
    }
}

/// `out += factor * row`
fn add_scaled(out: &mut [f32], factor: f32, row: &[f32]) {
    for (out, x) in out.iter_mut().zip(row) {
        *out += factor * x;
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Recurrence {
    /// A state of `all`, or of the start before the first step.
    fn before<'a>(
        &'a self,
        of: usize,
        all: &'a [f32],
        dims: Dims,
        step: usize,
        window: usize,
    ) -> &'a [f32] {
        match step.checked_sub(1) {
            Some(before) => &all[dims.at(before, window)],
            None => &self.start[of][dims.at(0, window)],
        }
    }

    fn course(&self, from_input: &[f32], weights: &[f32], dims: Dims) -> Course {
        let units = dims.units;
        // [H, 4 H]: rows to add, which the compiler vectorises.
        let mut columns = vec![0.0; weights.len()];
        for (row, of_gate) in weights.chunks_exact(units).enumerate() {
            for (unit, w) in of_gate.iter().enumerate() {
                columns[unit * 4 * units + row] = *w;
            }
        }
        let states = dims.steps * dims.windows * units;
        let mut course = Course {
            outputs: vec![0.0; states],
            cells: vec![0.0; states],
            gates: from_input.to_vec(),
        };
        for step in 0..dims.steps {
            for window in 0..dims.windows {
                let gates = &mut course.gates[dims.gates_at(step, window)];
                let hidden = self.before(0, &course.outputs, dims, step, window);
                for (h, column) in hidden.iter().zip(columns.chunks_exact(4 * units)) {
                    add_scaled(gates, *h, column);
                }
                for (i, gate) in gates.iter_mut().enumerate() {
                    *gate = if i / units == 2 {
                        gate.tanh()
                    } else {
                        sigmoid(*gate)
                    };
                }
                let cell: Vec<f32> = (self.before(1, &course.cells, dims, step, window).iter())
                    .enumerate()
                    .map(|(i, cell)| gates[units + i] * cell + gates[i] * gates[2 * units + i])
                    .collect();
                let outputs = &mut course.outputs[dims.at(step, window)];
                for (i, (output, cell)) in outputs.iter_mut().zip(&cell).enumerate() {
                    *output = gates[3 * units + i] * cell.tanh();
                }
                course.cells[dims.at(step, window)].copy_from_slice(&cell);
            }
        }
        course
    }

    /// Gradients of the gates before they open, `[T, B, 4 H]`, and of the weights, given that of the outputs.
    fn gradients(
        &self,
        course: &Course,
        weights: &[f32],
        of_outputs: &[f32],
        dims: Dims,
    ) -> [Vec<f32>; 2] {
        let units = dims.units;
        let mut of_gates = vec![0.0; course.gates.len()];
        let mut of_weights = vec![0.0; weights.len()];
        for window in 0..dims.windows {
            let mut of_hidden = vec![0.0; units];
            let mut of_cell = vec![0.0; units];
            for step in (0..dims.steps).rev() {
                let gates = &course.gates[dims.gates_at(step, window)];
                let of_gates = &mut of_gates[dims.gates_at(step, window)];
                let (now, cells) = (dims.at(step, window), &course.cells);
                let before = self.before(1, cells, dims, step, window);
                for i in 0..units {
                    let [input, forget, new, output] =
                        std::array::from_fn(|g| gates[g * units + i]);
                    let open = cells[now.start + i].tanh();
                    let of_output = of_outputs[now.start + i] + of_hidden[i];
                    let of_this = of_cell[i] + of_output * output * (1.0 - open * open);
                    of_gates[i] = of_this * new * input * (1.0 - input);
                    of_gates[units + i] = of_this * before[i] * forget * (1.0 - forget);
                    of_gates[2 * units + i] = of_this * input * (1.0 - new * new);
                    of_gates[3 * units + i] = of_output * open * output * (1.0 - output);
                    of_cell[i] = of_this * forget;
                }
                of_hidden.fill(0.0);
                let hidden = self.before(0, &course.outputs, dims, step, window);
                for (row, g) in of_gates.iter().enumerate() {
                    let row = row * units..(row + 1) * units;
                    add_scaled(&mut of_hidden, *g, &weights[row.clone()]);
                    add_scaled(&mut of_weights[row], *g, hidden);
                }
            }
        }
        [of_gates, of_weights]
    }
}

impl CustomOp2 for Recurrence {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dims = Dims::of(gates_layout.shape(), weights_layout.shape())?;
        if (self.start.iter()).any(|start| start.len() != dims.windows * dims.units) {
            bail!("a start is not of {} windows", dims.windows);
        }
        let gates = contiguous(gates, gates_layout)?;
        let weights = contiguous(weights, weights_layout)?;
        let course = self.course(gates, weights, dims);
        let shape = Shape::from((dims.steps, dims.windows, dims.units));
        Ok((CpuStorage::F32(course.outputs), shape))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        weights: &Tensor,
        _outputs: &Tensor,
        of_outputs: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dims = Dims::of(gates.shape(), weights.shape())?;
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let values = flat(weights)?;
        // Computed again: kept, it would be in memory for as long as the graph is.
        let course = self.course(&flat(gates)?, &values, dims);
        let [of_gates, of_weights] = self.gradients(&course, &values, &flat(of_outputs)?, dims);
        Ok((
            Some(Tensor::from_vec(of_gates, gates.shape(), gates.device())?),
            Some(Tensor::from_vec(
                of_weights,
                weights.shape(),
                weights.device(),
            )?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use candle_nn::ops::sigmoid;

    const STEPS: usize = 7;
    const WINDOWS: usize = 3;
    const UNITS: usize = 5;

    /// The same of candle's own operations.
    fn in_candle(gates: &Tensor, weights: &Tensor, start: &[Tensor; 2]) -> Result<Tensor> {
        let [mut h, mut c] = start.clone();
        let mut outputs = Vec::new();
        for step in 0..STEPS {
            let gates = (gates.get(step)? + h.matmul(&weights.t()?)?)?;
            let open = sigmoid(&gates)?;
            let gate = |i: usize| open.narrow(1, i * UNITS, UNITS);
            let new = gates.narrow(1, 2 * UNITS, UNITS)?.tanh()?;
            c = ((gate(1)? * c)? + (gate(0)? * new)?)?;
            h = (gate(3)? * c.tanh()?)?;
            outputs.push(h.clone());
        }
        Tensor::stack(&outputs, 0)
    }

    #[test]
    fn outputs_and_gradients_are_candles() -> Result<()> {
        let random = |dims: &[usize]| Tensor::randn(0.0_f32, 0.7, dims, &Device::Cpu);
        let gates = Var::from_tensor(&random(&[STEPS, WINDOWS, 4 * UNITS])?)?;
        let weights = Var::from_tensor(&random(&[4 * UNITS, UNITS])?)?;
        let start = [random(&[WINDOWS, UNITS])?, random(&[WINDOWS, UNITS])?];
        let of_outputs = random(&[STEPS, WINDOWS, UNITS])?;
        let op = Recurrence {
            start: [
                start[0].flatten_all()?.to_vec1()?,
                start[1].flatten_all()?.to_vec1()?,
            ],
        };
        let ours = gates.apply_op2(&weights, op)?;
        let theirs = in_candle(&gates, &weights, &start)?;
        let apart = |a: &Tensor, b: &Tensor| (a - b)?.abs()?.max_all()?.to_scalar::<f32>();
        assert!(apart(&ours, &theirs)? < 1e-6);
        let gradients = |outputs: Tensor| (outputs * &of_outputs)?.sum_all()?.backward();
        let (ours, theirs) = (gradients(ours)?, gradients(theirs)?);
        for var in [&gates, &weights] {
            let of = |gradients: &candle_core::backprop::GradStore| {
                gradients.get(var).cloned().expect("it has one")
            };
            let most = of(&theirs).abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(most > 0.1, "nothing to compare");
            assert!(apart(&of(&ours), &of(&theirs))? < 1e-5 * most.max(1.0));
        }
        Ok(())
    }

    #[test]
    fn gates_and_weights_that_do_not_fit_are_refused() -> Result<()> {
        let gates = Tensor::zeros((2, 1, 8), candle_core::DType::F32, &Device::Cpu)?;
        let weights = |units| Tensor::zeros((8, units), candle_core::DType::F32, &Device::Cpu);
        let of_start = |len| Recurrence {
            start: [vec![0.0; len], vec![0.0; len]],
        };
        assert!(gates.apply_op2(&weights(2)?, of_start(2)).is_ok());
        assert!(gates.apply_op2(&weights(3)?, of_start(2)).is_err());
        assert!(gates.apply_op2(&weights(2)?, of_start(4)).is_err());
        Ok(())
    }
}
