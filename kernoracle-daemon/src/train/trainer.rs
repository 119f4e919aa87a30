//! The loop over epochs.

use super::state::{State, Terms, path_beside};
use super::{Epoch, Harvest, Plan, Recording, TrainError, harvest};
use crate::model::{self, Linear, Model, Packed, Precision, Pretrainer, Tally, Training, Weights};
use crate::parallel;
use crate::runqueue::Roles;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A training that runs.
#[derive(Debug)]
pub struct Trainer {
    terms: Terms,
    out: PathBuf,
    threads: usize,
    pretrainer: Pretrainer,
    state: State,
    /// That the model is to know by name.
    roles: Roles,
    harvests: Vec<Harvest>,
}

/// How a training begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Anew,
    /// Epochs that were done before it was interrupted.
    Resumed {
        epochs: u32,
    },
}

impl Trainer {
    /// Prepares a training whose outcome goes to `out`. Goes on with the one that was interrupted there.
    pub fn new(
        mut plan: Plan,
        recordings: Vec<Recording>,
        from: Option<&Path>,
        out: &Path,
        threads: usize,
    ) -> Result<(Self, Begun), TrainError> {
        for (i, recording) in recordings.iter().enumerate() {
            if recordings[..i]
                .iter()
                .any(|other| other.path == recording.path)
            {
                return Err(TrainError::Twice {
                    path: recording.path.clone(),
                });
            }
        }
        let (mut start, checksum) = match from {
            Some(path) => {
                let bytes = model::checkpoint::read(path)?;
                let checksum = crc32fast::hash(&bytes);
                (Model::from_bytes(path, &bytes)?, Some(checksum))
            }
            None => (Model::untrained(plan.seed), None),
        };
        plan.without = plan.without.and(start.weights.without);
        start.weights.without = plan.without;
        let terms = Terms {
            plan,
            recordings,
            from: checksum,
        };
        let path = path_beside(out);
        let (state, begun) = match State::load(&path, &terms)? {
            Some(state) => {
                let epochs = state.history.len() as u32;
                (state, Begun::Resumed { epochs })
            }
            None => (State::new(&start), Begun::Anew),
        };
        let known = terms
            .recordings
            .iter()
            .flat_map(|recording| &recording.roles);
        let roles: Vec<u32> = known.copied().chain(start.roles.iter()).collect();
        let roles = Roles::from(roles);
        let mut pretrainer = Pretrainer::new(&model(&state.current, &roles))?;
        if begun != Begun::Anew && !pretrainer.set_moments(&state.moments) {
            return Err(super::StateError::Misfit { path }.into());
        }
        let trainer = Self {
            terms,
            out: out.to_owned(),
            threads,
            pretrainer,
            state,
            roles,
            harvests: Vec::new(),
        };
        Ok((trainer, begun))
    }

    /// All epochs so far.
    pub fn history(&self) -> &[Epoch] {
        &self.state.history
    }

    /// The plan is fulfilled, or validation has not been better for too long.
    pub fn finished(&self) -> bool {
        let history = self.history();
        let since_best = history.iter().rev().take_while(|epoch| !epoch.best).count();
        history.len() as u32 >= self.terms.plan.epochs
            || since_best as u32 >= self.terms.plan.patience
    }

    /// One epoch. `report` hears what is being done and how far it is, 0 to 1.
    pub fn epoch(&mut self, report: &mut dyn FnMut(&str, f64)) -> Result<Epoch, TrainError> {
        let started = Instant::now();
        let number = self.state.history.len() as u32;
        let plan = self.terms.plan.clone();
        if plan.refreshes(number) {
            self.state.replayed = self.state.current.clone();
            self.state.replayed_before = number;
            self.harvests.clear();
        }
        if self.harvests.is_empty() {
            report("replaying", 0.0);
            self.harvests = self.replay()?;
        }

        let order = self.order(number);
        let stepping = Instant::now();
        let (mut bits, mut steps, mut refused, mut rate) = (0.0, 0_u32, 0, 0.0);
        let total = order.len().div_ceil(plan.batch);
        for (i, chosen) in order.chunks(plan.batch).enumerate() {
            let done = i as f64 / total as f64;
            report("training", done);
            rate = plan.rate_at((f64::from(number) + done) / f64::from(plan.epochs));
            let windows: Vec<&Packed> = chosen
                .iter()
                .map(|&(file, window)| &self.harvests[file].training[window])
                .collect();
            match self.pretrainer.step(&windows, rate, self.threads)? {
                Some(step) => {
                    bits += f64::from(step.bits);
                    steps += 1;
                }
                None => refused += 1,
            }
        }
        if steps == 0 {
            return Err(TrainError::Diverged { epoch: number + 1 });
        }
        let step_seconds = stepping.elapsed().as_secs_f64();

        report("validating", 1.0);
        self.state.current = self.pretrainer.weights()?;
        self.state.moments = self.pretrainer.moments();
        let (at_switch, refined) = self.validate();
        let (validation_bits, validation_top1) = macro_mean(&at_switch);
        let (refined_bits, refined_top1) = macro_mean(&refined);
        let least = self
            .history()
            .iter()
            .map(|epoch| epoch.validation_bits)
            .fold(f64::INFINITY, f64::min);
        let best = validation_bits < least;
        if best {
            self.state.best = self.state.current.clone();
        }
        let epoch = Epoch {
            number: number + 1,
            training_bits: bits / f64::from(steps),
            validation_bits,
            validation_top1,
            refined_bits,
            refined_top1,
            rate,
            windows: order.len() as u64,
            refused,
            seconds: started.elapsed().as_secs_f64(),
            step_seconds,
            best,
        };
        self.state.history.push(epoch);
        self.state.save(&path_beside(&self.out), &self.terms)?;
        Ok(epoch)
    }

