//! Training of network and linear parts together, on windows that were kept.

use super::adamw::AdamW;
use super::forward::{Lstm, Scores, score};
use super::frame::{Frame, View};
use super::linear::Linear;
use super::loss::WARM_UP;
use super::model::Model;
use super::net::{Net, Role};
use super::packed::{Packed, Sequence};
use super::weights::Weights;
use crate::parallel;
use candle_core::Result;
use std::collections::BTreeMap;

/// Windows whose gradient is computed at once. Fixed, so that the sum does not depend on the number of threads.
const PIECE: usize = 8;
/// Gradients longer than this are shortened to it.
const MAX_NORM: f64 = 1.0;

/// Factor of the rate and weight decay. The weights of single situations stay small, so that the shared ones carry what
/// holds everywhere.
fn tempo(role: Role) -> (f64, f64) {
    match role {
        Role::Network => (1.0, 0.02),
        Role::Shared | Role::RunTime => (1.0, 0.001),
        Role::Selected => (0.3, 0.3),
    }
}

/// Trains a model.
#[derive(Debug)]
pub struct Pretrainer {
    net: Net,
    optimiser: AdamW,
}

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Mean log-loss of the at-switch predictions before the step, bits.
    pub bits: f32,
    /// Length of the gradient before it was shortened.
    pub norm: f64,
}

/// The optimiser's memory, by variable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub steps: u64,
    /// First and second moment of each variable, flat.
    pub by_name: BTreeMap<String, [Vec<f32>; 2]>,
}

impl Pretrainer {
    /// Trains on from `model`.
    pub fn new(model: &Model) -> Result<Self> {
        let net = Net::pretraining(&model.weights, &model.linear)?;
        let variables = net.named_variables().into_iter();
        let variables = variables.map(|(name, role, var)| {
            let (rate, decay) = tempo(role);
            (name, var, rate, decay)
        });
        let optimiser = AdamW::new(variables.collect());
        Ok(Self { net, optimiser })
    }

    /// One step at `rate` on windows of equal length. `None` where the gradient is not finite: then nothing has changed.
    pub fn step(&mut self, windows: &[&Packed], rate: f64, threads: usize) -> Result<Option<Step>> {
        let pieces: Vec<&[&Packed]> = windows.chunks(PIECE).collect();
        let results = parallel::map(threads, &pieces, |piece| self.piece(piece));
        let mut sum: Vec<Vec<f32>> = Vec::new();
        let mut bits = 0.0;
        for (piece, result) in pieces.iter().zip(results) {
            let result = result?;
            let weight = piece.len() as f32 / windows.len() as f32;
            bits += result.bits * weight;
            if sum.is_empty() {
                sum = result
                    .gradients
                    .iter()
                    .map(|g| vec![0.0; g.len()])
                    .collect();
            }
            for (sum, gradient) in sum.iter_mut().zip(&result.gradients) {
                for (sum, g) in sum.iter_mut().zip(gradient) {
                    *sum += weight * g;
                }
            }
        }
        let squares: f64 = sum.iter().flatten().map(|g| f64::from(*g).powi(2)).sum();
        let norm = squares.sqrt();
        if !norm.is_finite() || !bits.is_finite() {
            return Ok(None);
        }
        if norm > MAX_NORM {
            let factor = (MAX_NORM / norm) as f32;
            for g in sum.iter_mut().flatten() {
                *g *= factor;
            }
        }
        self.optimiser.step(&sum, rate)?;
        Ok(Some(Step { bits, norm }))
    }

    fn piece(&self, windows: &[&Packed]) -> Result<Piece> {
        let windows: Vec<Sequence> = windows.iter().map(|window| window.unpack()).collect();
        let frames: Vec<&[Frame]> = windows.iter().map(|w| w.frames.as_slice()).collect();
        let starts: Vec<&Lstm> = windows.iter().map(|w| &w.start).collect();
        let loss = self.net.loss(&frames, &starts)?;
        let gradients = loss.total.backward()?;
        let flat = |slot: &super::adamw::Slot| match gradients.get(&slot.var) {
            Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
            None => Ok(vec![0.0; slot.first.len()]),
        };
        let gradients: Result<Vec<_>> = self.optimiser.slots.iter().map(flat).collect();
        Ok(Piece {
            gradients: gradients?,
            bits: loss.bits,
        })
    }

