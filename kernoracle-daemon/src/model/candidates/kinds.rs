//! What kind of task comes next, counted by roles.
//!
//! Where tasks come and go, what followed a task says nothing of the next one. So candidates are put into kinds: the role, and how it stands to the
//! current task and to the scheduler's choice. Which kind came is counted under the roles that ran last, under what the
//! current task did in its last runs, and under what waits; all tasks of a role share those counts.

use super::Sym;
use super::scene::Scene;
use crate::baseline::{Table, WIDTH};
use crate::bits;
use crate::model::features::candidate as c;
use crate::model::frame::{Candidate, MAX_CANDIDATES, View};
use crate::model::odds::{NOBODY, Odds};
use crate::model::situations::mix;
use arrayvec::ArrayVec;

/// Rows of 32 bytes.
const BITS: u32 = 13;
/// Ways to tell what a moment has in common with earlier ones.
const CONTEXTS: usize = 3;
/// The same, as vector units like it.
const ROWS_OF_KINDS: usize = CONTEXTS.next_power_of_two();
/// Roles before the current one that are remembered.
const ROLES: usize = 3;
/// Of the eight runs that a task remembers.
const LAST_TWO: u64 = 0xffff;
/// The features that each of them gives: the plain probability, and the stretched one.
const BY_CONTEXT: [(usize, usize); CONTEXTS] = [
    (c::P_KIND_PICK, c::SURE_KIND_PICK),
    (c::P_KIND_RAN, c::SURE_KIND_RAN),
    (c::P_KIND_ROLES, c::SURE_KIND_ROLES),
];

/// The counts of one CPU.
#[derive(Clone, Debug)]
pub(super) struct Kinds {
    table: Table,
    /// Of the present at-switch prediction.
    keys: Option<[u64; CONTEXTS]>,
    /// A row for each context.
    odds: Odds<ROWS_OF_KINDS>,
    /// The roles that ran last, the latest first.
    roles: [u32; ROLES],
    /// Of each candidate of the present at-switch prediction.
    listed: ArrayVec<u32, MAX_CANDIDATES>,
}

impl Default for Kinds {
    fn default() -> Self {
        Self {
            table: Table::new(BITS),
            keys: None,
            odds: Odds::default(),
            roles: [0; ROLES],
            listed: ArrayVec::new(),
        }
    }
}

impl Kinds {
    /// A new task runs.
    pub(super) fn begin(&mut self, scene: &Scene<'_>) {
        let current = scene.current;
        let role = |pick: Option<Sym>| pick.map_or(0, |sym| scene.queues.task(sym).role);
        let own = mix(u64::from(current.role));
        let picks =
            u64::from(role(scene.picks.if_sleeps)) << 32 | u64::from(role(scene.picks.if_stays));
        let [last, before, first] = self.roles.map(u64::from);
        // Numbered: they share a table.
        let keys = [
            mix(own.wrapping_add(1) ^ mix(picks)),
            mix(own.wrapping_add(2) ^ mix(picks ^ mix(current.ran & LAST_TWO))),
            mix(own.wrapping_add(3) ^ mix(picks >> 32 ^ mix(last ^ mix(before ^ mix(first))))),
        ];
        self.roles = [current.role, self.roles[0], self.roles[1]];
        for key in keys {
            self.table.prefetch(key);
        }
        self.keys = Some(keys);
    }

    /// Looks up what is known. Apart from beginning, so that memory is on its way meanwhile.
    pub(super) fn look(&mut self) {
        for (row, key) in self.keys.into_iter().flatten().enumerate() {
            self.odds.set(row, self.table.get(key));
        }
    }

    /// Fills in what the counts say of each candidate's kind.
    pub(super) fn fill(&mut self, scene: &Scene<'_>, refined: bool, view: &mut View) {
        let View {
            candidates, common, ..
        } = view;
        let kinds: ArrayVec<u32, MAX_CANDIDATES> = candidates
            .iter()
            .map(|candidate| kind(scene, candidate))
            .collect();
        // Which candidates each row's kinds are, a bit for each. All rows at once: most name nobody who is there.
        let mut who = [[0_u32; WIDTH]; ROWS_OF_KINDS];
        let mut odds = self.odds.clone();
        let named = odds.named.as_flattened();
        for (at, kind) in kinds.iter().enumerate() {
            for (who, named) in who.as_flattened_mut().iter_mut().zip(named) {
                *who |= u32::from(named == kind) << at;
            }
        }
        for (row, who) in who.iter().enumerate() {
            for (place, who) in who.iter().enumerate() {
                if who.count_ones() > 1 {
                    // Shared by all candidates of the kind.
                    odds.divide(row, place, who.count_ones() as f32);
                }
            }
        }
        odds.work_out();
        let unnamed = odds.stretched_unnamed();
        for row in odds.rows() {
            let (plain, sure) = BY_CONTEXT[row];
            common[sure] = unnamed[row];
            for candidate in candidates.iter_mut() {
                candidate.features[sure] = unnamed[row];
            }
            for (place, &who) in who[row].iter().enumerate() {
                for at in bits::ones(u64::from(who)) {
                    let x = &mut candidates[at].features;
                    x[plain] = odds.share(row, place);
                    x[sure] = odds.stretched(row, place);
                }
            }
        }
        if !refined {
            self.listed = kinds;
        }
    }

    /// Counts that the present prediction's candidate `target` came.
    pub(super) fn count(&mut self, target: usize) {
        let (Some(keys), Some(&kind)) = (self.keys.take(), self.listed.get(target)) else {
            return;
        };
        self.table.tick();
        for key in keys {
            self.table.add(key, kind);
        }
    }

