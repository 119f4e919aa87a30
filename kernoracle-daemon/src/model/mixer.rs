//! The linear part, adapted at every switch.
//!
//! Each candidate's linear score is a weighted sum of its features; after each decision the weights follow the gradient of the log-loss, as
//! the mixers of the PAQ and cmix compressors do. The weights are the sum of a set that is shared and of sets chosen by the kind of situation, by
//! the role of the current task and by the role of the candidate; steps are scaled per
//! weight (AdaGrad, Duchi et al. 2011). The gradient is that of the whole model's probabilities, so the linear part and
//! the network correct each other.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::features::candidate;
use super::frame::{Candidate, View};
use super::vector::{LANES, Vector, add_products, fold};
use super::weights::shape::{FEATURE_ROW, FEATURES};
use multiversion::{multiversion, target::target_cfg_f};

/// Kinds of situations that have weights of their own.
pub const SELECTORS: usize = 24;
/// At-switch and refined predictions have weights of their own.
pub(super) const KINDS: usize = 2;
const RATE: f32 = 0.03;
const CANDIDATE_RATE: f32 = 0.05;
/// A candidate whose probability was off by less teaches nothing: what its set would learn is a step of that share, and most
/// candidates are such.
const LEAST_ERROR: f32 = 1e-3;
/// Sets for the tasks' roles, which share one where their numbers fall together.
const ROLES: usize = 64;

/// One set of weights with its step sizes.
#[derive(Clone, Debug, PartialEq)]
struct Set {
    weights: Vector<FEATURE_ROW>,
    squares: Vector<FEATURE_ROW>,
}

impl Set {
    fn new(weights: &[f32; FEATURES]) -> Self {
        Self {
            weights: Vector::padded(weights),
            squares: Vector([0.5; FEATURE_ROW]),
        }
    }

    /// One step of AdaGrad.
    #[inline(always)]
    fn follow(&mut self, gradient: &Vector<FEATURE_ROW>, rate: f32) {
        for i in 0..FEATURE_ROW {
            let g = gradient[i];
            self.squares[i] += g * g;
            self.weights[i] -= rate * g / self.squares[i].sqrt();
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
        let sum = sum(
            &self.shared[shared].weights,
            &self.selected[selected].weights,
            Some(&self.by_role[role].weights),
        );
        view.linear.clear();
        view.linear.resize(view.candidates.len(), 0.0);
        let own = &self.by_candidate[of_role(refined, 0)..][..ROLES];
        score_each(&view.candidates, &sum, own, &mut view.linear);
    }

    /// Each candidate's linear score as it was before anything was learned online, of a mixer that has just been loaded.
    pub fn start_score(&self, refined: bool, view: &View, out: &mut Vec<f32>) {
        let (shared, selected, _) = sets(refined, view);
        let sum = sum(
            &self.shared[shared].weights,
            &self.selected[selected].weights,
            None,
        );
        out.clear();
        out.resize(view.candidates.len(), 0.0);
        score_each(&view.candidates, &sum, &[], out);
    }

    /// Follows the gradient of the log-loss of `p`, what was predicted for each candidate, towards `target`.
    pub fn learn(&mut self, refined: bool, view: &View, p: &[f32], target: usize) {
        let (shared, selected, role) = sets(refined, view);
        let own = &mut self.by_candidate[of_role(refined, 0)..][..ROLES];
        let common = [
            &mut self.shared[shared],
            &mut self.selected[selected],
            &mut self.by_role[role],
        ];
        learn_all(&view.candidates, p, target, own, common);
    }

    /// All weights, without step sizes, as the checkpoint stores them: `[KINDS (1 + SELECTORS)][FEATURES]`.
    pub fn to_rows(&self) -> Vec<f32> {
        self.shared
            .iter()
            .chain(&self.selected)
            .flat_map(|set| &set.weights[..FEATURES])
            .copied()
            .collect()
    }

    /// From what [`Self::to_rows`] gave, `[ROWS][FEATURES]`; sets beyond its end start from the prior.
    pub fn from_rows(rows: &[f32]) -> Self {
        let mut mixer = Self::default();
        let sets = mixer.shared.iter_mut().chain(&mut mixer.selected);
        for (set, row) in sets.zip(rows.chunks_exact(FEATURES)) {
            set.weights[..FEATURES].copy_from_slice(row);
        }
        mixer
    }

    /// Rows in the checkpoint.
    pub const ROWS: usize = KINDS * (1 + SELECTORS);
}

fn sum(
    shared: &Vector<FEATURE_ROW>,
    selected: &Vector<FEATURE_ROW>,
    role: Option<&Vector<FEATURE_ROW>>,
) -> Vector<FEATURE_ROW> {
    let mut sum = *shared;
    for other in [Some(selected), role].into_iter().flatten() {
        for (sum, w) in sum.0.iter_mut().zip(&other.0) {
            *sum += w;
        }
    }
    sum
}

/// Scores by the weights that all candidates share, and by those of each one's role, if there are any.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2+fma",
    "x86_64+avx2+bmi1+bmi2+fma"
))]
fn score_each(candidates: &[Candidate], sum: &Vector<FEATURE_ROW>, own: &[Set], out: &mut [f32]) {
    if target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")) {
        any_score_each::<true>(candidates, sum, own, out);
    } else {
        any_score_each::<false>(candidates, sum, own, out);
    }
}

