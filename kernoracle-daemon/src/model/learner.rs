//! Truncated back-propagation through time on recent windows.

use super::frame::Window;
use super::kept::Kept;
use super::net::Net;
use super::weights::Weights;
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// Windows kept to learn from again.
const KEPT: usize = 16;
/// Windows in one step.
const BATCH: usize = 4;
const RATE: f64 = 2e-3;

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Mean log-loss of the at-switch predictions of the batch before the step, bits.
    pub loss_bits: f32,
    /// The weights of the start have done better on what came since, and are back.
    pub fell_back: bool,
}

/// How far a learner has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearnerProgress {
    /// Optimiser steps.
    pub steps: u64,
    /// Steps thrown away because they led to numbers that are not finite.
    pub refused: u64,
    /// Times that learning had made the network worse and it went back to the weights of the start.
    pub fallbacks: u64,
    /// Times that new weights were swapped in.
    pub swaps: u64,
    /// Mean loss of the last step's batch, bits per switch.
    pub loss_bits: f32,
    /// CPU time used for learning in the background, ns.
    pub cpu_ns: u64,
}

/// How much of the record against the start is kept from one window to the next.
const KEPT_RECORD: f32 = 0.9;
/// Bits a switch, summed over that record, by which the start must be better.
const WORSE: f32 = 0.1;

/// Learns from windows whose outcome is known.
#[derive(Debug)]
pub struct Learner {
    start: Weights,
    start_net: Net,
    /// Bits a switch by which the learned weights were worse than the start's on windows that neither had seen; decaying.
    behind: f32,
    net: Net,
    optimiser: AdamW,
    kept: VecDeque<Kept>,
    /// Out of use: its memory is used again.
    spare: Kept,
    fresh: usize,
    random: ChaCha8Rng,
    good: Weights,
}

impl Learner {
    /// Learns on from `weights`.
    pub fn new(weights: &Weights, seed: u64) -> candle_core::Result<Self> {
        let net = Net::new(weights)?;
        let parameters = ParamsAdamW {
            lr: RATE,
            weight_decay: 1e-3,
            ..ParamsAdamW::default()
        };
        let optimiser = AdamW::new(net.variables(), parameters)?;
        let random = ChaCha8Rng::seed_from_u64(seed ^ 0x1ea5);
        Ok(Self {
            start: weights.clone(),
            start_net: Net::new(weights)?,
            behind: 0.0,
            net,
            optimiser,
            kept: VecDeque::with_capacity(KEPT),
            spare: Kept::default(),
            fresh: 0,
            random,
            good: weights.clone(),
        })
    }

    /// Takes a copy of a full window.
    pub fn add(&mut self, window: &Window) {
        let mut spare = std::mem::take(&mut self.spare);
        spare.fill(window);
        if let Some(oldest) = self.add_kept(spare) {
            self.spare = oldest;
        }
    }

    /// Takes a full window. Returns the one that it has kept for longest, once there are enough.
    pub fn add_kept(&mut self, window: Kept) -> Option<Kept> {
        if self
            .kept
            .front()
            .is_some_and(|other| other.len() != window.len())
        {
            self.kept.clear();
        }
        let oldest = (self.kept.len() == KEPT)
            .then(|| self.kept.pop_front())
            .flatten();
        self.kept.push_back(window);
        self.fresh = (self.fresh + 1).min(BATCH / 2);
        oldest
    }

    /// There is something to learn from.
    pub fn ready(&self) -> bool {
        !self.kept.is_empty()
    }

    /// One optimiser step on the newest windows and a few older ones. `None` where the step led to numbers that are not
    /// finite: then the last good weights stand.
    pub fn step(&mut self) -> candle_core::Result<Option<StepReport>> {
        let len = self.kept.len();
        let newest = self.fresh.clamp(1, len);
        self.fresh = 0;
        let mut chosen: Vec<usize> = (len - newest..len).collect();
        while chosen.len() < BATCH.min(len) {
            let other = self.random.random_range(0..len);
            if !chosen.contains(&other) {
                chosen.push(other);
            }
        }
        let fell_back = self.compare(newest)?;
        let windows = chosen.iter().map(|&i| self.kept[i].frames());
        let (gradients, bits) = self.net.gradients(windows)?;
        self.optimiser.step(&gradients)?;
        let weights = self.net.weights()?;
        if !weights.finite() || !bits.is_finite() {
            self.restart()?;
            return Ok(None);
        }
        self.good = weights;
        Ok(Some(StepReport {
            loss_bits: bits,
            fell_back,
        }))
    }

    /// Scores the `newest` windows, which no step has used yet, by the learned weights and by those of the start, and goes back to the start if
    /// learning has made them worse.
    fn compare(&mut self, newest: usize) -> candle_core::Result<bool> {
        for window in self.kept.iter().rev().take(newest) {
            let frames = window.frames();
            let worse = self.net.bits(&frames)? - self.start_net.bits(&frames)?;
            self.behind = self.behind * KEPT_RECORD + worse;
        }
        if self.behind <= WORSE {
            return Ok(false);
        }
        self.behind = 0.0;
        self.good = self.start.clone();
        self.restart()?;
        Ok(true)
    }

    fn restart(&mut self) -> candle_core::Result<()> {
        self.net = Net::new(&self.good)?;
        let parameters = self.optimiser.params().clone();
        self.optimiser = AdamW::new(self.net.variables(), parameters)?;
        Ok(())
    }

    /// The weights after the last step.
    pub fn weights(&self) -> &Weights {
        &self.good
    }
}
