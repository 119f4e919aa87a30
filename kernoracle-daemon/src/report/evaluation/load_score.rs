//! Scores of parts of one load.

use crate::{
    oracle::outcome::{Decision, Sink, Unscored},
    report::score::{Score, Scores},
};

/// Scored switches that count as the start.
const START: u64 = 1000;

/// One thing for each part of a load, or of all loads.
#[derive(Clone, Debug)]
pub struct Parts<T> {
    pub all: T,
    /// The switches behind the warm-up.
    pub after_warm_up: T,
    /// Up to the 1,000th scored switch.
    pub first_1000: T,
    /// Those behind it.
    pub after_first_1000: T,
    /// The second half of the switches.
    pub last_half: T,
}

impl<T> Parts<T> {
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> Parts<U> {
        let Self {
            all,
            after_warm_up,
            first_1000,
            after_first_1000,
            last_half,
        } = self;
        Parts {
            all: change(all),
            after_warm_up: change(after_warm_up),
            first_1000: change(first_1000),
            after_first_1000: change(after_first_1000),
            last_half: change(last_half),
        }
    }
}

/// Scores a load whole, and its parts.
#[derive(Debug)]
pub struct LoadScore {
    warm_up: u64,
    half: u64,
    seen: u64,
    scored: u64,
    parts: Parts<Score>,
}

impl LoadScore {
    /// For a load of so many switches, with the share of them that is warm-up.
    pub fn new(switches: u64, warm_up: f64) -> Self {
        let score = || Score::new(true);
        Self {
            warm_up: (switches as f64 * warm_up).floor() as u64,
            half: switches / 2,
            seen: 0,
            scored: 0,
            parts: Parts {
                all: score(),
                after_warm_up: score(),
                first_1000: score(),
                after_first_1000: score(),
                last_half: score(),
            },
        }
    }

    pub fn scores(self) -> Parts<Scores> {
        self.parts.map(|score| score.scores())
    }

    /// The parts that the next switch is in.
    fn next(&mut self) -> impl Iterator<Item = &mut Score> {
        let (late, last) = (self.seen >= self.warm_up, self.seen >= self.half);
        let start = self.scored < START;
        let Parts {
            all,
            after_warm_up,
            first_1000,
            after_first_1000,
            last_half,
        } = &mut self.parts;
        [
            Some(all),
            late.then_some(after_warm_up),
            start.then_some(first_1000),
            (!start).then_some(after_first_1000),
            last.then_some(last_half),
        ]
        .into_iter()
        .flatten()
    }
}

impl Sink for LoadScore {
    fn decision(&mut self, decision: &Decision) {
        for score in self.next() {
            score.decision(decision);
        }
        self.seen += 1;
        self.scored += 1;
    }

    fn unscored(&mut self, ts_ns: u64, cpu: u32, reason: Unscored) {
        for score in self.next() {
            score.unscored(ts_ns, cpu, reason);
        }
        self.seen += 1;
    }

    fn gap(&mut self, ts_ns: u64, cpu: u32, lost: u64) {
        // The gap belongs to the switch that comes next.
        for score in self.next() {
            score.gap(ts_ns, cpu, lost);
        }
    }
}
