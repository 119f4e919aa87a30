//! Order-1 and back-off to order 8: the standard predictors over sequences of tasks.
//!
//! The guess is what most often followed the longest known context. The distribution is that of PPM with escape
//! method C (Moffat 1990): a context with `n` observations of `d` successors gives each `count / (n + d)` and leaves
//! `d / (n + d)` to the next shorter one; below order 1 all living tasks are equal.

use super::contexts::{Matches, ORDERS};
use super::table::WIDTH;
use arrayvec::ArrayVec;

/// Tasks that a ranking holds.
pub const RANKED: usize = 12;

/// A back-off predictor up to a given order.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    longest: usize,
}

/// Predicted tasks, likeliest first, with their probability.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// Symbols and probabilities; the likeliest by the longest context first.
    pub ranked: ArrayVec<(u32, f32), RANKED>,
    /// Probability left for each task that is not in `ranked`.
    pub rest: f32,
}

impl Ranking {
    /// The first choice.
    pub fn first(&self) -> Option<u32> {
        self.ranked.first().map(|(sym, _)| *sym)
    }

    /// 1 is the first choice.
    pub fn rank(&self, sym: u32) -> Option<u32> {
        self.ranked
            .iter()
            .position(|(other, _)| *other == sym)
            .map(|i| i as u32 + 1)
    }

    /// Probability given to a task.
    pub fn p(&self, sym: u32) -> f32 {
        self.ranked
            .iter()
            .find(|(other, _)| *other == sym)
            .map_or(self.rest, |(_, p)| *p)
    }
}

/// What may come next by each context that is known: the successors that live, the commonest first, worked out once for all rankings.
#[derive(Clone, Debug)]
pub struct Successors {
    /// Keys in the order of [`ORDERS`], [`NOBODY`] behind the last one.
    rows: [[u64; WIDTH]; ORDERS.len()],
    /// Different successors of each, the dead ones included.
    distinct: [u16; ORDERS.len()],
}

/// Stands where nobody does.
const NOBODY: u64 = u64::MAX;

impl Default for Successors {
    fn default() -> Self {
        Self {
            rows: [[NOBODY; WIDTH]; ORDERS.len()],
            distinct: [0; ORDERS.len()],
        }
    }
}

impl Successors {
    /// `alive` tells dead tasks, and the current one, apart.
    pub fn of(matches: &Matches<'_>, alive: impl Fn(u32) -> bool) -> Self {
        let mut all = Self::default();
        for ((row, out), distinct) in matches.iter().zip(&mut all.rows).zip(&mut all.distinct) {
            let Some(row) = row else { continue };
            let (successors, counts) = row.places();
            for place in 0..WIDTH {
                let (sym, count) = (successors[place], counts[place]);
                if count > 0 {
                    *distinct += 1;
                    if alive(sym) {
                        out[place] = key(sym, count);
                    }
                }
            }
            sort(out);
        }
        all
    }
}

/// Less for greater counts, then for less symbols.
fn key(sym: u32, count: u16) -> u64 {
    u64::from(!count) << 32 | u64::from(sym)
}

/// Sym and count.
fn unkey(key: u64) -> (u32, u16) {
    (key as u32, !((key >> 32) as u16))
}

/// Sorts without a branch: five exchanges are enough for four.
fn sort(keys: &mut [u64; WIDTH]) {
    for (a, b) in [(0, 1), (2, 3), (0, 2), (1, 3), (1, 2)] {
        let (less, more) = (keys[a].min(keys[b]), keys[a].max(keys[b]));
        (keys[a], keys[b]) = (less, more);
    }
}

impl Backoff {
    /// Contexts of up to `longest` tasks.
    pub fn new(longest: usize) -> Self {
        Self { longest }
    }

