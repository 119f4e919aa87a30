//! The linear part, adapted at every switch.
//!
//! Each candidate's linear score is a weighted sum of its features; after each decision the weights follow the gradient of the log-loss, as
//! the mixers of the PAQ and cmix compressors do. The weights are the sum of a set that is shared and of sets chosen by the kind of situation, by
//! the role of the current task and by the role of the candidate; steps are scaled per
//! weight (AdaGrad, Duchi et al. 2011). The gradient is that of the whole model's probabilities, so the linear part and
//! the network correct each other.

use super::features::candidate;
use super::frame::View;
use super::weights::shape::FEATURES;

/// Kinds of situations that have weights of their own.
pub const SELECTORS: usize = 24;
/// At-switch and refined predictions have weights of their own.
pub(super) const KINDS: usize = 2;
const RATE: f32 = 0.03;
const CANDIDATE_RATE: f32 = 0.05;
/// Sets for the tasks' roles, which share one where their numbers fall together.
const ROLES: usize = 64;

/// One set of weights with its step sizes.
#[derive(Clone, Debug, PartialEq)]
struct Set {
    weights: [f32; FEATURES],
    squares: [f32; FEATURES],
}

impl Set {
    fn new(weights: &[f32; FEATURES]) -> Self {
        Self {
            weights: *weights,
            squares: [0.5; FEATURES],
        }
    }
}

/// The linear part of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixer {
    shared: Vec<Set>,
    selected: Vec<Set>,
    /// Chosen by the role of the current task; these learn only online, and are not stored.
    by_role: Vec<Set>,
    /// Chosen by the role of each candidate.
    by_candidate: Vec<Set>,
}

impl Default for Mixer {
    fn default() -> Self {
        let prior: [f32; FEATURES] = std::array::from_fn(|i| candidate::ALL[i].prior);
        Self {
            shared: vec![Set::new(&prior); KINDS],
            selected: vec![Set::new(&[0.0; FEATURES]); KINDS * SELECTORS],
            by_candidate: vec![Set::new(&[0.0; FEATURES]); KINDS * ROLES],
            by_role: vec![Set::new(&[0.0; FEATURES]); KINDS * ROLES],
        }
    }
}

impl Mixer {
    /// Fills in each candidate's linear score.
    pub fn score(&self, refined: bool, view: &mut View) {
        let (shared, selected, role) = sets(refined, view);
        let sum: [f32; FEATURES] = std::array::from_fn(|i| {
            self.shared[shared].weights[i]
                + self.selected[selected].weights[i]
                + self.by_role[role].weights[i]
        });
        view.linear.clear();
        view.linear.extend(view.candidates.iter().map(|candidate| {
            let own = &self.by_candidate[of_role(refined, candidate.role)];
            candidate
                .features
                .iter()
                .zip(&sum)
                .zip(&own.weights)
                .map(|((x, w), v)| x * (w + v))
                .sum::<f32>()
        }));
    }

    /// Each candidate's linear score as it was before anything was learned online, of a mixer that has just been loaded.
    pub fn start_score(&self, refined: bool, view: &View, out: &mut Vec<f32>) {
        let (shared, selected, _) = sets(refined, view);
        let (shared, selected) = (
            &self.shared[shared].weights,
            &self.selected[selected].weights,
        );
        out.clear();
        out.extend(view.candidates.iter().map(|candidate| {
            let weights = shared.iter().zip(selected);
            let products = candidate.features.iter().zip(weights);
            products.map(|(x, (w, v))| x * (w + v)).sum::<f32>()
        }));
    }

    /// Follows the gradient of the log-loss of `p`, what was predicted for each candidate, towards `target`.
    pub fn learn(&mut self, refined: bool, view: &View, p: &[f32], target: usize) {
        let mut gradient = [0.0_f32; FEATURES];
        for (i, (candidate, &p)) in view.candidates.iter().zip(p).enumerate() {
            let error = p - f32::from(u8::from(i == target));
            if error.abs() > 1e-5 {
                let own = &mut self.by_candidate[of_role(refined, candidate.role)];
                for ((w, square), x) in own
                    .weights
                    .iter_mut()
                    .zip(&mut own.squares)
                    .zip(&candidate.features)
                {
                    let g = error * x;
                    *square += g * g;
                    *w -= CANDIDATE_RATE * g / square.sqrt();
                }
                for (gradient, x) in gradient.iter_mut().zip(&candidate.features) {
                    *gradient += error * x;
                }
            }
        }
        let (shared, selected, role) = sets(refined, view);
        for set in [
            &mut self.shared[shared],
            &mut self.selected[selected],
            &mut self.by_role[role],
        ] {
            for ((w, square), g) in set.weights.iter_mut().zip(&mut set.squares).zip(&gradient) {
                *square += g * g;
                *w -= RATE * g / square.sqrt();
            }
        }
    }

    /// All weights, without step sizes, as the checkpoint stores them: `[KINDS (1 + SELECTORS)][FEATURES]`.
    pub fn to_rows(&self) -> Vec<f32> {
        self.shared
            .iter()
            .chain(&self.selected)
            .flat_map(|set| set.weights)
            .collect()
    }

    /// From what [`Self::to_rows`] gave, `[ROWS][FEATURES]`; sets beyond its end start from the prior.
    pub fn from_rows(rows: &[f32]) -> Self {
        let mut mixer = Self::default();
        let sets = mixer.shared.iter_mut().chain(&mut mixer.selected);
        for (set, row) in sets.zip(rows.chunks_exact(FEATURES)) {
            set.weights.copy_from_slice(row);
        }
        mixer
    }

    /// Rows in the checkpoint.
    pub const ROWS: usize = KINDS * (1 + SELECTORS);
}

/// Index of the shared set, of the one selected by the situation, and of the role's.
fn sets(refined: bool, view: &View) -> (usize, usize, usize) {
    let kind = usize::from(refined);
    (
        kind,
        kind * SELECTORS + view.selector,
        of_role(refined, view.role),
    )
}

fn of_role(refined: bool, role: u32) -> usize {
    usize::from(refined) * ROLES + role as usize % ROLES
}
