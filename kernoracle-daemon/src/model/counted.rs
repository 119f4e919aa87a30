//! What the counts say of each candidate.
//!
//! A row names four tasks at most, so almost every candidate gets from it what a task gets that it does not name. That is worked out once,
//! and every candidate starts from it; then each row goes to the few that it names.

use super::features::candidate as c;
use super::numeric::ln;
use super::vector::Vector;
use super::wakes::Wakes;
use super::weights::shape::FEATURE_ROW;
use crate::baseline::{Backoff, Matches, ORDERS, Ranking, Row, SITUATIONS, SituationMatches};
use crate::runqueue::{RunQueues, Sym};

/// The counts' view of the present context.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub matches: Matches,
    /// By back-off to order 12.
    pub ranking: Ranking,
    /// In the order of [`super::situations`].
    pub situations: SituationMatches,
    pub wakes: Wakes,
}

impl Counted {
    /// What the counts say after the current task.
    pub fn new(
        matches: Matches,
        situations: SituationMatches,
        wakes: Wakes,
        queues: &RunQueues,
        current: Option<Sym>,
    ) -> Self {
        let current = current.map(Sym::raw);
        let alive = |sym: u32| Some(sym) != current && queues.get(Sym::from_raw(sym)).is_some();
        let ranking = Backoff::new(12).rank(&matches, alive, queues.live());
        Self {
            matches,
            ranking,
            situations,
            wakes,
        }
    }

    /// Tasks in the longest context that is known; 0 if none is.
    pub(super) fn longest(&self) -> usize {
        self.matches
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |i| ORDERS[i])
    }

    /// The rows that are known, each with the features that it gives: the plain probability, and the stretched one.
    fn rows(&self) -> impl Iterator<Item = (&Row, Option<usize>, Option<usize>)> {
        let orders = self.matches.iter().zip(BY_ORDER);
        let orders = orders.filter_map(|(row, (plain, sure))| Some((row.as_ref()?, plain, sure)));
        let situations = self.situations.iter().zip(BY_SITUATION);
        orders.chain(
            situations
                .filter_map(|(row, (plain, sure))| Some((row.as_ref()?, Some(plain), Some(sure)))),
        )
    }

    /// The features of a task that no count names.
    pub(super) fn unnamed(&self) -> Vector<FEATURE_ROW> {
        let mut x = Vector::ZERO;
        x[c::LOG_P] = log_p(self.ranking.rest);
        for (row, _, sure) in self.rows() {
            if let Some(sure) = sure {
                x[sure] = row.stretched_unnamed();
            }
        }
        x
    }

    /// Hands each task that the counts name its features: `give` applies what it is handed to the row of a task, if that is a candidate.
    pub(super) fn name(&self, mut give: impl FnMut(u32, &dyn Fn(&mut Vector<FEATURE_ROW>))) {
        for (sym, p) in &self.ranking.ranked {
            give(*sym, &|x| x[c::LOG_P] = log_p(*p));
        }
        for (row, plain, sure) in self.rows() {
            if plain.or(sure).is_none() {
                continue;
            }
            for (sym, count) in row.successors() {
                give(sym, &|x| {
                    if let Some(plain) = plain {
                        x[plain] = row.share(f32::from(count));
                    }
                    if let Some(sure) = sure {
                        x[sure] = row.stretched_named(count);
                    }
                });
            }
        }
    }
}

fn log_p(p: f32) -> f32 {
    ln(p.max(1e-6)) / 4.0
}

/// The features that each order's counts give, in the order of [`ORDERS`].
const BY_ORDER: [(Option<usize>, Option<usize>); ORDERS.len()] = [
    (Some(c::P1), Some(c::SURE1)),
    (None, Some(c::SURE2)),
    (None, None),
    (Some(c::P4), Some(c::SURE4)),
    (None, None),
    (None, None),
    (None, None),
    (Some(c::P8), Some(c::SURE8)),
    (Some(c::P12), Some(c::SURE12)),
];
const _: () = assert!(ORDERS[4] == 5 && ORDERS[6] == 7 && ORDERS[8] == 12);

/// The features that each situation's counts give, in the order of [`super::situations`].
const BY_SITUATION: [(usize, usize); SITUATIONS] = [
    (c::P_WAITING, c::SURE_WAITING),
    (c::P_WAITING2, c::SURE_WAITING2),
    (c::P_ASLEEP, c::SURE_ASLEEP),
    (c::P_RUNS1, c::SURE_RUNS1),
    (c::P_RUNS3, c::SURE_RUNS3),
    (c::P_RUNS6, c::SURE_RUNS6),
    (c::P_FOLLOWED, c::SURE_FOLLOWED),
    (c::P_WOKE, c::SURE_WOKE),
    (c::P_RAN, c::SURE_RAN),
    (c::P_ROLE_RAN, c::SURE_ROLE_RAN),
    (c::P_WOKEN, c::SURE_WOKEN),
];
