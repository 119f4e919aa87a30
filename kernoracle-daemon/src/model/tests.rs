//! The network against second implementations and known answers.

use super::features::candidate;
use super::frame::Candidate;
use super::shape::{FEATURES, HIDDEN, INPUT, SITUATION};
use super::weights::TENSORS;
use super::*;
use crate::runqueue::CODE;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Weights in which every tensor matters, the outputs that start at zero too.
pub(super) fn busy_weights(seed: u64) -> Weights {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let tensors = TENSORS.iter().map(|(name, dims)| {
        let len: usize = dims.iter().product();
        (
            *name,
            (0..len).map(|_| random.random_range(-0.3..0.3)).collect(),
        )
    });
    Weights::from_tensors(tensors.collect())
}

pub(super) fn view(random: &mut ChaCha8Rng, candidates: usize) -> View {
    let mut view = View::default();
    view.clear();
    for x in &mut view.situation {
        *x = random.random_range(-1.0..1.0);
    }
    for _ in 0..candidates {
        let mut candidate = Candidate::other();
        for x in &mut candidate.features[..FEATURES] {
            *x = random.random_range(-1.0..1.0);
        }
        candidate.features[candidate::OTHER] = 0.0;
        candidate.code = std::array::from_fn::<f32, CODE, _>(|_| random.random_range(-0.5..0.5));
        view.candidates.push(candidate);
    }
    view.candidates.push(Candidate::other());
    view.linear = (0..=candidates)
        .map(|_| random.random_range(-3.0..3.0))
        .collect();
    view.run_base = 11.0;
    view
}

#[test]
fn plain_arrays_equal_candle() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let weights = busy_weights(5);
    let mut reference = Reference::new(&weights).expect("candle takes the weights");
    let mut lstm = Lstm::default();
    let (mut plain, mut candle) = (Scores::default(), Scores::default());
    for step in 0..300 {
        let input: [f32; INPUT] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
        lstm.step(&weights, &input);
        reference.step(0, &input).expect("a step");
        let hidden = reference.hidden(0).expect("a state");
        for (a, b) in lstm.hidden.iter().zip(&hidden) {
            assert!((a - b).abs() < 1e-5, "step {step}: {a} and {b}");
        }
        let view = view(&mut random, 1 + step % 31);
        score(&weights, &lstm.hidden, &view, &mut plain);
        reference.score(0, &view, &mut candle).expect("scores");
        assert_eq!(plain.p.len(), view.candidates.len());
        assert!((plain.p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        for (a, b) in plain
            .p
            .iter()
            .zip(&candle.p)
            .chain(plain.run.iter().zip(&candle.run))
        {
            assert!(
                (a - b).abs() < 1e-5 * b.abs().max(1.0),
                "step {step}: {a} and {b}"
            );
        }
    }
}

/// The textbook cell in f64, one number at a time, from the tensors as the forward step takes them.
#[test]
fn the_lstm_is_the_textbook_one() {
    let weights = busy_weights(11);
    let stepped = weights.stepped();
    let tensors: std::collections::BTreeMap<_, _> = stepped
        .tensors()
        .map(|(name, _, values)| (name, values.to_vec()))
        .collect();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut h, mut c) = (vec![0.0_f64; HIDDEN], vec![0.0_f64; HIDDEN]);
    let mut lstm = Lstm::default();
    for _ in 0..50 {
        let input: [f32; INPUT] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
        lstm.step(&weights, &input);
        let gate = |row: usize, h: &[f64]| {
            let sum = |name: &str, x: &mut dyn Iterator<Item = f64>| {
                x.enumerate().fold((0.0, 0), |(sum, n), (i, x)| {
                    let columns = tensors[name].len() / (4 * HIDDEN);
                    (sum + x * f64::from(tensors[name][row * columns + i]), n + 1)
                })
            };
            sum(
                "lstm.weight_ih_l0",
                &mut input.iter().map(|x| f64::from(*x)),
            )
            .0 + sum("lstm.weight_hh_l0", &mut h.iter().copied()).0
                + f64::from(tensors["lstm.bias_ih_l0"][row])
                + f64::from(tensors["lstm.bias_hh_l0"][row])
        };
        let gates: Vec<f64> = (0..4 * HIDDEN).map(|row| gate(row, &h)).collect();
        for i in 0..HIDDEN {
            c[i] = sigmoid(gates[HIDDEN + i]) * c[i]
                + sigmoid(gates[i]) * gates[2 * HIDDEN + i].tanh();
            h[i] = sigmoid(gates[3 * HIDDEN + i]) * c[i].tanh();
        }
    }
    for (a, b) in lstm.hidden.iter().zip(&h) {
        assert!((f64::from(*a) - b).abs() < 1e-5, "{a} and {b}");
    }
}

