//! Trains the paper's model, epoch by epoch.

use super::checkpoint::{PaperModel, PaperTraining};
use super::encoding::{Encoded, Encoding};
use super::lbfgs::Lbfgs;
use super::network::{Batch, Loss, Network};
use super::parameters::Layout;
use super::sequence::{Sequence, SequenceError};
use crate::model::{AdamW, CheckpointError};
use crate::parallel;
use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Sequences that are computed together: memory is about 80 MB for sequences of 1,000.
const TOGETHER: usize = 32;
/// Passes of AdamW in an epoch: as many as L-BFGS makes iterations.
const PASSES: usize = 20;
/// Learning rate of AdamW.
const RATE: f64 = 5e-3;

/// What moves the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// All sequences at once, as in the paper; 20 iterations are an epoch.
    Lbfgs,
    /// 32 sequences at a time; 20 passes are an epoch.
    AdamW,
}

impl Optimizer {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lbfgs => "L-BFGS",
            Self::AdamW => "AdamW",
        }
    }
}

/// Set-up of a training.
#[derive(Clone, Debug)]
pub struct PaperPlan {
    pub seed: u64,
    pub epochs: u32,
    pub optimizer: Optimizer,
    /// Share of the switches, at the end, that is not trained on.
    pub test: f64,
    /// Sequences at most, and switches in each.
    pub sequences: usize,
    pub length: usize,
    /// The outcome does not depend on their number.
    pub threads: usize,
}

/// Why it cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
    #[error("{}: too short: {training} sequences of {length} switches without a gap in the training part and {test} in the test part; both need one: record longer, or give a shorter --sequence-length", path.display())]
    TooShort {
        path: PathBuf,
        length: usize,
        training: usize,
        test: usize,
    },
    #[error("epoch {epoch} led to numbers that are not finite; try another --seed")]
    Diverged { epoch: u32 },
}

/// What came of an epoch; mean squared errors are per number of the encoded vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaperEpoch {
    /// 0 is before training.
    pub number: u32,
    pub train_mse: f64,
    pub test_mse: f64,
    /// Share of the test part's switches whose task had the greatest number.
    pub test_top1: f64,
    /// Times that loss and gradient over the training sequences were computed.
    pub evaluations: usize,
    /// There was no way down any more.
    pub converged: bool,
}

enum Moved {
    Lbfgs(Box<Lbfgs>),
    AdamW { optimizer: AdamW, var: Var },
}

/// Scratch space, one for each thread that wants some at a time.
#[derive(Default)]
struct Pool(Mutex<Vec<Network>>);

impl Pool {
    fn with<R>(&self, work: impl FnOnce(&mut Network) -> R) -> R {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut network = kept().pop().unwrap_or_default();
        let result = work(&mut network);
        kept().push(network);
        result
    }

    /// Loss over a batch, and the gradient of its squared errors' sum divided by `numbers`.
    fn gradient(
        &self,
        layout: &Layout,
        weights: &[f32],
        batch: &Batch,
        numbers: u64,
    ) -> (Loss, Vec<f32>) {
        let mut gradient = vec![0.0; layout.count()];
        let loss =
            self.with(|network| network.gradient(layout, weights, batch, numbers, &mut gradient));
        (loss, gradient)
    }
}

/// A training under way.
pub struct PaperTrainer {
    plan: PaperPlan,
    file: String,
    encoding: Encoding,
    layout: Layout,
    trained_switches: usize,
    training: Vec<Batch>,
    test: Vec<Batch>,
    sequences: usize,
    moved: Moved,
    networks: Pool,
    epochs: Vec<PaperEpoch>,
}

