//! An ordered set whose subtrees know their least vruntime, as the kernel keeps its run queues (`min_vruntime` in kernel/sched/fair.c):
//! the first eligible entities are found without looking at the others.
//!
//! A B+-tree (Bayer and McCreight 1972; Comer 1979): inserting and removing cost O(log n) and, once its memory has grown, no allocation. Most run
//! queues are one node, or two levels of them, so that little is looked at whose place is not known in advance. A node goes when it is
//! empty; none is joined with another one.

use arrayvec::ArrayVec;

/// Below an entry of the last level.
const NONE: u32 = u32::MAX;

/// What orders the entries: earlier first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Deadline or vruntime, relative to the base of the queue.
    pub order: i64,
    /// Of equals, the one queued first is leftmost in the kernel's tree.
    pub since_ns: u64,
    pub sym: u32,
}

/// An entry of the set, or a node below with what is said of all entries in it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Of a node below: no key in it comes before this one, unless the entry is its node's first, whose key is not asked for.
    order: i64,
    since_ns: u64,
    sym: u32,
    /// The node, or [`NONE`].
    below: u32,
    /// The least one of a node below.
    low: i64,
}

impl Entry {
    fn key(&self) -> Key {
        Key {
            order: self.order,
            since_ns: self.since_ns,
            sym: self.sym,
        }
    }
}

type Node<const FANOUT: usize> = ArrayVec<Entry, FANOUT>;

/// `FANOUT` entries a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree<const FANOUT: usize = 32> {
    nodes: Vec<Node<FANOUT>>,
    free: Vec<u32>,
    /// A node, where there is one.
    root: u32,
    /// Levels of nodes.
    height: usize,
}

/// How many entries come before `key`.
fn before(node: &[Entry], key: &Key) -> usize {
    let mut place: usize = node
        .iter()
        .map(|entry| usize::from(entry.order < key.order))
        .sum();
    while node.get(place).is_some_and(|entry| entry.key() < *key) {
        place += 1;
    }
    place
}

/// Where in a node that is not of the last level `key` belongs.
fn towards(node: &[Entry], key: &Key) -> usize {
    let place = before(&node[1..], key);
    // Its own key is where it begins.
    place + usize::from(node.get(place + 1).is_some_and(|entry| entry.key() == *key))
}

fn least(node: &[Entry]) -> i64 {
    node.iter()
        .map(|entry| entry.low)
        .fold(i64::MAX, |least, low| if low < least { low } else { least })
}

impl<const FANOUT: usize> Tree<FANOUT> {
    pub(super) fn is_empty(&self) -> bool {
        self.height == 0
    }

    /// The entry, if there is one alone.
    pub(super) fn only(&self) -> Option<Key> {
        match self.root()?[..] {
            [entry] => Some(entry.key()),
            _ => None,
        }
    }

    fn root(&self) -> Option<&Node<FANOUT>> {
        (self.height > 0).then(|| self.node(self.root))
    }

    fn node(&self, at: u32) -> &Node<FANOUT> {
        &self.nodes[at as usize]
    }