    /// Writes the best weights, and removes the state. `date` is the day, as the model's file says it.
    pub fn finish(self, date: String) -> Result<Model, TrainError> {
        let best = self
            .history()
            .iter()
            .rev()
            .find(|epoch| epoch.best)
            .copied();
        let training = best.map(|best| Training {
            files: self.terms.recordings.iter().map(Recording::name).collect(),
            date,
            seed: self.terms.plan.seed,
            epochs: best.number,
            validation_bits: best.validation_bits,
            validation_top1: best.validation_top1,
            validation_refined_bits: best.refined_bits,
            validation_refined_top1: best.refined_top1,
        });
        let finished = Model {
            training,
            ..self.model(&self.state.best)
        };
        finished.save(&self.out, Precision::F16)?;
        let state = path_beside(&self.out);
        if state.exists() {
            std::fs::remove_file(&state).map_err(|source| TrainError::Io {
                path: state,
                source,
            })?;
        }
        Ok(Model::load(&self.out)?)
    }

    fn model(&self, parts: &(Weights, Linear)) -> Model {
        model(parts, &self.roles)
    }

    /// Every recording's windows, as the model of the last replay saw them.
    fn replay(&self) -> Result<Vec<Harvest>, TrainError> {
        let model = self.model(&self.state.replayed);
        let epoch = self.state.replayed_before;
        parallel::map(self.threads, &self.terms.recordings, |recording| {
            harvest(recording, &model, &self.terms.plan, epoch)
        })
        .into_iter()
        .collect()
    }

    /// Windows in the order in which an epoch takes them: as many of each recording, those of short ones more than once.
    fn order(&self, epoch: u32) -> Vec<(usize, usize)> {
        let mut random = ChaCha8Rng::seed_from_u64(self.terms.plan.seed_for(4, epoch));
        let lens = self.harvests.iter().map(|harvest| harvest.training.len());
        let most = lens.max().unwrap_or(0);
        let mut order = Vec::new();
        for (file, harvest) in self.harvests.iter().enumerate() {
            let mut own: Vec<usize> = Vec::with_capacity(most);
            while own.len() < most {
                let mut round: Vec<usize> = (0..harvest.training.len()).collect();
                round.shuffle(&mut random);
                own.extend(round);
            }
            order.extend(own.into_iter().take(most).map(|window| (file, window)));
        }
        order.shuffle(&mut random);
        order
    }

    /// At-switch and refined, by recording.
    fn validate(&self) -> (Vec<Tally>, Vec<Tally>) {
        let (weights, linear) = &self.state.current;
        parallel::map(self.threads, &self.harvests, |harvest| {
            let mut sums = (Tally::default(), Tally::default());
            for window in &harvest.validation {
                let (at_switch, refined) = model::assess(weights, linear, window);
                sums.0.merge(at_switch);
                sums.1.merge(refined);
            }
            sums
        })
        .into_iter()
        .unzip()
    }
}

impl State {
    fn new(start: &Model) -> Self {
        let start = (start.weights.clone(), start.linear.clone());
        Self {
            current: start.clone(),
            best: start.clone(),
            replayed: start,
            replayed_before: 0,
            moments: model::Moments::default(),
            history: Vec::new(),
        }
    }
}

fn model((weights, linear): &(Weights, Linear), roles: &Roles) -> Model {
    Model {
        weights: weights.clone(),
        linear: linear.clone(),
        roles: roles.clone(),
        training: None,
        bytes: None,
    }
}

/// Bits and top-1 as means over recordings; those without a decision say nothing.
fn macro_mean(tallies: &[Tally]) -> (f64, f64) {
    let said: Vec<&Tally> = tallies.iter().filter(|tally| tally.decisions > 0).collect();
    let mean = |of: fn(&Tally) -> f64| {
        said.iter().map(|tally| of(tally)).sum::<f64>() / said.len().max(1) as f64
    };
    (mean(Tally::mean_bits), mean(Tally::top1))
}
