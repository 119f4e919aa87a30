//! AdamW (Loshchilov and Hutter 2019) with moments that can be saved, and rate and decay of its own for each variable.

use candle_core::{Result, Tensor, Var};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A variable and what is remembered of its gradients.
#[derive(Debug)]
pub(crate) struct Slot {
    pub name: &'static str,
    pub var: Var,
    /// Times the common rate.
    pub rate: f64,
    pub decay: f64,
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// The optimiser.
#[derive(Debug)]
pub(crate) struct AdamW {
    pub slots: Vec<Slot>,
    pub steps: u64,
}

impl AdamW {
    /// For variables with name, factor of the rate, and weight decay.
    pub fn new(variables: Vec<(&'static str, Var, f64, f64)>) -> Self {
        let slots = variables.into_iter().map(|(name, var, rate, decay)| {
            let len = var.elem_count();
            Slot {
                name,
                var,
                rate,
                decay,
                first: vec![0.0; len],
                second: vec![0.0; len],
            }
        });
        Self {
            slots: slots.collect(),
            steps: 0,
        }
    }

    /// One step. `gradients` are in the order of the variables, flat.
    pub fn step(&mut self, gradients: &[Vec<f32>], rate: f64) -> Result<()> {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let scale1 = 1.0 / (1.0 - BETA1.powi(steps));
        let scale2 = 1.0 / (1.0 - BETA2.powi(steps));
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            let rate = rate * slot.rate;
            let kept = 1.0 - rate * slot.decay;
            let mut values = slot.var.flatten_all()?.to_vec1::<f32>()?;
            let moments = slot.first.iter_mut().zip(&mut slot.second);
            for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
                let g = f64::from(*g);
                let m = f64::from(*first) * BETA1 + g * (1.0 - BETA1);
                let v = f64::from(*second) * BETA2 + g * g * (1.0 - BETA2);
                let adjusted = m * scale1 / ((v * scale2).sqrt() + EPSILON);
                *value = (f64::from(*value) * kept - rate * adjusted) as f32;
                (*first, *second) = (m as f32, v as f32);
            }
            let shape = slot.var.shape().clone();
            slot.var
                .set(&Tensor::from_vec(values, shape, slot.var.device())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use candle_nn::{Optimizer as _, ParamsAdamW};

    #[test]
    fn steps_equal_candles_own() {
        let start = Tensor::randn(0.0_f32, 1.0, (4, 6), &Device::Cpu).expect("a tensor");
        let goal = Tensor::randn(0.0_f32, 1.0, (4, 6), &Device::Cpu).expect("a tensor");
        let (a, b) = (
            Var::from_tensor(&start).expect("a variable"),
            Var::from_tensor(&start.copy().expect("a copy")).expect("a variable"),
        );
        let (rate, decay) = (0.03, 0.2);
        let mut ours = AdamW::new(vec![("a", a.clone(), 1.0, decay)]);
        let parameters = ParamsAdamW {
            lr: rate,
            weight_decay: decay,
            ..ParamsAdamW::default()
        };
        let mut candles = candle_nn::AdamW::new(vec![b.clone()], parameters).expect("an optimiser");
        let gradients = |var: &Var| {
            (var.as_tensor() - &goal)
                .and_then(|d| d.powf(4.0)?.sum_all()?.backward())
                .expect("gradients")
        };
        for step in 0..50 {
            let g = gradients(&a)
                .get(&a)
                .and_then(|g| g.flatten_all().ok()?.to_vec1::<f32>().ok())
                .expect("a gradient");
            ours.step(&[g], rate).expect("a step");
            candles.step(&gradients(&b)).expect("a step");
            let apart: f32 = (a.as_tensor() - b.as_tensor())
                .and_then(|d| d.abs()?.max_all()?.to_scalar())
                .expect("a number");
            assert!(apart < 1e-5, "step {step}: {apart}");
        }
    }
}