    fn new_node(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::new());
            (self.nodes.len() - 1) as u32
        })
    }

    /// What the level above says of a node.
    fn told(&self, at: u32) -> Entry {
        let node = self.node(at);
        Entry {
            below: at,
            low: least(node),
            ..node[0]
        }
    }

    /// Adds an entry that [`Self::within`] finds up to the limit `low`.
    pub(super) fn insert(&mut self, key: Key, low: i64) {
        let Key {
            order,
            since_ns,
            sym,
        } = key;
        let new = Entry {
            order,
            since_ns,
            sym,
            below: NONE,
            low,
        };
        if self.height == 0 {
            self.root = self.new_node();
            self.height = 1;
        }
        if let Some(behind) = self.insert_below(self.root, self.height, new) {
            let root = self.new_node();
            let first = self.told(self.root);
            self.nodes[root as usize].extend([first, behind]);
            self.root = root;
            self.height += 1;
        }
    }

    /// Returns what the level above has to be told of the new node behind this one, if it had to be divided.
    fn insert_below(&mut self, at: u32, height: usize, new: Entry) -> Option<Entry> {
        let key = new.key();
        let node = &mut self.nodes[at as usize];
        let (place, new) = if height == 1 {
            (before(node, &key), new)
        } else {
            let place = towards(node, &key);
            let child = &mut node[place];
            child.low = child.low.min(new.low);
            let below = child.below;
            let behind = self.insert_below(below, height - 1, new)?;
            self.nodes[at as usize][place].low = least(self.node(below));
            (place + 1, behind)
        };
        let node = &mut self.nodes[at as usize];
        if !node.is_full() {
            node.insert(place, new);
            return None;
        }
        let mut behind: Node<FANOUT> = node.drain(FANOUT / 2..).collect();
        if place <= FANOUT / 2 {
            node.insert(place, new);
        } else {
            behind.insert(place - FANOUT / 2, new);
        }
        let other = self.new_node();
        self.nodes[other as usize] = behind;
        Some(self.told(other))
    }

    /// Takes an entry out. Returns whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        if self.height == 0 || self.remove_below(self.root, self.height, key).is_none() {
            return false;
        }
        // What has but one below is of no use.
        while self.height > 0 && self.node(self.root).len() < 2 {
            let first = self.node(self.root).first();
            match first.map(|entry| entry.below) {
                Some(NONE) => break,
                Some(below) => {
                    self.give_back(self.root);
                    self.root = below;
                }
                None => self.give_back(self.root),
            }
            self.height -= 1;
        }
        true
    }

    fn give_back(&mut self, at: u32) {
        self.nodes[at as usize].clear();
        self.free.push(at);
    }

    /// Returns the `low` that has gone, if there was one.
    fn remove_below(&mut self, at: u32, height: usize, key: &Key) -> Option<i64> {
        let node = &mut self.nodes[at as usize];
        if height == 1 {
            let place = before(node, key);
            let gone = node.get(place).is_some_and(|entry| entry.key() == *key);
            return gone.then(|| node.remove(place).low);
        }
        let place = towards(node, key);
        let Entry { below, low, .. } = node[place];
        let gone = self.remove_below(below, height - 1, key)?;
        if self.node(below).is_empty() {
            self.give_back(below);
            self.nodes[at as usize].remove(place);
        } else if gone == low {
            // It may have been the least one.
            self.nodes[at as usize][place].low = least(self.node(below));
        }
        Some(gone)
    }

    /// The first entry.
    pub(super) fn first(&self) -> Option<Key> {
        let mut first = self.root()?.first()?;
        while first.below != NONE {
            first = self.node(first.below).first()?;
        }
        Some(first.key())
    }

    /// Calls `visit` in order for those whose `low` is at most `limit`, until it says `false`.
    pub(super) fn within(&self, limit: i64, visit: &mut impl FnMut(&Key) -> bool) {
        if let Some(root) = self.root() {
            self.within_node(root, limit, visit);
        }
    }

    /// Calls `visit` in order for those that come behind `order`, until it says `false`.
    pub(super) fn behind(&self, order: i64, visit: &mut impl FnMut(&Key, i64) -> bool) {
        if let Some(root) = self.root() {
            self.behind_node(root, order, visit);
        }
    }

    fn within_node(
        &self,
        node: &[Entry],
        limit: i64,
        visit: &mut impl FnMut(&Key) -> bool,
    ) -> bool {
        node.iter().filter(|entry| entry.low <= limit).all(|entry| {
            if entry.below == NONE {
                visit(&entry.key())
            } else {
                self.within_node(self.node(entry.below), limit, visit)
            }
        })
    }

    fn behind_node(
        &self,
        node: &[Entry],
        order: i64,
        visit: &mut impl FnMut(&Key, i64) -> bool,
    ) -> bool {
        let passed: usize = (node.iter())
            .map(|entry| usize::from(entry.order <= order))
            .sum();
        // The node below that begins before may end behind.
        let inner = node.first().is_some_and(|entry| entry.below != NONE);
        let from = passed.saturating_sub(usize::from(inner));
        node[from..].iter().all(|entry| {
            if entry.below == NONE {
                visit(&entry.key(), entry.low)
            } else {
                self.behind_node(self.node(entry.below), order, visit)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The entries below a node, each level of which tells the truth about the next.
    fn entries<const FANOUT: usize>(
        tree: &Tree<FANOUT>,
        at: u32,
        height: usize,
        all: &mut Vec<(Key, i64)>,
    ) {
        let node = tree.node(at);
        assert!(!node.is_empty(), "an empty node is given back");
        for (place, entry) in node.iter().enumerate() {
            assert_eq!(entry.below == NONE, height == 1, "{entry:?}");
            if height == 1 {
                all.push((entry.key(), entry.low));
                continue;
            }
            let from = all.len();
            entries(tree, entry.below, height - 1, all);
            let least = all[from..].iter().map(|(_, low)| *low).min();
            assert_eq!(Some(entry.low), least, "{entry:?}");
            assert!(place == 0 || all[from].0 >= entry.key(), "{entry:?}");
        }
    }

    /// The same as a sorted list that is filtered, whatever comes and goes.
    fn like_a_sorted_list<const FANOUT: usize>(
        steps: &[(bool, i64, i64)],
        limit: i64,
    ) -> Result<(), TestCaseError> {
        let mut tree = Tree::<FANOUT>::default();
        let mut list: Vec<(Key, i64)> = Vec::new();
        for (i, &(add, order, low)) in steps.iter().enumerate() {
            if add || list.is_empty() {
                let key = Key {
                    order,
                    since_ns: (i % 3) as u64,
                    sym: i as u32,
                };
                tree.insert(key, low);
                list.push((key, low));
            } else {
                let (key, _) = list.swap_remove(order as usize % list.len());
                prop_assert!(tree.remove(&key));
                prop_assert!(!tree.remove(&key));
            }
            if i % 8 > 0 && i + 1 < steps.len() {
                continue;
            }
            list.sort_unstable();
            let mut all = Vec::new();
            if !tree.is_empty() {
                entries(&tree, tree.root, tree.height, &mut all);
            }
            prop_assert_eq!(&all, &list);
            let used = tree.nodes.iter().filter(|node| !node.is_empty()).count();
            prop_assert_eq!(used + tree.free.len(), tree.nodes.len(), "a node is lost");
            prop_assert_eq!(tree.first(), list.first().map(|(key, _)| *key));
            prop_assert_eq!(tree.is_empty(), list.is_empty());
            let only = list.first().filter(|_| list.len() == 1);
            prop_assert_eq!(tree.only(), only.map(|(key, _)| *key));
            let mut within = Vec::new();
            tree.within(limit, &mut |key| {
                within.push(*key);
                true
            });
            let want = list.iter().filter(|(_, low)| *low <= limit);
            prop_assert_eq!(within, want.map(|(key, _)| *key).collect::<Vec<_>>());
            let mut behind = Vec::new();
            tree.behind(limit, &mut |key, low| {
                behind.push((*key, low));
                behind.len() < 5
            });
            let want = list.iter().filter(|(key, _)| key.order > limit);
            prop_assert_eq!(behind, want.copied().take(5).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// So many steps, of which a share add.
    fn steps(share: f64) -> impl Strategy<Value = Vec<(bool, i64, i64)>> {
        let step = (prop::bool::weighted(share), 0_i64..40, 0_i64..40);
        prop::collection::vec(step, 1..300)
    }

    proptest! {
        #[test]
        fn fills_and_empties_like_a_sorted_list(filling in steps(0.8), emptying in steps(0.1), limit in -5_i64..45) {
            let steps = [filling, emptying].concat();
            // Many levels, and one as is used.
            like_a_sorted_list::<4>(&steps, limit)?;
            like_a_sorted_list::<32>(&steps, limit)?;
        }
    }
}
