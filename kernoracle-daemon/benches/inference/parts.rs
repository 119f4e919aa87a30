//! What is measured: each part in several sizes, as a function to be called again and again.

use crate::oracle;
use crate::stream::{Shape, Stream};
use candle_core::{DType, Device, Tensor};
use candle_nn::{LSTM, LSTMConfig, RNN as _, VarBuilder, rnn::LSTMState};
use kernoracle::baseline::Contexts;
use kernoracle::model::situations::{self, Runs};
use kernoracle::model::{
    Candidate, CodeRows, Counted, Gatherer, Lstm, MAX_CANDIDATES, Mixer, Moment, RunningLstm,
    Scores, Vector, View, WakeCounts, Weights, lstm_step, score, shape,
};
use kernoracle::oracle::Learning;
use kernoracle::oracle::outcome::{Decision, Sink, Unscored};
use kernoracle::runqueue::{Expected, Picker, RunQueues};
use kernoracle::trace::event::{Body, Switch};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::hint::black_box;

/// A part, by what it is called in reports, and the sizes in which it is measured.
pub struct Group {
    pub name: &'static str,
    pub sizes: &'static [u32],
    pub part: fn(u32) -> Box<dyn FnMut()>,
}

const UNITS: &[u32] = &[16, 32, 64, 128];
const CANDIDATES: &[u32] = &[4, 8, 16, 32, 64];
const WAITING: &[u32] = &[10, 100, 1_000, 10_000];

/// The last one is for what calls seldom: now and then it makes the events of the next calls.
pub const GROUPS: [Group; 9] = [
    Group {
        name: "lstm_step_fused",
        sizes: UNITS,
        part: |units| match units {
            16 => fused::<16>(),
            32 => fused::<32>(),
            64 => fused::<64>(),
            128 => fused::<128>(),
            _ => unreachable!("no size of this part"),
        },
    },
    Group {
        name: "lstm_step_live",
        sizes: &[shape::HIDDEN as u32],
        part: live,
    },
    Group {
        name: "lstm_step_candle",
        sizes: UNITS,
        part: candle,
    },
    Group {
        name: "features",
        // An oracle lists no more.
        sizes: &[4, 8, MAX_CANDIDATES as u32],
        part: features,
    },
    Group {
        name: "score_linear",
        sizes: CANDIDATES,
        part: score_linear,
    },
    Group {
        name: "score_network",
        sizes: CANDIDATES,
        part: score_network,
    },
    Group {
        name: "learn_linear",
        sizes: CANDIDATES,
        part: learn_linear,
    },
    Group {
        name: "switch_and_rank",
        sizes: WAITING,
        part: switch_and_rank,
    },
    Group {
        name: "decision",
        sizes: &[3, 30, 300],
        part: decision,
    },
];

fn numbers<const N: usize>(random: &mut ChaCha8Rng) -> [f32; N] {
    std::array::from_fn(|_| random.random_range(-0.5..0.5))
}

fn fused<const H: usize>() -> Box<dyn FnMut()> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let rows: Vec<Vector<H>> = (0..4 * (1 + shape::INPUT + H))
        .map(|_| Vector(numbers(&mut random)))
        .collect();
    let input: [f32; shape::INPUT] = numbers(&mut random);
    let (mut hidden, mut cell) = ([0.0; H], [0.0; H]);
    Box::new(move || lstm_step(black_box(&rows), black_box(&input), &mut hidden, &mut cell))
}

/// A step as the oracle makes it: recurrent weights in bfloat16, and what the codes of a few tasks add is kept. What the oracle works out ahead is
/// worked out in the call.
fn live(_: u32) -> Box<dyn FnMut()> {
    const TASKS: usize = 16;
    let weights = Weights::untrained(1);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let inputs: [[f32; shape::INPUT]; TASKS] = std::array::from_fn(|_| numbers(&mut random));
    let (mut lstm, mut rows) = (RunningLstm::default(), CodeRows::default());
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % TASKS;
        lstm.step(black_box(&weights), &mut rows, black_box(&inputs[at]));
    })
}