impl PaperTrainer {
    /// `path` is that of the sequence, for names and errors.
    pub fn new(plan: PaperPlan, sequence: &Sequence, path: PathBuf) -> Result<Self, PaperError> {
        let cut = sequence.test_from(plan.test);
        let encoding = Encoding::new(&sequence.names, &sequence.samples[..cut]);
        let places = encoding.places(sequence);
        let layout = Layout::new(encoding.width());
        let encoded = |range: std::ops::Range<usize>| -> Vec<Vec<Encoded>> {
            let starts = starts(sequence, range, plan.length, plan.sequences);
            let of = |start: &usize| {
                let samples = &sequence.samples[*start..start + plan.length];
                samples
                    .iter()
                    .map(|s| encoding.encode(&places, *s))
                    .collect()
            };
            starts.iter().map(of).collect()
        };
        let training = encoded(0..cut);
        let test = encoded(cut..sequence.samples.len());
        if training.is_empty() || test.is_empty() {
            return Err(PaperError::TooShort {
                path,
                length: plan.length,
                training: training.len(),
                test: test.len(),
            });
        }
        let start = layout.draw(plan.seed);
        let moved = match plan.optimizer {
            Optimizer::Lbfgs => {
                let x = start.iter().map(|w| f64::from(*w)).collect();
                Moved::Lbfgs(Box::new(Lbfgs::new(x)))
            }
            Optimizer::AdamW => {
                let var =
                    Var::from_tensor(&Tensor::from_vec(start, layout.count(), &Device::Cpu)?)?;
                Moved::AdamW {
                    optimizer: AdamW::new(vec![("all", var.clone(), 1.0, 0.0)]),
                    var,
                }
            }
        };
        let stem = path.file_stem().unwrap_or_default();
        let mut trainer = Self {
            file: stem.to_string_lossy().into_owned(),
            encoding,
            layout,
            trained_switches: cut,
            sequences: training.len(),
            training: training.chunks(TOGETHER).map(Batch::new).collect(),
            test: test.chunks(TOGETHER).map(Batch::new).collect(),
            moved,
            networks: Pool::default(),
            epochs: Vec::new(),
            plan,
        };
        let weights = trainer.weights()?;
        let untrained = trainer.judge(&weights, 0, 0, false)?;
        trainer.epochs.push(untrained);
        Ok(trainer)
    }

    /// Epochs so far; the first is number 0, before training.
    pub fn epochs(&self) -> &[PaperEpoch] {
        &self.epochs
    }

    /// Sequences trained on.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// One more epoch. `progress` hears, now and then, the share of it that is done, as far as can be told.
    pub fn epoch(&mut self, progress: &mut dyn FnMut(f64)) -> Result<PaperEpoch, PaperError> {
        let number = self.epochs.len() as u32;
        let width = self.layout.width;
        let numbers = self.training.iter().map(|b| b.numbers(width)).sum();
        let (layout, training, networks) = (&self.layout, &self.training, &self.networks);
        let threads = self.plan.threads;
        let mut evaluations = 0;
        let mut converged = false;
        match &mut self.moved {
            Moved::Lbfgs(lbfgs) => {
                let report = lbfgs.step(|x| {
                    let weights: Vec<f32> = x.iter().map(|w| *w as f32).collect();
                    let parts = parallel::map(threads, training, |batch| {
                        networks.gradient(layout, &weights, batch, numbers)
                    });
                    let mut loss = Loss::default();
                    let mut sum = vec![0.0_f64; layout.count()];
                    for (part, gradient) in parts {
                        loss.add(&part);
                        for (sum, g) in sum.iter_mut().zip(gradient) {
                            *sum += f64::from(g);
                        }
                    }
                    evaluations += 1;
                    progress(evaluations as f64 / (evaluations as f64 + 2.0).max(24.0));
                    (loss.mse(), sum)
                });
                converged = report.converged;
            }
            Moved::AdamW { optimizer, var } => {
                for pass in 0..PASSES {
                    for batch in training {
                        let weights = var.to_vec1::<f32>()?;
                        let numbers = batch.numbers(width);
                        let (_, gradient) = networks.gradient(layout, &weights, batch, numbers);
                        optimizer.step(&[gradient], RATE)?;
                    }
                    evaluations += 1;
                    progress((pass + 1) as f64 / PASSES as f64);
                }
            }
        }
        let weights = self.weights()?;
        let epoch = self.judge(&weights, number, evaluations, converged)?;
        self.epochs.push(epoch);
        Ok(epoch)
    }

    /// The model as it is now.
    pub fn model(&self) -> Result<PaperModel, PaperError> {
        let last = self.epochs[self.epochs.len() - 1];
        Ok(PaperModel {
            encoding: self.encoding.clone(),
            layout: self.layout.clone(),
            weights: self.weights()?,
            training: PaperTraining {
                file: self.file.clone(),
                seed: self.plan.seed,
                optimizer: self.plan.optimizer,
                epochs: last.number,
                test: self.plan.test,
                trained_switches: self.trained_switches as u64,
                sequences: self.sequences as u64,
                length: self.plan.length as u64,
                train_mse: last.train_mse,
                test_mse: last.test_mse,
            },
        })
    }

    fn weights(&self) -> Result<Vec<f32>, PaperError> {
        Ok(match &self.moved {
            Moved::Lbfgs(lbfgs) => lbfgs.x().iter().map(|w| *w as f32).collect(),
            Moved::AdamW { var, .. } => var.to_vec1::<f32>()?,
        })
    }

