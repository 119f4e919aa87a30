//! The default model runs on: several simulations, and at each step the task that they think likeliest together.

use super::score::{Engine, Latency, OneStep, relative_error};
use super::together::{Together, Trust};
use super::{Baselines, Chance, ForecastError, Habits, Path, Paths, Simulator, Step};
use crate::oracle::Oracle;
use crate::oracle::outcome::{Decision, Sink, Unscored};
use crate::paper::sequence::Builder;
use crate::trace::TraceReader;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

/// What is to be foretold.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    pub cpu: u32,
    pub test_from: usize,
    /// In their order.
    pub starts: &'a [usize],
    /// Points before the test part at which is tried what to trust; in their order.
    pub rehearsals: &'a [usize],
    pub steps: usize,
    /// Simulations that are drawn, beside the likeliest.
    pub draws: u32,
    pub seed: u64,
}

/// Keeps what the oracle says of the switches of one CPU.
struct Listener {
    cpu: u32,
    /// Index of the switch that is being taken.
    at: usize,
    test_from: usize,
    one_step: OneStep,
    times_ns: Vec<u64>,
}

impl Sink for Listener {
    fn decision(&mut self, decision: &Decision) {
        if decision.cpu != self.cpu {
            return;
        }
        self.times_ns.extend(decision.at_switch.inference_ns);
        if self.at >= self.test_from {
            let error = decision
                .run_time
                .map(|run| relative_error(run.predicted_ns[1] as f64, run.actual_ns as f64));
            let at_switch = &decision.at_switch;
            self.one_step
                .add(at_switch.hit(), Some(f64::from(at_switch.bits)), error);
        }
    }

    fn unscored(&mut self, _: u64, _: u32, _: Unscored) {}
    fn gap(&mut self, _: u64, _: u32, _: u64) {}
}

/// Plays a trace through `oracle`, and hands over the paths at each of the starts.
pub fn foretell_by_oracle(
    mut oracle: Oracle,
    reader: &mut TraceReader,
    task: &Task<'_>,
    mut each: impl FnMut(usize, Paths),
) -> Result<(OneStep, Latency), ForecastError> {
    let mut listener = Listener {
        cpu: task.cpu,
        at: 0,
        test_from: task.test_from,
        one_step: OneStep::new(),
        times_ns: Vec::new(),
    };
    let mut habits = Habits::new(task.cpu);
    let mut baselines = Baselines::new();
    let mut builder = Builder::new(task.cpu);
    let mut points: Vec<usize> = task.rehearsals.iter().chain(task.starts).copied().collect();
    points.sort_unstable();
    points.dedup();
    let mut points = points.into_iter().peekable();
    let mut trust = Trust::default();
    // Paths whose outcome is not known yet.
    let mut open: VecDeque<(usize, Vec<Path>)> = VecDeque::new();
    while let Some(event) = reader.next_event()? {
        oracle.event(event, &mut listener);
        habits.event(event, oracle.queues());
        let Some(sample) = builder.event(event) else {
            continue;
        };
        baselines.push(sample);
        listener.at += 1;
        let at = listener.at;
        if points.next_if_eq(&at).is_none() {
            continue;
        }
        let past = baselines.past();
        while let Some((from, paths)) = take_if_known(&mut open, at, task.steps) {
            let truth = &past[from..from + task.steps];
            if truth.iter().all(|sample| !sample.cut) {
                trust.judge(&paths, truth);
            }
        }
        let simulated = simulate(&oracle, &habits, &builder, task, at);
        let others = baselines.paths(task.steps);
        let mut choice = simulated.together.answers(&baselines.frequency());
        choice.push(simulated.likeliest.clone());
        choice.extend(others.iter().map(|(_, path)| path.clone()));
        if task.starts.binary_search(&at).is_ok() {
            let mut paths = vec![
                ("forecast", trust.choose(&choice)),
                ("path", simulated.likeliest),
            ];
            paths.extend(simulated.drawn.map(|path| ("drawn", path)));
            paths.extend(others);
            each(at, paths);
        }
        open.push_back((at, choice));
    }
    let latency = Latency {
        plain: Engine::new(listener.times_ns),
        candle: None,
    };
    Ok((listener.one_step, latency))
}

/// The simulations at one point.
struct Simulated {
    together: Together,
    likeliest: Path,
    /// The first of those that were drawn.
    drawn: Option<Path>,
}

fn simulate(
    oracle: &Oracle,
    habits: &Habits,
    builder: &Builder,
    task: &Task<'_>,
    start: usize,
) -> Simulated {
    let mut together = Together::new(task.steps);
    let mut paths = Vec::new();
    for draw in 0..=task.draws {
        let chance = if draw == 0 {
            Chance::Likeliest
        } else {
            let mut random = ChaCha8Rng::seed_from_u64(task.seed ^ (start as u64) << 20);
            random.set_stream(u64::from(draw));
            Chance::Drawn(Box::new(random))
        };
        let mut simulator = Simulator::new(oracle, habits, task.cpu, chance);
        let mut path = Path::new();
        together.begin();
        for step in 0..task.steps {
            let Some(foretold) = simulator.step() else {
                break;
            };
            let diff_ns = foretold.run_ns as f64;
            let elapsed_ns = path.last().map_or(0.0, |step: &Step| step.elapsed_ns) + diff_ns;
            let possible = foretold.possible.iter();
            let named =
                possible.filter_map(|(sym, p)| Some((builder.task_of(simulator.pid(*sym))?, *p)));
            together.add(step, named, (diff_ns, elapsed_ns));
            path.push(Step {
                task: builder.task_of(simulator.pid(foretold.next)),
                diff_ns,
                elapsed_ns,
            });
        }
        if draw < 2 {
            paths.push(path);
        }
    }
    let drawn = (paths.len() > 1).then(|| paths.swap_remove(1));
    Simulated {
        together,
        likeliest: paths.swap_remove(0),
        drawn,
    }
}

/// The oldest paths, if all their steps lie before `at`.
fn take_if_known(
    open: &mut VecDeque<(usize, Vec<Path>)>,
    at: usize,
    steps: usize,
) -> Option<(usize, Vec<Path>)> {
    let known = open.front().is_some_and(|(from, _)| from + steps <= at);
    if known { open.pop_front() } else { None }
}
