//! Counts of hits and the sum of bits of one predictor.

use super::fields::documented;
use crate::oracle::outcome::TaskName;

documented! {
    /// Figures of one predictor over a set of switches.
    #[derive(Copy, Default, PartialEq)]
    pub struct Figures {
        /// Switches that the figures are over.
        pub decisions: u64,
        /// Share of switches whose actual next task was the first choice, 0 to 1; null without switches.
        pub top1: Option<f64>,
        /// Share of switches whose actual next task was among the first five choices, 0 to 1.
        pub top5: Option<f64>,
        /// Mean of -log2 of the probability given to the actual next task, bits per switch;
        /// null for a predictor without probabilities.
        pub bits: Option<f64>,
    }
}

documented! {
    /// Figures with and without the switches to idle.
    #[derive(Copy, Default, PartialEq)]
    pub struct Both {
        /// Over all scored switches.
        pub all: Figures,
        /// Over the scored switches whose actual next task was not the idle task.
        pub without_idle: Figures,
    }
}

/// Counts of one predictor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub decisions: u64,
    pub top1: u64,
    pub top5: u64,
    bits: f64,
    /// Decisions that had a probability: those that `bits` is the sum over.
    bits_of: u64,
}

impl Tally {
    fn add(&mut self, rank: Option<u32>, bits: Option<f32>) {
        self.decisions += 1;
        self.top1 += u64::from(rank == Some(1));
        self.top5 += u64::from(rank.is_some_and(|rank| rank <= 5));
        if let Some(bits) = bits {
            self.bits += f64::from(bits);
            self.bits_of += 1;
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            decisions: self.decisions - earlier.decisions,
            top1: self.top1 - earlier.top1,
            top5: self.top5 - earlier.top5,
            bits: self.bits - earlier.bits,
            bits_of: self.bits_of - earlier.bits_of,
        }
    }

    pub fn figures(&self) -> Figures {
        Figures {
            decisions: self.decisions,
            top1: share(self.top1, self.decisions),
            top5: share(self.top5, self.decisions),
            bits: (self.bits_of > 0).then(|| self.bits / self.bits_of as f64),
        }
    }
}

/// Counts of one predictor, with and without idle as the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BothTally {
    pub all: Tally,
    without_idle: Tally,
}

impl BothTally {
    pub fn add(&mut self, actual: TaskName, rank: Option<u32>, bits: Option<f32>) {
        self.all.add(rank, bits);
        if actual.pid != 0 {
            self.without_idle.add(rank, bits);
        }
    }

    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            all: self.all.since(&earlier.all),
            without_idle: self.without_idle.since(&earlier.without_idle),
        }
    }

    pub fn figures(&self) -> Both {
        Both {
            all: self.all.figures(),
            without_idle: self.without_idle.figures(),
        }
    }
}

/// `part / whole`, where there is a whole.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