/// What [`kernoracle::model::Reference`] does for a step, with as many units as are asked for.
fn candle(units: u32) -> Box<dyn FnMut()> {
    let (units, device) = (units as usize, Device::Cpu);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut tensor = |rows: usize, columns: Option<usize>| {
        let numbers: Vec<f32> = (0..rows * columns.unwrap_or(1))
            .map(|_| random.random_range(-0.5..0.5))
            .collect();
        match columns {
            Some(columns) => Tensor::from_vec(numbers, (rows, columns), &device),
            None => Tensor::from_vec(numbers, rows, &device),
        }
        .expect("the shape is that of the numbers")
    };
    let tensors = HashMap::from([
        (
            "weight_ih_l0".to_owned(),
            tensor(4 * units, Some(shape::INPUT)),
        ),
        ("weight_hh_l0".to_owned(), tensor(4 * units, Some(units))),
        ("bias_ih_l0".to_owned(), tensor(4 * units, None)),
        ("bias_hh_l0".to_owned(), tensor(4 * units, None)),
    ]);
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &device);
    let lstm = LSTM::new(shape::INPUT, units, LSTMConfig::default(), builder).expect("all weights");
    let input: [f32; shape::INPUT] = numbers(&mut ChaCha8Rng::seed_from_u64(1));
    let mut state = lstm.zero_state(1).expect("a state");
    Box::new(move || {
        let input = Tensor::from_slice(black_box(&input), (1, shape::INPUT), &Device::Cpu);
        let input = input.expect("the shape is that of the numbers");
        let after = lstm.step(&input, &state).expect("a step");
        state = LSTMState {
            h: after.h.detach(),
            c: after.c.detach(),
        };
    })
}

/// The candidates and their numbers after a switch, from run queues and counts as they are after many.
fn features(candidates: u32) -> Box<dyn FnMut()> {
    // Idle and those that stand for others are candidates too; beyond a few, not every task is listed.
    let (_, gather) = (candidates - 2..100)
        .map(gatherer)
        .find(|(listed, _)| *listed == candidates as usize)
        .expect("some number of tasks has so many candidates");
    Box::new(gather)
}

/// With so many tasks: how many are listed, and what lists them.
fn gatherer(tasks: u32) -> (usize, impl FnMut()) {
    let mut stream = Stream::new(Shape {
        cpus: 1,
        tasks,
        waiting: (tasks / 3).max(1),
    });
    let mut events = Vec::new();
    stream.fill(&mut events, 20_000);
    let mut queues = RunQueues::new();
    let (mut contexts, mut runs) = (Contexts::new(18), Runs::default());
    let (mut wakes, mut gatherer) = (WakeCounts::default(), Gatherer::default());
    let mut last = None;
    for event in &events {
        let Body::Switch(switch) = &event.body else {
            queues.apply(event);
            continue;
        };
        let since_ns = queues.cpu(0).current_since_ns;
        if let Some((current, _)) = last {
            wakes.end(&queues, current, true);
        }
        let (prev, next) = queues.switch(event.ts_ns, 0, switch);
        contexts.push(next, true);
        gatherer.ran(next);
        let run_ns = since_ns.map(|since| event.ts_ns - since);
        runs.left(prev, run_ns, switch.prev_state == 0);
        let keys = situations::at_switch(&queues, 0, gatherer.recent(), &runs);
        for (which, key) in keys.into_iter().enumerate() {
            contexts.set_situation(which, key);
        }
        wakes.begin(&queues, next);
        last = Some((next, (event.ts_ns, wakes.look())));
    }
    let (current, (now_ns, wakes)) = last.expect("a stream has switches");
    contexts.look();
    let mut counted = Counted::default();
    counted.look(&contexts, wakes, &queues, current);
    let moment = Moment {
        cpu: 0,
        current,
        now_ns,
        refined: false,
        run: Expected {
            run_ns: [5_000, 10_000, 20_000],
            elapsed_ns: 0,
        },
    };
    let mut view = View::default();
    gatherer.gather(&queues, &counted, moment, &mut view);
    (view.candidates.len(), move || {
        black_box(gatherer.gather(&queues, &counted, black_box(moment), &mut view));
    })
}