    /// The sequence is broken.
    pub(super) fn cut(&mut self) {
        self.keys = None;
        self.roles = [0; ROLES];
    }
}

/// A number for the role of a candidate and how it stands: behind the choices of the scheduler if it waits, among its like and to the current task if it
/// sleeps. To be asked when all other features are there.
fn kind(scene: &Scene<'_>, candidate: &Candidate) -> u32 {
    let x = &candidate.features;
    let Some(sym) = candidate.sym else {
        return 1 + u32::from(candidate.is_child());
    };
    let bits = |flags: [bool; 4]| {
        flags
            .iter()
            .fold(1, |bits, flag| bits << 1 | u32::from(*flag))
    };
    let standing = if x[c::RUNNABLE] > 0.0 {
        let sleeps = scene.picks.if_sleeps == Some(sym);
        let stays = scene.picks.if_stays == Some(sym);
        // The second in the scheduler's order has 1 / (1 + 1).
        let second = x[c::PLACE] > 0.4 && x[c::PLACE] < 0.6;
        bits([false, sleeps, stays, second])
    } else {
        let wakee = scene.current.wakees.get(sym).is_some();
        let (first, last) = (x[c::FIRST_OF_ROLE] > 0.0, x[c::LAST_OF_ROLE] > 0.0);
        32 + bits([wakee, first, last, x[c::WOULD_WIN] > 0.0])
    };
    let kind = (mix(u64::from(candidate.role) << 8 | u64::from(standing)) >> 32) as u32;
    // The number of empty places is no kind's.
    kind.min(NOBODY - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::candidates::tests::{scene, woken};
    use crate::model::counted::Counted;
    use crate::model::vector::Vector;
    use crate::runqueue::RunQueues;

    /// Predicts what follows `current` among `others`. Returns what the first context says of each.
    fn predict(kinds: &mut Kinds, queues: &RunQueues, current: Sym, others: &[Sym]) -> Vec<f32> {
        let counted = Counted::default();
        let scene = Scene {
            waiting: others.len(),
            ..scene(queues, &counted, current)
        };
        let candidates = others.iter().map(|&sym| Candidate {
            sym: Some(sym),
            features: Vector::ZERO,
            code: queues.task(sym).code,
            role: queues.task(sym).role,
        });
        let mut view = View::default();
        view.candidates.extend(candidates);
        view.candidates.push(Candidate::other());
        kinds.begin(&scene);
        kinds.look();
        kinds.fill(&scene, false, &mut view);
        let p = |candidate: &Candidate| candidate.features[c::P_KIND_PICK];
        view.candidates[..others.len()].iter().map(p).collect()
    }

    /// [`predict`], and the first of `others` comes.
    fn round(kinds: &mut Kinds, queues: &RunQueues, current: Sym, others: &[Sym]) -> Vec<f32> {
        let p = predict(kinds, queues, current, others);
        kinds.count(0);
        p
    }

    #[test]
    fn a_new_task_is_known_by_its_role() {
        let mut queues = RunQueues::new();
        let mut kinds = Kinds::default();
        let shell = woken(&mut queues, 1, "sh");
        let cat = woken(&mut queues, 2, "cat");
        for pid in 10..30 {
            // Each one comes once and never again.
            let child = woken(&mut queues, pid, &format!("worker/{pid}"));
            let p = round(&mut kinds, &queues, shell, &[child, cat]);
            let seen = (pid - 10) as f32;
            assert!((p[0] - seen / (seen + 0.5)).abs() < 1e-6, "{pid}: {p:?}");
            assert!(p[1] == 0.0, "{pid}: {p:?}");
        }
        let two = [30, 31].map(|pid| woken(&mut queues, pid, "worker/9"));
        let p = round(&mut kinds, &queues, shell, &two);
        assert!(
            (p[0] - 10.0 / 20.5).abs() < 1e-6 && (p[0] - p[1]).abs() < 1e-6,
            "{p:?}"
        );
        // Behind another role nothing has been seen.
        assert_eq!(round(&mut kinds, &queues, cat, &two), [0.0, 0.0]);
    }

    #[test]
    fn each_candidate_gets_what_its_own_kind_got() {
        let mut queues = RunQueues::new();
        let mut kinds = Kinds::default();
        let shell = woken(&mut queues, 1, "sh");
        let others: Vec<Sym> = (["cat", "sed", "awk", "tee"].iter().zip(2..))
            .map(|(name, pid)| woken(&mut queues, pid, name))
            .collect();
        // The first comes once, the second twice.
        for target in [0, 1, 1, 2, 2, 2, 3, 3, 3, 3] {
            predict(&mut kinds, &queues, shell, &others);
            kinds.count(target);
        }
        let p = predict(&mut kinds, &queues, shell, &others);
        for (p, came) in p.iter().zip(1_u8..) {
            assert!((p - f32::from(came) / 10.5).abs() < 1e-6, "{came}: {p}");
        }
    }

    #[test]
    fn behind_a_cut_nothing_is_counted() {
        let mut queues = RunQueues::new();
        let mut kinds = Kinds::default();
        let [a, b] = [1, 2].map(|pid| woken(&mut queues, pid, "a"));
        round(&mut kinds, &queues, a, &[b]);
        let p = predict(&mut kinds, &queues, a, &[b]);
        assert!((p[0] - 1.0 / 1.5).abs() < 1e-6, "one was counted: {p:?}");
        // What comes across the cut does not follow from what was before.
        kinds.cut();
        kinds.count(0);
        let p = predict(&mut kinds, &queues, a, &[b]);
        assert!((p[0] - 1.0 / 1.5).abs() < 1e-6, "one was counted: {p:?}");
    }
}
