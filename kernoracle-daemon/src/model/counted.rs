//! What the counts say of each candidate.
//!
//! A row names four tasks at most, so almost every candidate gets from it what a task gets that it does not name. That is worked out once,
//! and every candidate starts from it; then each row goes to the few that it names.

use super::features::candidate as c;
use super::numeric::{ln, lns};
use super::odds::Odds;
use super::situations::WOKEN;
use super::vector::Vector;
use super::wakes::Wakes;
use super::weights::shape::FEATURE_ROW;
use crate::baseline::{
    Backoff, Contexts, Matches, ORDERS, RANKED, Ranking, SITUATIONS, Successors,
};
use crate::runqueue::{RunQueues, Sym};

/// The counts' view of the present context.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Who has followed, by order.
    pub successors: Successors,
    /// By back-off to order 12.
    pub ranking: Ranking,
    /// `LOG_P` of each that is ranked, and of all others.
    log_p: [f32; RANKED],
    log_rest: f32,
    pub wakes: Wakes,
    /// In the order of [`FEATURES_OF`].
    pub(super) odds: Odds<ROWS>,
    longest: usize,
}

impl Counted {
    /// Takes what the counts, which have been looked up, say after the current task, which will wake whom `wakes` says.
    pub fn look(&mut self, contexts: &Contexts, wakes: Wakes, queues: &RunQueues, current: Sym) {
        let matches = contexts.matches();
        let alive = |sym: u32| sym != current.raw() && queues.get(Sym::from_raw(sym)).is_some();
        self.successors = Successors::of(&matches, alive);
        self.ranking = Backoff::new(12).rank(&self.successors, queues.live());
        let mut p = [1.0; RANKED];
        for (p, (_, ranked)) in p.iter_mut().zip(&self.ranking.ranked) {
            *p = ranked.max(LEAST_P);
        }
        self.log_p = lns(p).map(|ln| ln / 4.0);
        self.log_rest = ln(self.ranking.rest.max(LEAST_P)) / 4.0;
        self.wakes = wakes;
        self.longest = longest(&matches);
        for (row, order) in BY_ORDER.into_iter().enumerate() {
            self.odds.set(row, matches[order]);
        }
        for (which, row) in contexts.situations().into_iter().enumerate() {
            self.odds.set(BY_ORDER.len() + which, row);
        }
        self.odds.work_out();
    }

    /// Takes what the counts say behind a wake-up.
    pub fn look_woken(&mut self, contexts: &Contexts) {
        let row = BY_ORDER.len() + WOKEN;
        self.odds.set(row, contexts.situations()[WOKEN]);
        self.odds.work_out_row(row);
    }

    /// Tasks in the longest context that is known; 0 if none is.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The features of a task that no count names.
    pub(super) fn unnamed(&self) -> Vector<FEATURE_ROW> {
        let mut x = Vector::ZERO;
        x[c::LOG_P] = self.log_rest;
        for ((_, sure), odds) in FEATURES_OF.into_iter().zip(self.odds.stretched_unnamed()) {
            // 0 where the row is not known.
            x[sure] = *odds;
        }
        x
    }

    /// `LOG_P` of the task in a place of the ranking.
    pub(super) fn log_p(&self, place: usize) -> f32 {
        self.log_p[place]
    }

    /// `LOG_P` of all others.
    pub(super) fn log_rest(&self) -> f32 {
        self.log_rest
    }

    /// Writes what a row says of the task in one of its places.
    pub(super) fn write(&self, row: usize, place: usize, x: &mut Vector<FEATURE_ROW>) {
        let (plain, sure) = FEATURES_OF[row];
        if let Some(plain) = plain {
            x[plain] = self.odds.share(row, place);
        }
        x[sure] = self.odds.stretched(row, place);
    }
}

fn longest(matches: &Matches<'_>) -> usize {
    matches
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |i| ORDERS[i])
}

/// Less is taken for this.
const LEAST_P: f32 = 1e-6;

/// Indexes in [`ORDERS`] of those whose counts give features.
const BY_ORDER: [usize; 5] = [0, 1, 3, 7, 8];
const _: () = assert!(ORDERS[0] == 1 && ORDERS[1] == 2 && ORDERS[3] == 4 && ORDERS[7] == 8);
const _: () = assert!(ORDERS[8] == 12 && BY_ORDER.len() + SITUATIONS == ROWS);

/// Rows that give features.
pub(super) const ROWS: usize = 16;

/// The features that each row gives, the plain probability and the stretched one: those of [`BY_ORDER`], then the situations in the order
/// of [`super::situations`].
const FEATURES_OF: [(Option<usize>, usize); ROWS] = [
    (Some(c::P1), c::SURE1),
    (None, c::SURE2),
    (Some(c::P4), c::SURE4),
    (Some(c::P8), c::SURE8),
    (Some(c::P12), c::SURE12),
    (Some(c::P_WAITING), c::SURE_WAITING),
    (Some(c::P_WAITING2), c::SURE_WAITING2),
    (Some(c::P_ASLEEP), c::SURE_ASLEEP),
    (Some(c::P_RUNS1), c::SURE_RUNS1),
    (Some(c::P_RUNS3), c::SURE_RUNS3),
    (Some(c::P_RUNS6), c::SURE_RUNS6),
    (Some(c::P_FOLLOWED), c::SURE_FOLLOWED),
    (Some(c::P_WOKE), c::SURE_WOKE),
    (Some(c::P_RAN), c::SURE_RAN),
    (Some(c::P_ROLE_RAN), c::SURE_ROLE_RAN),
    (Some(c::P_WOKEN), c::SURE_WOKEN),
];
