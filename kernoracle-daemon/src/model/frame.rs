//! What the model saw at each switch, kept for training: the rolling window.

use super::features::candidate;
use super::vector::Vector;
use super::weights::shape::{FEATURE_ROW, INPUT, QUANTILES, SITUATION};
use crate::runqueue::{CODE, Sym};
use std::collections::VecDeque;
use std::mem;

/// Candidates at most, the one that stands for all others included; lists are shorter where that pays (`candidates/depth.rs`). On a recording of pgbench, the load that needs most of them, top-1 is 79.8,
/// 79.8, 79.6 and 78.9 % with 20, 14, 12 and 10.
pub const MAX_CANDIDATES: usize = 14;
/// The same after a wake-up, where the scheduler's order decides more.
pub const MAX_REFINED: usize = 8;

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
    /// What the features of most candidates are: the scorer's first layer starts from it. Any row serves; zeros save nothing.
    pub common: Vector<FEATURE_ROW>,
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
        self.common = Vector::ZERO;
        self.linear.clear();
        // Room for all from the start, so that nothing grows later; what is not used is not resident.
        self.candidates.reserve_exact(MAX_CANDIDATES);
        self.linear.reserve_exact(MAX_CANDIDATES);
        self.target = None;
    }

    /// Adds a candidate. Field by field, where it stays: a row of features is half a KiB, and what is made elsewhere is copied.
    pub(super) fn push(
        &mut self,
        sym: Option<Sym>,
        features: &Vector<FEATURE_ROW>,
        code: &[f32; CODE],
        role: u32,
    ) -> &mut Candidate {
        let at = self.candidates.len();
        if at == self.candidates.capacity() {
            self.candidates.reserve(MAX_CANDIDATES);
        }
        let place = self.candidates.as_mut_ptr().wrapping_add(at);
        // SAFETY: there is room behind the last one. Every field is written before it counts as one; an exhaustive pattern
        // below would not compile if there were another.
        unsafe {
            (&raw mut (*place).sym).write(sym);
            (&raw mut (*place).features).copy_from_nonoverlapping(features, 1);
            (&raw mut (*place).code).copy_from_nonoverlapping(code, 1);
            (&raw mut (*place).role).write(role);
            self.candidates.set_len(at + 1);
        }
        let candidate = &mut self.candidates[at];
        let Candidate {
            sym: _,
            features: _,
            code: _,
            role: _,
        } = candidate;
        candidate
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
    /// Boxed, like the other: windows hand views on, and a view has a row of features in it.
    pub at_switch: Box<View>,
    /// The last refined prediction before the next switch.
    pub refined: Option<Box<View>>,
    /// `ln` of the run time in ns that followed.
    pub run_time: Option<f32>,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            input: [0.0; INPUT],
            at_switch: Box::default(),
            refined: None,
            run_time: None,
        }
    }
}

impl Frame {
    /// Frames from what they were kept as: inputs and run times, one of each a frame, and views, in which a refined one follows the at-switch
    /// one of its frame.
    pub(super) fn unfold<'a, V: 'a>(
        inputs: impl Iterator<Item = [f32; INPUT]>,
        run_times: &[Option<f32>],
        views: &'a [V],
        is_refined: impl Fn(&V) -> bool,
        mut view: impl FnMut(&'a V) -> View,
    ) -> Vec<Self> {
        let mut views = views.iter().peekable();
        let mut view = |kept: &'a V| Box::new(view(kept));
        inputs
            .zip(run_times)
            .map(|(input, run_time)| Self {
                input,
                at_switch: views.next().map(&mut view).unwrap_or_default(),
                refined: (views.next_if(|next| is_refined(next))).map(&mut view),
                run_time: *run_time,
            })
            .collect()
    }
}

/// The last switches of one CPU, without a gap between them.
#[derive(Clone, Debug)]
pub struct Window {
    pub frames: VecDeque<Frame>,
    length: usize,
    /// Of the last ones, how many still have their views.
    whole: usize,
    /// Refined views out of use: their memory is used again.
    #[expect(
        clippy::vec_box,
        reason = "they go to frames and come back as they are"
    )]
    spare: Vec<Box<View>>,
}

impl Window {
    /// A window of at most `length` switches.
    pub fn new(length: usize) -> Self {
        Self {
            frames: VecDeque::with_capacity(length + 1),
            length,
            whole: 0,
            spare: Vec::with_capacity(length + 1),
        }
    }

    /// Starts a frame in place of the oldest one and returns it. Without `keep` nothing will be learned from the frames before: the last
    /// one's views become the new one's, so that a prediction is written to memory that is near.
    pub fn advance(&mut self, keep: bool) -> &mut Frame {
        let mut frame = if self.frames.len() >= self.length {
            self.frames.pop_front().unwrap_or_default()
        } else {
            Frame::default()
        };
        self.spare.extend(frame.refined.take());
        if keep {
            self.whole = (self.whole + 1).min(self.length);
        } else {
            self.whole = 1;
            if let Some(last) = self.frames.back_mut() {
                mem::swap(&mut frame.at_switch, &mut last.at_switch);
                self.spare.extend(last.refined.take());
            }
        }
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

    /// The window holds as many switches as it may, each with its views.
    pub fn full(&self) -> bool {
        self.frames.len() == self.length && self.whole == self.length
    }

    /// Frames before the last one have been kept.
    pub fn keeps(&self) -> bool {
        self.whole > 1
    }

    /// Forgets everything: what follows does not follow from what was.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.whole = 0;
    }
}

/// The quantiles of the run-time head.
pub const QUANTILE_LEVELS: [f32; QUANTILES] = [0.1, 0.5, 0.9];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_full_once_every_frame_has_been_kept() {
        let mut window = Window::new(4);
        let mut advance = |keep: bool| {
            let frame = window.advance(keep);
            frame.at_switch.candidates.clear();
            frame.at_switch.candidates.push(Candidate::other());
            let views = window.frames.iter();
            let views = views
                .map(|frame| frame.at_switch.candidates.len())
                .collect();
            (views, window.full())
        };
        let mut all: Vec<(Vec<usize>, bool)> = Vec::new();
        for keep in [false, false, true, true, true, true, false, true] {
            all.push(advance(keep));
        }
        assert_eq!(
            all,
            [
                (vec![1], false),
                // The view of the one before has become the new one's.
                (vec![0, 1], false),
                (vec![0, 1, 1], false),
                (vec![0, 1, 1, 1], false),
                (vec![1, 1, 1, 1], true),
                (vec![1, 1, 1, 1], true),
                // What the ones before hold is of frames that are gone.
                (vec![1, 1, 1, 1], false),
                (vec![1, 1, 1, 1], false),
            ]
        );
    }
}
