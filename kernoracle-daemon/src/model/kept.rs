//! A window as the learner keeps it: exact, without the zeros, in memory that is used again.

use super::frame::{Candidate, Frame, MAX_CANDIDATES, View, Window};
use super::vector::Vector;
use super::weights::shape::{FEATURES, INPUT, QUANTILES};
use crate::runqueue::CODE;

/// A view but for its lists.
#[derive(Clone, Copy, Debug)]
struct KeptView {
    refined: bool,
    candidates: u8,
    target: Option<u8>,
    selector: u8,
    run_base: f32,
    run_shift: [f32; QUANTILES],
}

/// The frames of a window, one behind another.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    inputs: Vec<[f32; INPUT]>,
    run_times: Vec<Option<f32>>,
    views: Vec<KeptView>,
    situations: Vec<f32>,
    linear: Vec<f32>,
    codes: Vec<[f32; CODE]>,
    /// For each candidate how many of its features are not zero; which these are, and what they are.
    counts: Vec<u8>,
    indexes: Vec<u8>,
    values: Vec<f32>,
}

impl Kept {
    /// Takes a copy of a window in place of what it held. Nothing is allocated if it has held one of that length: room is for the largest
    /// from the start, and what of it is never used is not resident.
    pub fn fill(&mut self, window: &Window) {
        let Self {
            inputs,
            run_times,
            views,
            situations,
            linear,
            codes,
            counts,
            indexes,
            values,
        } = self;
        inputs.clear();
        run_times.clear();
        views.clear();
        situations.clear();
        linear.clear();
        codes.clear();
        counts.clear();
        indexes.clear();
        values.clear();
        let frames = window.frames.len();
        let most = 2 * frames * MAX_CANDIDATES;
        inputs.reserve(frames);
        run_times.reserve(frames);
        views.reserve(2 * frames);
        situations.reserve(2 * frames * super::shape::SITUATION);
        linear.reserve(most);
        codes.reserve(most);
        counts.reserve(most);
        indexes.reserve(most * FEATURES);
        values.reserve(most * FEATURES);
        for frame in &window.frames {
            self.inputs.push(frame.input);
            self.run_times.push(frame.run_time);
            self.add(&frame.at_switch, false);
            if let Some(refined) = &frame.refined {
                self.add(refined, true);
            }
        }
    }

    fn add(&mut self, view: &View, refined: bool) {
        self.views.push(KeptView {
            refined,
            candidates: view.candidates.len() as u8,
            target: view.target.map(|target| target as u8),
            selector: view.selector as u8,
            run_base: view.run_base,
            run_shift: view.run_shift,
        });
        self.situations.extend_from_slice(&view.situation);
        self.linear.extend_from_slice(&view.linear);
        for candidate in &view.candidates {
            self.codes.push(candidate.code);
            let before = self.indexes.len();
            for (i, x) in candidate.features[..FEATURES].iter().enumerate() {
                if *x != 0.0 {
                    self.indexes.push(i as u8);
                    self.values.push(*x);
                }
            }
            self.counts.push((self.indexes.len() - before) as u8);
        }
    }

    /// Switches in the window.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// The frames, as they were but for what only the oracle asks for: names and roles.
    pub fn frames(&self) -> Vec<Frame> {
        let mut situations = self.situations.chunks_exact(super::shape::SITUATION);
        let mut linear = self.linear.iter().copied();
        let mut candidates = self.codes.iter().zip(&self.counts);
        let mut features = self.indexes.iter().zip(&self.values);
        let view = |kept: &KeptView| {
            let count = usize::from(kept.candidates);
            View {
                situation: situations.next().unwrap_or_default().to_vec(),
                candidates: (candidates.by_ref().take(count))
                    .map(|(code, count)| {
                        let mut candidate = Candidate {
                            sym: None,
                            features: Vector::ZERO,
                            code: *code,
                            role: 0,
                        };
                        for (i, x) in features.by_ref().take(usize::from(*count)) {
                            candidate.features[usize::from(*i)] = *x;
                        }
                        candidate
                    })
                    .collect(),
                linear: linear.by_ref().take(count).collect(),
                target: kept.target.map(usize::from),
                run_base: kept.run_base,
                run_shift: kept.run_shift,
                selector: usize::from(kept.selector),
                ..View::default()
            }
        };
        let inputs = self.inputs.iter().copied();
        let is_refined = |kept: &KeptView| kept.refined;
        Frame::unfold(inputs, &self.run_times, &self.views, is_refined, view)
    }
}