/// [`score_each`], with the vector instructions of the caller.
#[inline(always)]
fn any_score_each<const FUSED: bool>(
    candidates: &[Candidate],
    sum: &Vector<FEATURE_ROW>,
    own: &[Set],
    out: &mut [f32],
) {
    for (candidate, out) in candidates.iter().zip(out) {
        let mut lanes = [0.0; LANES];
        add_products::<FUSED>(&mut lanes, &candidate.features.0, &sum.0);
        if let Some(own) = own.get(candidate.role as usize % ROLES) {
            add_products::<FUSED>(&mut lanes, &candidate.features.0, &own.weights.0);
        }
        *out = fold(lanes);
    }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2",
    "x86_64+avx2+bmi1+bmi2"
))]
fn learn_all(
    candidates: &[Candidate],
    p: &[f32],
    target: usize,
    own: &mut [Set],
    common: [&mut Set; 3],
) {
    any_learn_all(candidates, p, target, own, common);
}

/// [`learn_all`], with the vector instructions of the caller.
#[inline(always)]
fn any_learn_all(
    candidates: &[Candidate],
    p: &[f32],
    target: usize,
    own: &mut [Set],
    common: [&mut Set; 3],
) {
    let mut gradient = Vector::<FEATURE_ROW>::ZERO;
    for (i, (candidate, &p)) in candidates.iter().zip(p).enumerate() {
        let error = p - f32::from(u8::from(i == target));
        if error.abs() > LEAST_ERROR {
            let mut own_gradient = Vector::<FEATURE_ROW>::ZERO;
            for k in 0..FEATURE_ROW {
                own_gradient[k] = error * candidate.features[k];
                gradient[k] += own_gradient[k];
            }
            own[candidate.role as usize % ROLES].follow(&own_gradient, CANDIDATE_RATE);
        }
    }
    for set in common {
        set.follow(&gradient, RATE);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::view;
    use crate::model::versions::assert_same;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_version_scores_and_learns_the_same() {
        let scorers = versions!(
            any_score_each::<false>,
            any_score_each::<true>,
            fn(candidates: &[Candidate], sum: &Vector<FEATURE_ROW>, own: &[Set], out: &mut [f32])
        );
        let learners = versions!(
            any_learn_all,
            any_learn_all,
            fn(
                candidates: &[Candidate],
                p: &[f32],
                target: usize,
                own: &mut [Set],
                common: [&mut Set; 3],
            )
        );
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let prior = candidate::ALL.map(|feature| feature.prior);
        let mut sets = vec![vec![Set::new(&prior); ROLES + 3]; 1 + learners.len()];
        for _ in 0..50 {
            let count = random.random_range(1..32);
            let mut view = view(&mut random, count);
            for candidate in &mut view.candidates {
                candidate.role = random.random();
            }
            let p: Vec<f32> = view.candidates.iter().map(|_| random.random()).collect();
            let target = random.random_range(0..p.len());
            let mut all = Vec::new();
            for (at, sets) in sets.iter_mut().enumerate() {
                let (own, common) = sets.split_at_mut(ROLES);
                let sum = common[0].weights;
                let mut scores = vec![0.0; p.len()];
                let [a, b, c] = common else {
                    unreachable!("three behind the roles");
                };
                if at == 0 {
                    score_each(&view.candidates, &sum, own, &mut scores);
                    learn_all(&view.candidates, &p, target, own, [a, b, c]);
                } else {
                    // SAFETY: the machine has the instructions of every version in the list.
                    unsafe {
                        scorers[at - 1].1(&view.candidates, &sum, own, &mut scores);
                        learners[at - 1].1(&view.candidates, &p, target, own, [a, b, c]);
                    }
                }
                all.push(scores);
            }
            for (scores, (name, _)) in all[1..].iter().zip(&scorers) {
                assert_same(name, &all[0], scores);
            }
        }
        for (other, (name, _)) in sets[1..].iter().zip(&learners) {
            assert!(*other == sets[0], "{name} has learned something else");
        }
    }
}
