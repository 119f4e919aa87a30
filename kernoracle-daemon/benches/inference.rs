//! The parts of a prediction, each alone: `cargo bench -p kernoracle-daemon --bench inference`.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use kernoracle::model::{
    Candidate, Lstm, Mixer, Reference, Scores, Vector, View, Weights, lstm_step, score, shape,
};
use kernoracle::runqueue::{Expected, Picker, RunQueues};
use kernoracle::trace::event::{Body, Comm, Entity, Event, Fair, Switch, Task, Wake, WakeKind};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;

fn numbers<const N: usize>(random: &mut ChaCha8Rng) -> [f32; N] {
    std::array::from_fn(|_| random.random_range(-0.5..0.5))
}

fn fused<const H: usize>(criterion: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let rows: Vec<Vector<H>> = (0..4 * (1 + shape::INPUT + H))
        .map(|_| Vector(numbers(&mut random)))
        .collect();
    let input: [f32; shape::INPUT] = numbers(&mut random);
    let (mut hidden, mut cell) = ([0.0; H], [0.0; H]);
    criterion.benchmark_group("lstm_step_fused").bench_function(
        BenchmarkId::from_parameter(H),
        |bencher| {
            bencher.iter(|| {
                lstm_step(black_box(&rows), black_box(&input), &mut hidden, &mut cell);
            });
        },
    );
}

fn steps(criterion: &mut Criterion) {
    fused::<16>(criterion);
    fused::<32>(criterion);
    fused::<64>(criterion);
    fused::<128>(criterion);
    let weights = Weights::untrained(1);
    let mut reference = Reference::new(&weights).expect("candle takes the weights");
    let input: [f32; shape::INPUT] = numbers(&mut ChaCha8Rng::seed_from_u64(1));
    criterion
        .benchmark_group("lstm_step_candle")
        .bench_function(BenchmarkId::from_parameter(shape::HIDDEN), |bencher| {
            bencher.iter(|| reference.step(0, black_box(&input)).expect("a step"));
        });
}

/// As sparse as what is seen: half of the features are zero.
fn view(random: &mut ChaCha8Rng, candidates: usize) -> View {
    let mut view = View {
        situation: numbers::<{ shape::SITUATION }>(random).to_vec(),
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
    view
}

fn scoring(criterion: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let (weights, lstm) = (Weights::untrained(1), Lstm::default());
    let mut mixer = Mixer::default();
    let mut scores = Scores::default();
    for candidates in [4, 8, 16, 32, 64] {
        let mut view = view(&mut random, candidates);
        let id = BenchmarkId::from_parameter(candidates);
        criterion
            .benchmark_group("score_linear")
            .bench_function(id.clone(), |bencher| {
                bencher.iter(|| mixer.score(false, black_box(&mut view)));
            });
        criterion
            .benchmark_group("score_network")
            .bench_function(id.clone(), |bencher| {
                bencher.iter(|| {
                    score(&weights, black_box(&lstm.hidden), &view, &mut scores);
                });
            });
        criterion
            .benchmark_group("learn_linear")
            .bench_function(id, |bencher| {
                bencher.iter(|| mixer.learn(false, black_box(&view), &scores.p, 0));
            });
    }
}

fn task(pid: u32, vruntime: u64) -> Task {
    Task {
        pid,
        tgid: pid,
        comm: Comm::new("worker"),
        prio: 120,
        on_rq: true,
        fair: Some(Fair {
            own: Entity {
                vruntime,
                deadline: Some(vruntime + 2_800_000),
                slice: Some(2_800_000),
                weight: 1024 << 10,
                cfs_rq: 0,
            },
            sum_exec_ns: 0,
            vlag: Some(0),
            delayed: Some(false),
            depth: 0,
            parents: arrayvec::ArrayVec::new(),
        }),
        ..Task::default()
    }
}

/// A switch to the next of `waiting` tasks and back to the queue, and the picks after it.
fn picks(criterion: &mut Criterion) {
    for waiting in [10, 100, 1_000, 10_000] {
        let mut queues = RunQueues::new();
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for pid in 1..=waiting {
            let task = task(pid, 1 << 40 | random.random_range(0..100_000_000));
            let wake = Wake {
                kind: WakeKind::Wakeup,
                waker_pid: 0,
                target_cpu: 0,
                task,
            };
            queues.apply(&Event {
                ts_ns: u64::from(pid),
                seq: 0,
                cpu: 0,
                body: Body::Wake(wake),
            });
        }
        let mut picker = Picker::default();
        let (mut current, mut now_ns) = (task(0, 0), 1_u64 << 30);
        current.fair = None;
        criterion.benchmark_group("switch_and_rank").bench_function(
            BenchmarkId::from_parameter(waiting),
            |bencher| {
                bencher.iter_batched(
                    || {
                        now_ns += 10_000;
                        let pid = random.random_range(1..=waiting);
                        let next = task(pid, 1 << 40 | random.random_range(0..100_000_000));
                        let switch = Switch {
                            prev: std::mem::replace(&mut current, next.clone()),
                            next,
                            prev_state: 0,
                            preempt: true,
                            merged: false,
                            hidden_ns: 0,
                        };
                        (now_ns, switch)
                    },
                    |(now_ns, switch)| {
                        queues.switch(now_ns, 0, &switch);
                        black_box(picker.rank(&queues, 0, &Expected::default()).1)
                    },
                    BatchSize::SmallInput,
                );
            },
        );
    }
}

criterion_group!(parts, steps, scoring, picks);
criterion_main!(parts);