    /// Distribution over what comes next; `living` is how many tasks there are.
    pub fn rank(&self, successors: &Successors, living: usize) -> Ranking {
        let mut ranking = Ranking::default();
        let mut left = 1.0_f32;
        let rows = successors.rows.iter().zip(successors.distinct);
        for ((row, distinct), order) in rows.zip(ORDERS).rev() {
            if order > self.longest || row[0] == NOBODY {
                continue;
            }
            // Exclusion: what a longer context has named is not named again.
            let mut named: ArrayVec<(u32, u16), WIDTH> = ArrayVec::new();
            let mut kept = 0_u16;
            for &key in row.iter().take_while(|key| **key != NOBODY) {
                let (sym, count) = unkey(key);
                if ranking.rank(sym).is_none() {
                    named.push((sym, count));
                    kept += count;
                }
            }
            if named.is_empty() {
                continue;
            }
            let escape = f32::from(distinct);
            let whole = f32::from(kept) + escape;
            let room = ranking.ranked.remaining_capacity();
            let p = |count: u16| left * f32::from(count) / whole;
            let named = named.iter().take(room);
            (ranking.ranked).extend(named.map(|&(sym, count)| (sym, p(count))));
            left *= escape / whole;
        }
        let others = living.saturating_sub(ranking.ranked.len()).max(1);
        ranking.rest = left / (others as f32 + 1.0);
        ranking
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Contexts;
    use crate::runqueue::Sym;
    use foldhash::HashMap;

    #[test]
    fn all_orders_of_four_are_sorted() {
        for order in 0..256_u64 {
            let mut keys: [u64; WIDTH] = std::array::from_fn(|i| order >> (2 * i) & 3);
            let mut want = keys;
            want.sort_unstable();
            sort(&mut keys);
            assert_eq!(keys, want, "{order}");
        }
        // The commonest first, of equals the lesser number; nobody last.
        assert!(key(7, 9) < key(3, 8) && key(3, 8) < key(4, 8) && key(u32::MAX, 1) < NOBODY);
        assert_eq!(unkey(key(7, 9)), (7, 9));
    }

    fn sym(i: usize) -> Sym {
        Sym::for_test(i)
    }

    /// The same rule, the plain way: exact counts, nothing bounded.
    #[derive(Default)]
    struct Exact {
        counts: HashMap<Vec<usize>, HashMap<usize, u32>>,
        past: Vec<usize>,
    }

    impl Exact {
        fn guess(&self, longest: usize) -> Option<usize> {
            (1..=longest.min(self.past.len())).rev().find_map(|order| {
                let context = &self.past[self.past.len() - order..];
                let row = self.counts.get(context)?;
                row.iter()
                    .max_by_key(|(sym, count)| (**count, std::cmp::Reverse(**sym)))
                    .map(|(sym, _)| *sym)
            })
        }

        fn push(&mut self, sym: usize) {
            for order in 1..=8.min(self.past.len()) {
                let context = self.past[self.past.len() - order..].to_vec();
                *self
                    .counts
                    .entry(context)
                    .or_default()
                    .entry(sym)
                    .or_default() += 1;
            }
            self.past.push(sym);
        }
    }

    #[test]
    fn guesses_like_exact_counts() {
        let mut contexts = Contexts::new(16);
        let mut exact = Exact::default();
        let (mut same, mut hits, mut exact_hits, mut total) = (0, 0, 0, 0);
        let mut random = 88_172_645_463_325_252_u64;
        for step in 0..6_000_usize {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // A loop of seven tasks in which one turn in eight goes elsewhere.
            let next = if random.is_multiple_of(8) {
                (random >> 8) as usize % 9
            } else {
                step % 7
            };
            contexts.look();
            let guess = Backoff::new(8)
                .rank(&Successors::of(&contexts.matches(), |_| true), 9)
                .first();
            let want = exact.guess(8);
            if let (Some(guess), Some(want)) = (guess, want) {
                total += 1;
                same += u32::from(guess == sym(want).raw());
                hits += i32::from(guess == sym(next).raw());
                exact_hits += i32::from(want == next);
            }
            contexts.push(sym(next), true);
            exact.push(next);
        }
        assert!(total > 5_900);
        assert!(
            f64::from(same) > 0.97 * f64::from(total),
            "{same} of {total} agree"
        );
        assert!(
            (hits - exact_hits).abs() < 60,
            "{hits} hits, exact counts have {exact_hits}"
        );
    }

    #[test]
    fn probabilities_sum_to_one() {
        let mut contexts = Contexts::new(10);
        for i in [1, 2, 3, 1, 2, 4, 1, 2, 3, 1, 2] {
            contexts.push(sym(i), true);
        }
        let living = 6;
        contexts.look();
        let ranking = Backoff::new(8).rank(&Successors::of(&contexts.matches(), |_| true), living);
        // The longest context seen before, (3, 1, 2), was followed by 4.
        assert_eq!(ranking.first(), Some(sym(4).raw()));
        let named: f32 = ranking.ranked.iter().map(|(_, p)| p).sum();
        let unnamed = living - ranking.ranked.len() + 1;
        assert!((named + ranking.rest * unnamed as f32 - 1.0).abs() < 1e-5);
    }

    #[test]
    fn ppm_c_by_hand() {
        let mut contexts = Contexts::new(10);
        // After 1: twice 2, once 3. Order 2 and up have not seen (9, 1).
        for i in [1, 2, 1, 2, 1, 3, 9, 1] {
            contexts.push(sym(i), true);
        }
        contexts.look();
        let ranking = Backoff::new(1).rank(&Successors::of(&contexts.matches(), |_| true), 4);
        assert!((ranking.p(sym(2).raw()) - 2.0 / 5.0).abs() < 1e-6);
        assert!((ranking.p(sym(3).raw()) - 1.0 / 5.0).abs() < 1e-6);
        // 2/5 is left for the two unnamed of four and one that is new.
        assert!((ranking.p(sym(9).raw()) - 2.0 / 5.0 / 3.0).abs() < 1e-6);
    }
}