    fn judge(
        &self,
        weights: &[f32],
        number: u32,
        evaluations: usize,
        converged: bool,
    ) -> Result<PaperEpoch, PaperError> {
        let over = |batches: &[Batch]| {
            let parts = parallel::map(self.plan.threads, batches, |batch| {
                self.networks
                    .with(|network| network.loss(&self.layout, weights, batch))
            });
            parts.iter().fold(Loss::default(), |mut loss, part| {
                loss.add(part);
                loss
            })
        };
        let (train, test) = (over(&self.training), over(&self.test));
        if !train.mse().is_finite() || !test.mse().is_finite() {
            return Err(PaperError::Diverged { epoch: number });
        }
        Ok(PaperEpoch {
            number,
            train_mse: train.mse(),
            test_mse: test.mse(),
            test_top1: test.top1(),
            evaluations,
            converged,
        })
    }
}

/// Where sequences of `length` begin: one behind the other, none across a cut, and of those at most `most`, evenly.
fn starts(
    sequence: &Sequence,
    range: std::ops::Range<usize>,
    length: usize,
    most: usize,
) -> Vec<usize> {
    let mut all = Vec::new();
    let mut start = range.start;
    while start + length <= range.end {
        let inside = &sequence.samples[start + 1..start + length];
        if let Some(at) = inside.iter().rposition(|sample| sample.cut) {
            start += 1 + at;
        } else {
            all.push(start);
            start += length;
        }
    }
    if all.len() <= most {
        return all;
    }
    (0..most).map(|i| all[i * all.len() / most]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::sequence::{Name, Sample};
    use crate::trace::event::Comm;

    /// Tasks 0, 1, 0, 2 in turn, each with a time of its own.
    fn turns(len: usize) -> Sequence {
        let names = (0..3).map(|pid| Name {
            pid,
            comm: Comm::new("t"),
        });
        let sample = |i: usize| {
            let task = [0, 1, 0, 2][i % 4];
            Sample {
                task,
                diff_ns: 1_000 + 500 * u64::from(task),
                cut: i == 0,
            }
        };
        Sequence {
            names: names.collect(),
            samples: (0..len).map(sample).collect(),
            ..Sequence::default()
        }
    }

    fn trainer(optimizer: Optimizer, threads: usize) -> PaperTrainer {
        let plan = PaperPlan {
            seed: 1,
            epochs: 3,
            optimizer,
            test: 0.3,
            sequences: 40,
            length: 30,
            threads,
        };
        PaperTrainer::new(plan, &turns(1_500), "a.kot".into()).expect("long enough")
    }

    #[test]
    fn both_optimizers_learn_a_loop() {
        for optimizer in [Optimizer::Lbfgs, Optimizer::AdamW] {
            let mut trainer = trainer(optimizer, 1);
            assert_eq!(trainer.sequences(), 35);
            for _ in 0..3 {
                trainer.epoch(&mut |_| {}).expect("finite");
            }
            let [before, .., after] = trainer.epochs() else {
                panic!("four epochs")
            };
            assert!(
                after.train_mse < 0.1 * before.train_mse,
                "{optimizer:?} {after:?}"
            );
            assert!(after.test_top1 > 0.95, "{optimizer:?} {after:?}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let weights = [1, 3].map(|threads| {
            let mut trainer = trainer(Optimizer::Lbfgs, threads);
            trainer.epoch(&mut |_| {}).expect("finite");
            trainer.weights().expect("weights")
        });
        assert!(weights[0] == weights[1]);
    }

    #[test]
    fn a_model_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.safetensors");
        let mut trainer = trainer(Optimizer::Lbfgs, 1);
        trainer.epoch(&mut |_| {}).expect("finite");
        let model = trainer.model().expect("a model");
        model.save(&path).expect("written");
        let mut read = PaperModel::load(&path).expect("read");
        assert!((read.training.test_mse - model.training.test_mse).abs() < 1e-12);
        // JSON keeps all but the last bit.
        read.training.train_mse = model.training.train_mse;
        read.training.test_mse = model.training.test_mse;
        // Not assert_eq, which would print the weights.
        assert!(read == model);
        let refused = crate::model::Model::load(&path).expect_err("another recipe");
        assert!(refused.to_string().contains("--recipe paper"), "{refused}");
    }

    #[test]
    fn sequences_avoid_cuts() {
        let mut sequence = turns(100);
        sequence.samples[25].cut = true;
        assert_eq!(starts(&sequence, 0..100, 20, 9), [0, 25, 45, 65]);
        assert_eq!(starts(&sequence, 0..100, 20, 2), [0, 45]);
        assert_eq!(starts(&sequence, 10..29, 20, 9), [0_usize; 0]);
    }
}
