//! The default model runs on: several simulations, and at each step the task that they think likeliest together.

use super::score::{Engine, Latency, OneStep, relative_error};
use super::{Baselines, Chance, ForecastError, Habits, Path, Paths, Simulator, Step};
use crate::oracle::Oracle;
use crate::oracle::outcome::{Decision, Sink, Unscored};
use crate::paper::sequence::Builder;
use crate::trace::TraceReader;
use foldhash::HashMap;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What is to be foretold.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    pub cpu: u32,
    pub test_from: usize,
    /// In their order.
    pub starts: &'a [usize],
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
    let mut starts = task.starts.iter().peekable();
    while let Some(event) = reader.next_event()? {
        oracle.event(event, &mut listener);
        habits.event(event, oracle.queues());
        let Some(sample) = builder.event(event) else {
            continue;
        };
        baselines.push(sample);
        listener.at += 1;
        if starts.next_if(|start| **start == listener.at).is_some() {
            let mut paths = simulations(&oracle, &habits, &builder, task, listener.at);
            paths.extend(baselines.paths(task.steps));
            each(listener.at, paths);
        }
    }
    let latency = Latency {
        plain: Engine::new(listener.times_ns),
        candle: None,
    };
    Ok((listener.one_step, latency))
}

/// What the simulations say together of one step.
#[derive(Default)]
struct Together {
    votes: HashMap<u32, f32>,
    runs_ns: Vec<f64>,
}

fn simulations(
    oracle: &Oracle,
    habits: &Habits,
    builder: &Builder,
    task: &Task<'_>,
    start: usize,
) -> Paths {
    let mut steps: Vec<Together> = Vec::new();
    steps.resize_with(task.steps, Together::default);
    let mut likeliest = Path::new();
    for draw in 0..=task.draws {
        let chance = if draw == 0 {
            Chance::Likeliest
        } else {
            let mut random = ChaCha8Rng::seed_from_u64(task.seed ^ (start as u64) << 20);
            random.set_stream(u64::from(draw));
            Chance::Drawn(random)
        };
        let mut simulator = Simulator::new(oracle, habits, task.cpu, chance);
        for together in &mut steps {
            let Some(foretold) = simulator.step() else {
                break;
            };
            if draw == 0 {
                likeliest.push(Step {
                    task: builder.task_of(simulator.pid(foretold.next)),
                    diff_ns: foretold.run_ns as f64,
                });
            }
            for (sym, p) in foretold.possible {
                if let Some(task) = builder.task_of(simulator.pid(sym)) {
                    *together.votes.entry(task).or_default() += p;
                }
            }
            together.runs_ns.push(foretold.run_ns as f64);
        }
    }
    let forecast = steps.into_iter().map_while(|mut together| {
        together.runs_ns.sort_by(f64::total_cmp);
        let diff_ns = *together.runs_ns.get(together.runs_ns.len() / 2)?;
        let votes = together.votes.into_iter();
        // Of equals the task that was seen first.
        let best = votes.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        Some(Step {
            task: best.map(|(task, _)| task),
            diff_ns,
        })
    });
    vec![("forecast", forecast.collect()), ("path", likeliest)]
}
