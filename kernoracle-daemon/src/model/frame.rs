//! What the model saw at each switch, kept for training: the rolling window.

use super::features::candidate;
use super::vector::Vector;
use super::weights::shape::{FEATURE_ROW, INPUT, QUANTILES, SITUATION};
use crate::runqueue::{CODE, Sym};
use std::collections::VecDeque;

/// Candidates at most, the one that stands for all others included. With 32, and 16 instead of 6 that wait in front, top-1 is the same to
/// a hundredth of a point on recorded loads, and a prediction takes a third longer where many wait.
pub const MAX_CANDIDATES: usize = 20;

/// A candidate as the network sees it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `None` stands for tasks that have no name yet, or are not listed: [`Self::is_child`] tells.
    pub sym: Option<Sym>,
    pub features: Vector<FEATURE_ROW>,
    pub code: [f32; CODE],
    /// Number of its role.
    pub role: u32,
}

impl Candidate {
    /// The one that stands for all others.
    pub fn other() -> Self {
        let mut features = Vector::ZERO;
        features[candidate::OTHER] = 1.0;
        Self {
            sym: None,
            features,
            code: [0.0; CODE],
            role: 0,
        }
    }

    /// It stands for a task that the current one is about to fork.
    pub fn is_child(&self) -> bool {
        self.features[candidate::CHILD] > 0.0
    }

    /// It can be named as a prediction: all but the one for all others.
    pub fn names_one(&self) -> bool {
        self.sym.is_some() || self.is_child()
    }
}

/// Everything that one prediction is made from, besides the LSTM's state.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub situation: Vec<f32>,
    /// The last one stands for all others.
    pub candidates: Vec<Candidate>,
    /// What the linear part gave each candidate.
    pub linear: Vec<f32>,
    /// Which of the candidates was right, once it is known.
    pub target: Option<usize>,
    /// `ln` of the expected run time in ns, to which the run-time head adds.
    pub run_base: f32,
    /// What the linear part of the run-time head adds, `[QUANTILES]`.
    pub run_shift: [f32; QUANTILES],
    /// Choice of weights in the mixer.
    pub selector: usize,
    /// The current task's role, for the same purpose.
    pub role: u32,
}

impl View {
    pub(crate) fn clear(&mut self) {
        self.situation.clear();
        self.situation.resize(SITUATION, 0.0);
        self.candidates.clear();
        self.linear.clear();
        // Room for all from the start, so that nothing grows later; what is not used is not resident.
        self.candidates.reserve_exact(MAX_CANDIDATES);
        self.linear.reserve_exact(MAX_CANDIDATES);
        self.target = None;
    }

    /// Index of a task's candidate; of the one for a new child, if it is one; or else of the one for all others.
    pub fn index_of(&self, sym: Sym, new_child: bool) -> usize {
        let position =
            |wanted: &dyn Fn(&Candidate) -> bool| self.candidates.iter().position(wanted);
        position(&|candidate| candidate.sym == Some(sym))
            .or_else(|| position(&|candidate| new_child && candidate.is_child()))
            .unwrap_or(self.candidates.len() - 1)
    }
}

/// One switch: the LSTM's input and the predictions made after it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub input: [f32; INPUT],
    pub at_switch: View,
    /// The last refined prediction before the next switch.
    pub refined: Option<View>,
    /// `ln` of the run time in ns that followed.
    pub run_time: Option<f32>,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            input: [0.0; INPUT],
            at_switch: View::default(),
            refined: None,
            run_time: None,
        }
    }
}

/// The last switches of one CPU, without a gap between them.
#[derive(Clone, Debug)]
pub struct Window {
    pub frames: VecDeque<Frame>,
    length: usize,
    /// Refined views out of use: their memory is used again.
    spare: Vec<View>,
}

impl Window {
    /// A window of at most `length` switches.
    pub fn new(length: usize) -> Self {
        Self {
            frames: VecDeque::with_capacity(length + 1),
            length,
            spare: Vec::with_capacity(length + 1),
        }
    }

    /// Starts a frame in place of the oldest one and returns it.
    pub fn advance(&mut self) -> &mut Frame {
        let mut frame = if self.frames.len() >= self.length {
            self.frames.pop_front().unwrap_or_default()
        } else {
            Frame::default()
        };
        self.spare.extend(frame.refined.take());
        frame.run_time = None;
        frame.at_switch.clear();
        self.frames.push_back(frame);
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// The frame of the last switch.
    pub fn last(&mut self) -> Option<&mut Frame> {
        self.frames.back_mut()
    }

    /// The last frame's refined view, begun if there is none.
    pub fn refine(&mut self) -> Option<&mut View> {
        let frame = self.frames.back_mut()?;
        let spare = &mut self.spare;
        let fresh = || spare.pop().unwrap_or_default();
        Some(frame.refined.get_or_insert_with(fresh))
    }

    /// The last frame's refined view does not count.
    pub fn unrefine(&mut self) {
        if let Some(frame) = self.frames.back_mut() {
            self.spare.extend(frame.refined.take());
        }
    }

    /// The window holds as many switches as it may.
    pub fn full(&self) -> bool {
        self.frames.len() == self.length
    }

    /// Forgets everything: what follows does not follow from what was.
    pub fn clear(&mut self) {
        self.frames.clear();
    }
}

/// The quantiles of the run-time head.
pub const QUANTILE_LEVELS: [f32; QUANTILES] = [0.1, 0.5, 0.9];
