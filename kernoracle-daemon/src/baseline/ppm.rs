//! PPM (Cleary and Witten 1984) with escape method C and full exclusion (Moffat 1990), with nothing left out.
//!
//! Where [`Backoff`](super::Backoff) reads rows that keep four successors, this keeps every count of every context.
//! A context with `n` observations of `d` successors gives each that no longer context has named `count / (m + d)`,
//! where `m` are the observations of those only, and leaves `d / (m + d)` to the next shorter one, down to order 0;
//! below that all living tasks are equal. The same as in Cleary and Teahan 1997, table 1.
//!
//! Counts are in a trie: the node of a context has one child for each successor, and that child is the node of
//! the longer context. It grows by up to nine nodes of 16 bytes a switch: for traces that end, not for a daemon.

use crate::runqueue::Sym;
use arrayvec::ArrayVec;
use foldhash::HashMap;

/// The longest context that can be asked for.
const LONGEST: usize = 8;
const ROOT: u32 = 0;
/// No node: the root is nobody's child.
const NONE: u32 = ROOT;

/// A sequence of tasks, seen at the end of the path that leads here.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The last task of the sequence, as a number of [`Ppm::syms`].
    number: u32,
    /// Times that it was seen.
    count: u32,
    first_child: u32,
    next_sibling: u32,
}

/// Exact counts of one CPU, and the distribution that they give.
#[derive(Clone, Debug)]
pub struct Ppm {
    longest: usize,
    nodes: Vec<Node>,
    /// Nodes of the present contexts: of no task, of the last one, of the last two...
    contexts: ArrayVec<u32, { LONGEST + 1 }>,
    /// Every task seen, numbered as they came.
    syms: Vec<u32>,
    numbers: HashMap<u32, u32>,
    /// For each number the probability that it has in the present distribution, if it is named there.
    p: Vec<Option<f64>>,
    /// The numbers with a probability.
    named: Vec<u32>,
    rest: f64,
}

impl Ppm {
    /// Contexts of up to `longest` tasks.
    ///
    /// # Panics
    ///
    /// If that is more than 8.
    pub fn new(longest: usize) -> Self {
        assert!(longest <= LONGEST, "contexts have at most {LONGEST} tasks");
        let root = Node {
            number: 0,
            count: 0,
            first_child: NONE,
            next_sibling: NONE,
        };
        Self {
            longest,
            nodes: vec![root],
            contexts: [ROOT].into_iter().collect(),
            syms: Vec::new(),
            numbers: HashMap::default(),
            p: Vec::new(),
            named: Vec::new(),
            rest: 1.0,
        }
    }

    /// The sequence is broken: what comes next does not follow what was before.
    pub fn cut(&mut self) {
        self.contexts.truncate(1);
    }

    /// Counts `sym` as what followed the present contexts, which it then becomes part of.
    pub fn push(&mut self, sym: Sym) {
        let number = *self.numbers.entry(sym.raw()).or_insert_with(|| {
            self.syms.push(sym.raw());
            self.p.push(None);
            self.syms.len() as u32 - 1
        });
        let contexts = std::mem::take(&mut self.contexts);
        self.contexts.push(ROOT);
        for (length, &context) in contexts.iter().enumerate() {
            let child = self.child(context, number);
            self.nodes[child as usize].count += 1;
            if length < self.longest {
                self.contexts.push(child);
            }
        }
    }

    /// Makes the distribution over what comes next. `alive` tells dead tasks, and the current one, apart; `living`
    /// is how many tasks there are.
    pub fn predict(&mut self, alive: impl Fn(u32) -> bool, living: usize) {
        for number in self.named.drain(..) {
            self.p[number as usize] = None;
        }
        let mut left = 1.0;
        for &context in self.contexts.iter().rev() {
            let from = self.named.len();
            let (mut fresh, mut distinct) = (0_u64, 0_u64);
            let mut at = self.nodes[context as usize].first_child;
            while at != NONE {
                let node = self.nodes[at as usize];
                distinct += 1;
                let number = node.number as usize;
                if self.p[number].is_none() && alive(self.syms[number]) {
                    fresh += u64::from(node.count);
                    self.p[number] = Some(f64::from(node.count));
                    self.named.push(node.number);
                }
                at = node.next_sibling;
            }
            if fresh == 0 {
                continue;
            }
            let whole = (fresh + distinct) as f64;
            for &number in &self.named[from..] {
                if let Some(count) = &mut self.p[number as usize] {
                    *count *= left / whole;
                }
            }
            left *= distinct as f64 / whole;
        }
        // One more than the living: a task that is new.
        self.rest = left / (living.saturating_sub(self.named.len()) as f64 + 1.0);
    }

    /// Probability given to a task.
    pub fn p(&self, sym: u32) -> f64 {
        self.given(sym).unwrap_or(self.rest)
    }

    /// The likeliest task.
    pub fn first(&self) -> Option<u32> {
        self.distribution()
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
            .map(|(sym, _)| sym)
    }

    /// 1 is the first choice; `None` for a task that no context has named.
    pub fn rank(&self, sym: u32) -> Option<u32> {
        let p = self.given(sym)?;
        let before = self
            .distribution()
            .filter(|&(other, other_p)| other_p > p || (other_p >= p && other < sym))
            .count();
        Some(before as u32 + 1)
    }

    /// The tasks that a context has named, with their probability.
    fn distribution(&self) -> impl Iterator<Item = (u32, f64)> {
        self.named.iter().filter_map(|&number| {
            let p = self.p[number as usize]?;
            Some((self.syms[number as usize], p))
        })
    }

