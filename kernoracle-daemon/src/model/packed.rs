//! Windows kept for training in a twentieth of their size: only what training needs, as f16, zeros left out.

use super::forward::Lstm;
use super::frame::{Candidate, Frame, View};
use super::vector::Vector;
use super::weights::shape::{FEATURES, INPUT, SITUATION};
use crate::runqueue::CODE;
use half::f16;

/// A window as training sees it.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The LSTM's state before the first frame.
    pub start: Lstm,
    pub frames: Vec<Frame>,
}

/// A [`Sequence`] to keep. Without the candidates' names and what the linear part gave.
#[derive(Clone, Debug)]
pub struct Packed {
    start: Box<Lstm>,
    /// `[T][INPUT]`
    inputs: Vec<f16>,
    run_times: Vec<Option<f32>>,
    views: Vec<PackedView>,
    /// `[views][SITUATION]`
    situations: Vec<f16>,
    /// The codes that occur.
    palette: Vec<[f16; CODE]>,
    /// For each candidate its code's place in the palette and the number of its features that are not zero.
    candidates: Vec<(u16, u8)>,
    /// Which features these are, and what they are.
    indexes: Vec<u8>,
    values: Vec<f16>,
}

#[derive(Clone, Copy, Debug)]
struct PackedView {
    refined: bool,
    candidates: u8,
    selector: u8,
    target: Option<u8>,
    run_base: f32,
}

const _: () = assert!(FEATURES <= 255, "indexes and counts of features are u8");

impl Packed {
    /// From frames and the LSTM's state before the first one.
    pub fn new<'a>(start: &Lstm, frames: impl IntoIterator<Item = &'a Frame>) -> Self {
        let mut packed = Self {
            start: Box::new(start.clone()),
            inputs: Vec::new(),
            run_times: Vec::new(),
            views: Vec::new(),
            situations: Vec::new(),
            palette: Vec::new(),
            candidates: Vec::new(),
            indexes: Vec::new(),
            values: Vec::new(),
        };
        for frame in frames {
            packed
                .inputs
                .extend(frame.input.iter().map(|x| f16::from_f32(*x)));
            packed.run_times.push(frame.run_time);
            packed.add(&frame.at_switch, false);
            if let Some(refined) = &frame.refined {
                packed.add(refined, true);
            }
        }
        packed
    }

    fn add(&mut self, view: &View, refined: bool) {
        self.views.push(PackedView {
            refined,
            candidates: view.candidates.len() as u8,
            selector: view.selector as u8,
            target: view.target.map(|target| target as u8),
            run_base: view.run_base,
        });
        self.situations
            .extend(view.situation.iter().map(|x| f16::from_f32(*x)));
        for candidate in &view.candidates {
            let code = candidate.code.map(f16::from_f32);
            let place = self
                .palette
                .iter()
                .position(|other| *other == code)
                .unwrap_or_else(|| {
                    self.palette.push(code);
                    self.palette.len() - 1
                });
            let before = self.indexes.len();
            for (i, x) in candidate.features.iter().enumerate() {
                if *x != 0.0 {
                    self.indexes.push(i as u8);
                    self.values.push(f16::from_f32(*x));
                }
            }
            self.candidates
                .push((place as u16, (self.indexes.len() - before) as u8));
        }
    }

    /// Frames in the window.
    pub fn len(&self) -> usize {
        self.run_times.len()
    }

    /// No frame at all.
    pub fn is_empty(&self) -> bool {
        self.run_times.is_empty()
    }

    /// The window, as exact as f16 is.
    pub fn unpack(&self) -> Sequence {
        let mut situations = self.situations.chunks_exact(SITUATION);
        let mut candidates = self.candidates.iter();
        let mut features = self.indexes.iter().zip(&self.values);
        let view = |packed: &PackedView| View {
            situation: situations
                .next()
                .map(|values| values.iter().map(|x| x.to_f32()).collect())
                .unwrap_or_default(),
            candidates: candidates
                .by_ref()
                .take(usize::from(packed.candidates))
                .map(|(code, len)| {
                    let mut candidate = Candidate {
                        sym: None,
                        features: Vector::ZERO,
                        code: self.palette[usize::from(*code)].map(f16::to_f32),
                        // Only online learning asks for it.
                        role: 0,
                    };
                    for (i, x) in features.by_ref().take(usize::from(*len)) {
                        candidate.features[usize::from(*i)] = x.to_f32();
                    }
                    candidate
                })
                .collect(),
            target: packed.target.map(usize::from),
            run_base: packed.run_base,
            selector: usize::from(packed.selector),
            ..View::default()
        };
        let inputs = (self.inputs.chunks_exact(INPUT))
            .map(|input| std::array::from_fn(|i| input[i].to_f32()));
        let is_refined = |packed: &PackedView| packed.refined;
        let frames = Frame::unfold(inputs, &self.run_times, &self.views, is_refined, view);
        Sequence {
            start: (*self.start).clone(),
            frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    fn view(random: &mut ChaCha8Rng, candidates: usize) -> View {
        let mut view = View {
            target: Some(candidates / 2),
            run_base: random.random_range(5.0..15.0),
            selector: random.random_range(0..20),
            ..View::default()
        };
        view.situation = (0..SITUATION)
            .map(|_| random.random_range(-1.0..2.0))
            .collect();
        for _ in 0..candidates {
            let mut candidate = Candidate::other();
            for x in &mut candidate.features[..FEATURES] {
                *x = if random.random_bool(0.6) {
                    0.0
                } else {
                    random.random_range(-4.0..4.0)
                };
            }
            candidate.code = [0.35, -0.35].map(|x| [x; CODE])[usize::from(random.random_bool(0.5))];
            view.candidates.push(candidate);
        }
        view
    }

    #[test]
    fn what_was_packed_comes_out() {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let frames: Vec<Frame> = (0..40)
            .map(|t| Frame {
                input: std::array::from_fn(|_| random.random_range(-1.0..1.0)),
                at_switch: Box::new(view(&mut random, 1 + t % 31)),
                refined: (t % 3 == 0).then(|| Box::new(view(&mut random, 1 + t % 7))),
                run_time: (t % 5 != 0).then_some(t as f32 / 7.0),
            })
            .collect();
        let mut start = Lstm::default();
        start.hidden[3] = 0.7;
        let packed = Packed::new(&start, &frames);
        assert_eq!(packed.len(), frames.len());
        let out = packed.unpack();
        assert_eq!(out.start, start);
        let close = |a: &[f32], b: &[f32]| {
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-3 * a.abs() + 1e-6, "{a} {b}");
            }
        };
        let same = |a: &View, b: &View| {
            assert_eq!((a.target, a.selector), (b.target, b.selector));
            assert_eq!(a.run_base.to_bits(), b.run_base.to_bits());
            close(&a.situation, &b.situation);
            assert_eq!(a.candidates.len(), b.candidates.len());
            for (a, b) in a.candidates.iter().zip(&b.candidates) {
                close(&a.features[..], &b.features[..]);
                close(&a.code, &b.code);
            }
        };
        for (a, b) in frames.iter().zip(&out.frames) {
            close(&a.input, &b.input);
            assert_eq!(a.run_time, b.run_time);
            same(&a.at_switch, &b.at_switch);
            assert_eq!(a.refined.is_some(), b.refined.is_some());
            if let (Some(a), Some(b)) = (&a.refined, &b.refined) {
                same(a, b);
            }
        }
    }
}
