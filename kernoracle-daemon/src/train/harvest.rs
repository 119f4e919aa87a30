//! Windows of a recording, as the model saw them.

use super::{Plan, Recording, TrainError};
use crate::model::{Model, Packed};
use crate::oracle::{
    Config, Engine, Learning, Oracle, StartFrom,
    outcome::{Decision, FullWindow, Sink, Unscored},
};
use crate::trace::{TraceReader, event::Body};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Share of the training part in which the oracle starts over again and again, so that starts are trained on too: else they would be the first
/// moments of a recording alone, and the model would trust counts from the first one on as it may trust those of a minute.
const YOUNG: f64 = 0.25;
/// Switches from one such start to the next.
const LIFE: u64 = 1_500;

/// Windows of one recording.
#[derive(Debug, Default)]
pub struct Harvest {
    pub training: Vec<Packed>,
    pub validation: Vec<Packed>,
}

/// Replays a recording with `model` as it is, and keeps windows drawn evenly over it. Draws and codes of task instances follow from `plan` and `epoch`.
pub fn harvest(
    recording: &Recording,
    model: &Model,
    plan: &Plan,
    epoch: u32,
) -> Result<Harvest, TrainError> {
    let mut reader = TraceReader::open(&recording.path)?;
    let config = Config {
        window: plan.length,
        seed: plan.seed_for(1, epoch),
        learning: Learning::Off,
        engine: Engine::Plain,
        model: StartFrom::Untrained,
        live: false,
        timed: false,
    };
    let mut oracle = Oracle::with_model(config, model.clone(), String::new())?;
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed_for(2, epoch));
    // The same for every epoch: validations are to be compared.
    let mut always = ChaCha8Rng::seed_from_u64(plan.seed_for(3, 0));
    let held_out = (plan.windows * 15 / 85).max(1);
    let length = plan.length as u64;
    let mut sieve = Sieve {
        cut_ns: recording.cut_ns,
        training: Draw::new(plan.windows, recording.training / length, &mut random),
        validation: Draw::new(held_out, recording.validation / length, &mut always),
        harvest: Harvest::default(),
    };
    let young = (recording.training as f64 * YOUNG) as u64;
    let mut switches = 0;
    while let Some(event) = reader.next_event()? {
        oracle.event(event, &mut sieve);
        if matches!(event.body, Body::Switch(_)) {
            switches += 1;
            if switches <= young && switches % LIFE == 0 {
                oracle.start_over(event.ts_ns);
            }
        }
    }
    let harvest = sieve.harvest;
    if harvest.training.is_empty() || harvest.validation.is_empty() {
        return Err(TrainError::TooShort {
            path: recording.path.clone(),
            length: plan.length,
            training: harvest.training.len(),
            validation: harvest.validation.len(),
        });
    }
    Ok(harvest)
}

/// Draws every so many-th, from a random one on.
#[derive(Debug)]
struct Draw {
    share: f64,
    position: f64,
}

impl Draw {
    fn new(wanted: usize, there: u64, random: &mut ChaCha8Rng) -> Self {
        let share = (wanted as f64 / there.max(1) as f64).min(1.0);
        Self {
            share,
            position: random.random_range(0.0..1.0),
        }
    }

    fn next(&mut self) -> bool {
        let before = self.position.floor();
        self.position += self.share;
        self.position.floor() > before
    }
}

/// Keeps the windows that are drawn.
struct Sieve {
    cut_ns: u64,
    training: Draw,
    validation: Draw,
    harvest: Harvest,
}

impl Sink for Sieve {
    fn decision(&mut self, _decision: &Decision) {}
    fn unscored(&mut self, _ts_ns: u64, _cpu: u32, _reason: Unscored) {}
    fn gap(&mut self, _ts_ns: u64, _cpu: u32, _lost: u64) {}

    fn window(&mut self, window: &FullWindow<'_>) {
        let packed = || Packed::new(window.start, &window.window.frames);
        // A window on both sides of the cut is in neither part.
        if window.to_ns < self.cut_ns {
            if self.training.next() {
                self.harvest.training.push(packed());
            }
        } else if window.from_ns >= self.cut_ns && self.validation.next() {
            self.harvest.validation.push(packed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_as_many_as_wanted() {
        for (wanted, there) in [(10, 100), (33, 100), (100, 100), (500, 100), (1, 100)] {
            let mut draw = Draw::new(wanted, there, &mut ChaCha8Rng::seed_from_u64(5));
            let drawn: Vec<bool> = (0..there).map(|_| draw.next()).collect();
            let count = drawn.iter().filter(|drawn| **drawn).count();
            assert!(count.abs_diff(wanted.min(there as usize)) <= 1, "{count}");
            let half = drawn[..50].iter().filter(|drawn| **drawn).count();
            assert!((half * 2).abs_diff(count) <= 2, "{half} of {count}");
        }
    }
}