/// As sparse as what is seen: half of the features are zero.
fn view(candidates: u32) -> View {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut view = View {
        situation: numbers::<{ shape::SITUATION }>(&mut random).to_vec(),
        ..View::default()
    };
    for _ in 0..candidates {
        let mut candidate = Candidate::other();
        for x in &mut candidate.features[..shape::FEATURES] {
            *x = if random.random_bool(0.5) {
                random.random_range(-1.0..1.0)
            } else {
                0.0
            };
        }
        candidate.role = random.random();
        view.candidates.push(candidate);
    }
    Mixer::default().score(false, &mut view);
    view
}

fn score_linear(candidates: u32) -> Box<dyn FnMut()> {
    let (mixer, mut view) = (Mixer::default(), view(candidates));
    Box::new(move || mixer.score(false, black_box(&mut view)))
}

fn score_network(candidates: u32) -> Box<dyn FnMut()> {
    let (weights, lstm) = (Weights::untrained(1), Lstm::default());
    let (view, mut scores) = (view(candidates), Scores::default());
    Box::new(move || score(&weights, black_box(&lstm.hidden), &view, &mut scores))
}

fn learn_linear(candidates: u32) -> Box<dyn FnMut()> {
    let (mut mixer, view) = (Mixer::default(), view(candidates));
    let mut scores = Scores::default();
    score(
        &Weights::untrained(1),
        &Lstm::default().hidden,
        &view,
        &mut scores,
    );
    Box::new(move || mixer.learn(false, black_box(&view), &scores.p, 0))
}

/// Switches that are gone through again and again.
const ROUND: usize = 4_096;

/// A switch to one of the tasks that wait and back to the queue, and the scheduler's picks after it.
fn switch_and_rank(waiting: u32) -> Box<dyn FnMut()> {
    // All of them are runnable, so that a round can begin anew.
    let mut stream = Stream::new(Shape {
        cpus: 1,
        tasks: waiting + 1,
        waiting,
    });
    let mut events = Vec::new();
    stream.fill(&mut events, ROUND);
    let mut queues = RunQueues::new();
    let mut switches: Vec<Switch> = Vec::with_capacity(ROUND + 1);
    for event in events {
        match event.body {
            Body::Switch(switch) => switches.push(switch),
            _ => _ = queues.apply(&event),
        }
    }
    // From the last one back to the first.
    let back = Switch {
        prev: switches[ROUND - 1].next.clone(),
        next: switches[0].prev.clone(),
        ..switches[0].clone()
    };
    if back.prev.pid != back.next.pid {
        switches.push(back);
    }
    let mut picker = Picker::default();
    let (mut at, mut now_ns) = (0, 1_u64 << 41);
    Box::new(move || {
        queues.switch(now_ns, 0, &switches[at]);
        black_box(picker.rank(&queues, 0, &Expected::default()).1);
        at = (at + 1) % switches.len();
        now_ns += 10_000;
    })
}

struct Ignored;

impl Sink for Ignored {
    fn decision(&mut self, decision: &Decision) {
        black_box(decision);
    }

    fn unscored(&mut self, _: u64, _: u32, _: Unscored) {}

    fn gap(&mut self, _: u64, _: u32, _: u64) {}
}

/// Decisions before anything is measured, and those whose events are made at a time.
const BEFORE: usize = 4_000;
const LOT: usize = 32_768;

/// Everything that an oracle does from one switch to the next: score, learn, count, predict at the switch and after the wake-ups behind it.
fn decision(waiting: u32) -> Box<dyn FnMut()> {
    let mut oracle = oracle::embedded(Learning::NEVER, false);
    let mut stream = Stream::new(Shape {
        cpus: 1,
        tasks: 3 * waiting + 1,
        waiting,
    });
    let mut events = Vec::new();
    stream.fill(&mut events, BEFORE);
    for event in &events {
        oracle.event(event, &mut Ignored);
    }
    // Events go on: the same again and again would be learned by heart. They are made in one call of many.
    let mut at = events.len();
    Box::new(move || {
        loop {
            if at == events.len() {
                stream.fill(&mut events, LOT);
                at = 0;
            }
            let event = &events[at];
            oracle.event(event, &mut Ignored);
            at += 1;
            if matches!(event.body, Body::Switch(_)) {
                return;
            }
        }
    })
}
