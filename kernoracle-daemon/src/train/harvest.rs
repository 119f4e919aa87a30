//! Windows of a recording, as the model saw them.

use super::{Plan, Recording, TrainError};
use crate::model::{Model, Packed};
use crate::oracle::{
    Config, Engine, Learning, Oracle, StartFrom,
    outcome::{Decision, FullWindow, Sink, Unscored},
};
use crate::runqueue::{Codes, Roles};
use crate::trace::{TraceReader, event::Body};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Share of the training part in which the oracle starts over again and again, so that starts are trained on too: else they would be the first
/// moments of a recording alone, and the model would trust counts from the first one on as it may trust those of a minute.
const YOUNG: f64 = 0.25;
/// Switches from one such start to the next, and from one draw of the tasks' codes to the next.
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
    // Codes of its own for each recording: what tasks are called in one must say nothing of those in another. Those of the validation are always the
    // same, too.
    let codes = |epoch| {
        let seed = plan.seed_for(5, epoch) ^ u64::from(recording.crc32) << 16;
        ChaCha8Rng::seed_from_u64(seed)
    };
    let (mut codes, mut to_validate) = (codes(epoch), Some(codes(0)));
    oracle.recode(draw(&mut codes, &model.roles));
    let young = (recording.training as f64 * YOUNG) as u64;
    let mut switches = 0;
    while let Some(event) = reader.next_event()? {
        if event.ts_ns >= recording.cut_ns
            && let Some(fixed) = to_validate.take()
        {
            codes = fixed;
            oracle.recode(draw(&mut codes, &model.roles));
        }
        oracle.event(event, &mut sieve);
        if matches!(event.body, Body::Switch(_)) {
            switches += 1;
            if switches % LIFE == 0 {
                if switches <= young {
                    oracle.start_over(event.ts_ns);
                }
                oracle.recode(draw(&mut codes, &model.roles));
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

/// Codes with another salt, and with some of the roles, from none to all, as if the model had never seen them: it must know what to do with those that
/// it does not know.
fn draw(random: &mut ChaCha8Rng, roles: &Roles) -> Codes {
    let share = random.random_range(0.0..=1.0);
    let known = roles.iter().filter(|_| random.random_bool(share));
    let known: Vec<u32> = known.collect();
    Codes::new(known.into(), random.random())
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
    use crate::model::features::situation;
    use crate::model::{Sequence, Without};
    use crate::runqueue::{CODE, role};
    use crate::trace::event::Comm;
    use crate::trace::{TraceWriter, origin::Origin, synthetic::web_server};
    use std::collections::BTreeSet;

    /// Windows of two tasks, nginx and ab, and idle, which the model is to know, over 12 starts in the training part.
    #[test]
    fn starts_come_in_the_first_quarter_alone_and_codes_change_everywhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made.kot");
        let mut writer = TraceWriter::create(&path, &Origin::default()).expect("a file");
        for event in web_server(200_000, 1) {
            writer.write(&event).expect("written");
        }
        writer.finish().expect("finished");
        let recording = Recording::survey(&path).expect("read");
        for name in ["nginx", "ab", "swapper/0"] {
            assert!(recording.roles.contains(&role(Comm::new(name))), "{name}");
        }
        let lives = recording.training / LIFE;
        assert!(lives > 20, "{lives}");
        let plan = Plan {
            seed: 1,
            epochs: 1,
            windows: usize::MAX / 100,
            length: 50,
            batch: 1,
            rate: 1e-3,
            refresh: 1,
            patience: 1,
            without: Without::default(),
        };
        let model = Model {
            roles: recording.roles.clone().into(),
            ..Model::untrained(1)
        };
        let of = |epoch| harvest(&recording, &model, &plan, epoch).expect("harvested");
        let (first, second) = (of(0), of(1));
        let windows: Vec<Sequence> = first.training.iter().map(Packed::unpack).collect();

        // Idle has no run times, and so always counts as one that has not been seen to leave.
        let young = |window: &Sequence| {
            window.frames.iter().any(|frame| {
                let situation = &frame.at_switch.situation;
                situation[situation::NEW] > 0.0 && situation[situation::CURRENT_IDLE] < 0.5
            })
        };
        let starts: Vec<usize> = (0..windows.len()).filter(|i| young(&windows[*i])).collect();
        let last = *starts.last().expect("a trace has a start");
        assert!(
            starts.len() as u64 >= lives / 5,
            "{starts:?} of {lives} lives"
        );
        assert!(last * 10 < windows.len() * 3, "{last} of {}", windows.len());

        // Of the tasks that entered: known, and by the whole half that is the role's.
        let codes = |windows: &[Sequence]| -> BTreeSet<[bool; CODE / 2]> {
            let frames = windows.iter().flat_map(|window| &window.frames);
            frames
                .map(|frame| std::array::from_fn(|i| frame.input[i] > 0.0))
                .collect()
        };
        let (quarter, rest) = windows.split_at(windows.len() / 4);
        for part in [quarter, rest] {
            let codes = codes(part);
            assert!(codes.len() > 6, "{} for three roles", codes.len());
            for known in [true, false] {
                assert!(codes.iter().any(|code| code[CODE / 2 - 1] == known));
            }
        }
        let inputs = |windows: &[Packed]| -> Vec<_> {
            let frames = windows.iter().flat_map(|window| window.unpack().frames);
            frames.map(|frame| frame.input.map(f32::to_bits)).collect()
        };
        assert_eq!(inputs(&first.validation), inputs(&second.validation));
        assert_ne!(inputs(&first.training), inputs(&second.training));
    }

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