    /// The present weights.
    pub fn weights(&self) -> Result<(Weights, Linear)> {
        Ok((self.net.weights()?, self.net.linear()?))
    }

    /// The optimiser's memory.
    pub fn moments(&self) -> Moments {
        let by_name = self.optimiser.slots.iter().map(|slot| {
            let moments = [slot.first.clone(), slot.second.clone()];
            (slot.name.to_owned(), moments)
        });
        Moments {
            steps: self.optimiser.steps,
            by_name: by_name.collect(),
        }
    }

    /// Takes over what [`Self::moments`] gave. `false` if it is of another model: then nothing has changed.
    pub fn set_moments(&mut self, moments: &Moments) -> bool {
        let slots = &mut self.optimiser.slots;
        let fits = slots.len() == moments.by_name.len()
            && slots.iter().all(|slot| {
                moments
                    .by_name
                    .get(slot.name)
                    .is_some_and(|[first, second]| {
                        first.len() == slot.first.len() && second.len() == slot.second.len()
                    })
            });
        if fits {
            self.optimiser.steps = moments.steps;
            for slot in slots {
                let [first, second] = &moments.by_name[slot.name];
                slot.first.clone_from(first);
                slot.second.clone_from(second);
            }
        }
        fits
    }
}

/// The gradient of some windows.
struct Piece {
    gradients: Vec<Vec<f32>>,
    bits: f32,
}

/// Sums over decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub decisions: u64,
    pub hits: u64,
    pub bits: f64,
}

impl Tally {
    fn add(&mut self, p: &[f32], target: usize) {
        // The last candidate stands for all that are not listed: naming it is no hit.
        let listed = p.len() - 1;
        let best = (0..listed).max_by(|&a, &b| p[a].total_cmp(&p[b]).then(b.cmp(&a)));
        self.decisions += 1;
        self.hits += u64::from(best == Some(target));
        self.bits -= f64::from(p[target].max(1e-9)).log2();
    }

    /// Adds another one's sums.
    pub fn merge(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.hits += other.hits;
        self.bits += other.bits;
    }

    /// Share of decisions whose first choice was right.
    pub fn top1(&self) -> f64 {
        self.hits as f64 / self.decisions.max(1) as f64
    }

    /// Mean log-loss.
    pub fn mean_bits(&self) -> f64 {
        self.bits / self.decisions.max(1) as f64
    }
}

/// Scores a window with the plain forward step, at-switch and refined: after the last wake-up, or where nothing woke as at the switch.
/// The warm-up is left out.
pub fn assess(weights: &Weights, linear: &Linear, window: &Packed) -> (Tally, Tally) {
    let Sequence { start, mut frames } = window.unpack();
    let mut lstm = start;
    let mut scores = Scores::default();
    let (mut at_switch, mut refined) = (Tally::default(), Tally::default());
    for (t, frame) in frames.iter_mut().enumerate() {
        if !weights.without.lstm {
            lstm.step(weights, &frame.input);
        }
        if t < WARM_UP {
            continue;
        }
        let mut tally = |view: &mut View, is_refined: bool| {
            let mut tally = Tally::default();
            if let Some(target) = view.target {
                linear.candidates.score(is_refined, view);
                linear.run.shift(view);
                score(weights, &lstm.hidden, view, &mut scores);
                tally.add(&scores.p, target);
            }
            tally
        };
        let standing = tally(&mut frame.at_switch, false);
        at_switch.merge(standing);
        refined.merge(match &mut frame.refined {
            Some(view) => tally(view, true),
            None => standing,
        });
    }
    (at_switch, refined)
}