/// A window in which the right candidate is the one whose code was in the input two switches ago: only the recurrent net can tell.
pub(super) fn memory_window(random: &mut ChaCha8Rng, length: usize) -> Window {
    let codes: Vec<[f32; CODE]> = (0..3)
        .map(|task| {
            std::array::from_fn(|bit| {
                if (task + 1) >> (bit % 2) & 1 == 1 {
                    0.35
                } else {
                    -0.35
                }
            })
        })
        .collect();
    let mut window = Window::new(length);
    let mut past = [0_usize, 0];
    for _ in 0..length {
        let now = random.random_range(0..3);
        let frame = window.advance(true);
        frame.input[..CODE].copy_from_slice(&codes[now]);
        for code in &codes {
            let mut candidate = Candidate::other();
            candidate.features[candidate::OTHER] = 0.0;
            candidate.code = *code;
            frame.at_switch.candidates.push(candidate);
        }
        frame.at_switch.candidates.push(Candidate::other());
        frame.at_switch.linear = vec![0.0; 4];
        frame.at_switch.situation = vec![0.0; SITUATION];
        frame.at_switch.target = Some(past[0]);
        frame.at_switch.run_base = 10.0;
        frame.run_time = Some(if past[0] == 1 { 12.0 } else { 9.0 });
        past = [past[1], now];
    }
    window
}

#[test]
fn the_learner_learns_what_needs_memory() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut learner = Learner::new(&Weights::untrained(1), 2).expect("a learner");
    let mut losses = Vec::new();
    for _ in 0..150 {
        learner.add(&memory_window(&mut random, 48));
        losses.push(
            learner
                .step()
                .expect("candle works")
                .expect("finite")
                .loss_bits,
        );
    }
    let first: f32 = losses[..5].iter().sum::<f32>() / 5.0;
    let last: f32 = losses[losses.len() - 10..].iter().sum::<f32>() / 10.0;
    // Without memory, three equal candidates cost log2(3) = 1.58 bits.
    assert!((first - 2.0).abs() < 0.3, "starts near log2(4): {first}");
    assert!(
        last < 1.0,
        "must remember two switches: {last} bits, {losses:?}"
    );
}

#[test]
fn the_mixer_learns_which_feature_tells() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut mixer = Mixer::default();
    let mut late_hits = 0;
    for step in 0..2_000 {
        let mut view = view(&mut random, 4);
        let right = random.random_range(0..4);
        for (i, candidate) in view.candidates.iter_mut().enumerate().take(4) {
            candidate.features[candidate::JUST_LEFT] = f32::from(u8::from(i == right));
        }
        mixer.score(false, &mut view);
        let mut scores = Scores::default();
        score(&Weights::untrained(1), &[0.0; HIDDEN], &view, &mut scores);
        let best = (0..5)
            .max_by(|a, b| scores.p[*a].total_cmp(&scores.p[*b]))
            .expect("five");
        late_hits += u32::from(step >= 1_500 && best == right);
        mixer.learn(false, &view, &scores.p, right);
    }
    assert!(late_hits > 480, "{late_hits} of the last 500");
}

#[test]
fn the_run_mixer_finds_the_quantiles() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let mut linear = RunMixer::default();
    let mut below = [0_u32; 3];
    let total = 4_000;
    for step in 0..20_000 {
        let mut view = View::default();
        view.clear();
        view.run_base = 10.0;
        view.situation[features::situation::ONE] = 1.0;
        let late = random.random_bool(0.5);
        view.situation[features::situation::NONE_WAITS] = f32::from(u8::from(late));
        // Uniform on [10, 12], or on [13, 15] if nothing waits: the quantiles are known.
        let actual = random.random_range(10.0..12.0) + if late { 3.0 } else { 0.0 };
        view.candidates.push(Candidate::other());
        view.linear = vec![0.0];
        linear.shift(&mut view);
        let mut scores = Scores::default();
        score(&Weights::untrained(1), &[0.0; HIDDEN], &view, &mut scores);
        if step >= 20_000 - total {
            for (below, predicted) in below.iter_mut().zip(&scores.run) {
                *below += u32::from(actual < *predicted);
            }
        }
        linear.learn(&view, &scores, actual);
    }
    for (below, level) in below.iter().zip(frame::QUANTILE_LEVELS) {
        let share = *below as f32 / total as f32;
        assert!(
            (share - level).abs() < 0.04,
            "{share} of the runs lie below the {level} quantile"
        );
    }
}