    fn given(&self, sym: u32) -> Option<f64> {
        let number = *self.numbers.get(&sym)?;
        self.p[number as usize]
    }

    /// The child of a node, made where it is new.
    fn child(&mut self, node: u32, number: u32) -> u32 {
        let first_child = self.nodes[node as usize].first_child;
        let mut at = first_child;
        while at != NONE {
            let child = &self.nodes[at as usize];
            if child.number == number {
                return at;
            }
            at = child.next_sibling;
        }
        let made = self.nodes.len() as u32;
        self.nodes.push(Node {
            number,
            count: 0,
            first_child: NONE,
            next_sibling: first_child,
        });
        self.nodes[node as usize].first_child = made;
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn sym(i: usize) -> Sym {
        Sym::for_test(i)
    }

    /// Cleary and Teahan 1997, table 1: what follows "abracadabra", order 2, method C with exclusions.
    #[test]
    fn the_published_example() {
        let letter = |letter: char| sym(letter as usize);
        let mut ppm = Ppm::new(2);
        for each in "abracadabra".chars() {
            ppm.push(letter(each));
        }
        // An alphabet of 256, of which 251 are unnamed; one of them stands for a task that is new.
        ppm.predict(|_| true, 255);
        for (next, expected) in [
            ('c', 1.0 / 2.0),
            ('d', 1.0 / 2.0 * (1.0 / 6.0)),
            ('b', 1.0 / 2.0 * (2.0 / 6.0)),
            ('a', 1.0 / 2.0 * (3.0 / 6.0) * (5.0 / 12.0)),
            ('r', 1.0 / 2.0 * (3.0 / 6.0) * (2.0 / 12.0)),
            ('t', 1.0 / 2.0 * (3.0 / 6.0) * (5.0 / 12.0) / 251.0),
        ] {
            let p = ppm.p(letter(next).raw());
            assert!((p - expected).abs() < 1e-12, "{next}: {p}, not {expected}");
        }
        assert_eq!(ppm.first(), Some(letter('c').raw()));
        let ranks = ['c', 'b', 'a', 'd', 'r', 't'].map(|next| ppm.rank(letter(next).raw()));
        assert_eq!(ranks, [Some(1), Some(2), Some(3), Some(4), Some(5), None]);
    }

    #[test]
    fn nothing_seen_leaves_all_equal() {
        let mut ppm = Ppm::new(8);
        ppm.predict(|_| true, 4);
        assert_eq!(ppm.first(), None);
        assert!((ppm.p(sym(1).raw()) - 0.2).abs() < 1e-12);
    }

    /// The rule read off the definition: every context is sought in the whole past anew.
    fn by_search(
        pieces: &[Vec<usize>],
        longest: usize,
        alive: impl Fn(usize) -> bool,
        living: usize,
    ) -> (BTreeMap<usize, f64>, f64) {
        let now = pieces.last().expect("a piece");
        let mut named = BTreeMap::new();
        let mut left = 1.0;
        for order in (0..=longest.min(now.len())).rev() {
            let context = &now[now.len() - order..];
            let mut counts = BTreeMap::<usize, u32>::new();
            for piece in pieces {
                for window in piece.windows(order + 1) {
                    if &window[..order] == context {
                        *counts.entry(window[order]).or_default() += 1;
                    }
                }
            }
            let distinct = counts.len() as f64;
            counts.retain(|next, _| alive(*next) && !named.contains_key(next));
            let whole = f64::from(counts.values().sum::<u32>()) + distinct;
            if counts.is_empty() {
                continue;
            }
            for (next, count) in counts {
                named.insert(next, left * f64::from(count) / whole);
            }
            left *= distinct / whole;
        }
        let rest = left / (living.saturating_sub(named.len()) as f64 + 1.0);
        (named, rest)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// `None` breaks the sequence.
        #[test]
        fn agrees_with_a_search_of_the_past(
            sequence in prop::collection::vec(prop::option::weighted(0.97, 0_usize..5), 0..150),
            dead in prop::collection::btree_set(0_usize..5, 0..3),
            longest in 0_usize..=8,
        ) {
            let all: BTreeSet<usize> = (0..6).collect();
            let living = all.difference(&dead).count();
            let alive = |i: usize| !dead.contains(&i);
            let alive_raw = |raw: u32| !dead.iter().any(|&i| sym(i).raw() == raw);
            let mut ppm = Ppm::new(longest);
            let mut pieces = vec![Vec::new()];
            for next in sequence {
                ppm.predict(alive_raw, living);
                let (named, rest) = by_search(&pieces, longest, alive, living);
                let mut sum = 0.0;
                for &i in all.difference(&dead) {
                    let expected = named.get(&i).copied().unwrap_or(rest);
                    let p = ppm.p(sym(i).raw());
                    prop_assert!((p - expected).abs() < 1e-12, "{} has {}, not {}", i, p, expected);
                    sum += p;
                }
                // One that is new has the same as each that is not named.
                prop_assert!((sum + rest - 1.0).abs() < 1e-9, "sum {}", sum + rest);
                let best = named.values().copied().fold(0.0, f64::max);
                if let Some(first) = ppm.first() {
                    prop_assert!(ppm.p(first) > best - 1e-12);
                    prop_assert_eq!(ppm.rank(first), Some(1));
                } else {
                    prop_assert!(named.is_empty());
                }
                if let Some(next) = next {
                    ppm.push(sym(next));
                    pieces.last_mut().expect("a piece").push(next);
                } else {
                    ppm.cut();
                    pieces.push(Vec::new());
                }
            }
        }
    }
}
