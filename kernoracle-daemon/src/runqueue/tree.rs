//! An ordered set whose subtrees know their least vruntime, as the kernel keeps its run queues (`min_vruntime` in kernel/sched/fair.c):
//! the first eligible entities are found without looking at the others.
//!
//! A treap (Seidel and Aragon 1996) in one array: inserting and removing cost O(log n) and, once the array has grown, no allocation.

use std::cmp::Ordering;

const NONE: u32 = u32::MAX;
const LEFT: usize = 0;
const RIGHT: usize = 1;

/// What orders the entries: earlier first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Deadline or vruntime, relative to the base of the queue.
    pub order: i64,
    /// Of equals, the one queued first is leftmost in the kernel's tree.
    pub since_ns: u64,
    pub sym: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    low: i64,
    /// The least `low` of the subtree.
    least: i64,
    priority: u32,
    /// [`LEFT`] come before it, [`RIGHT`] behind.
    below: [u32; 2],
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
    random: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            root: NONE,
            random: 0x9e37_79b9,
        }
    }
}

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// The entry, if there is one alone.
    pub(super) fn only(&self) -> Option<&Key> {
        let root = self.nodes.get(self.root as usize)?;
        (root.below == [NONE; 2]).then_some(&root.key)
    }

    /// Adds an entry that [`Self::within`] finds up to the limit `low`.
    pub(super) fn insert(&mut self, key: Key, low: i64) {
        // xorshift32 (Marsaglia 2003)
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let node = Node {
            key,
            low,
            least: low,
            priority: self.random,
            below: [NONE; 2],
        };
        let new = if let Some(place) = self.free.pop() {
            self.nodes[place as usize] = node;
            place
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        self.root = self.insert_below(self.root, new);
    }

    /// Takes an entry out. Returns whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let before = self.free.len();
        (self.root, _) = self.remove_below(self.root, key);
        self.free.len() > before
    }

    /// The first entry.
    pub(super) fn first(&self) -> Option<&Key> {
        let mut at = self.nodes.get(self.root as usize)?;
        while let Some(left) = self.nodes.get(at.below[LEFT] as usize) {
            at = left;
        }
        Some(&at.key)
    }

    /// Calls `visit` in order for those whose `low` is at most `limit`, until it says `false`.
    pub(super) fn within(&self, limit: i64, visit: &mut impl FnMut(&Key) -> bool) {
        self.within_below(self.root, limit, visit);
    }

    /// Calls `visit` in order for those that come behind `order`, until it says `false`.
    pub(super) fn behind(&self, order: i64, visit: &mut impl FnMut(&Key, i64) -> bool) {
        self.behind_below(self.root, order, visit);
    }

    fn within_below(&self, at: u32, limit: i64, visit: &mut impl FnMut(&Key) -> bool) -> bool {
        let Some(node) = self.nodes.get(at as usize).filter(|n| n.least <= limit) else {
            return true;
        };
        self.within_below(node.below[LEFT], limit, visit)
            && (node.low > limit || visit(&node.key))
            && self.within_below(node.below[RIGHT], limit, visit)
    }

    fn behind_below(&self, at: u32, order: i64, visit: &mut impl FnMut(&Key, i64) -> bool) -> bool {
        let Some(node) = self.nodes.get(at as usize) else {
            return true;
        };
        if node.key.order <= order {
            return self.behind_below(node.below[RIGHT], order, visit);
        }
        self.behind_below(node.below[LEFT], order, visit)
            && visit(&node.key, node.low)
            && self.behind_below(node.below[RIGHT], order, visit)
    }

    fn insert_below(&mut self, at: u32, new: u32) -> u32 {
        let Node {
            key, low, priority, ..
        } = self.nodes[new as usize];
        let Some(node) = self.nodes.get_mut(at as usize) else {
            return new;
        };
        // No need to look at what else is below.
        let least = node.least.min(low);
        let side = usize::from(key >= node.key);
        node.least = least;
        let (above, below) = (node.priority, node.below[side]);
        let child = self.insert_below(below, new);
        self.nodes[at as usize].below[side] = child;
        if child != new || priority <= above {
            return at;
        }
        // The child comes up; what lies between the two changes over.
        let between = self.nodes[child as usize].below[1 - side];
        self.nodes[at as usize].below[side] = between;
        self.update(at);
        let child = &mut self.nodes[child as usize];
        child.below[1 - side] = at;
        child.least = least;
        new
    }

    /// Returns what stands in its place, and the `low` that has gone; the greatest number if none has.
    fn remove_below(&mut self, at: u32, key: &Key) -> (u32, i64) {
        let Some(node) = self.nodes.get(at as usize) else {
            return (at, i64::MAX);
        };
        let (below, low, least) = (node.below, node.low, node.least);
        let side = match key.cmp(&node.key) {
            Ordering::Less => LEFT,
            Ordering::Greater => RIGHT,
            Ordering::Equal => {
                self.free.push(at);
                return (self.merge(below[LEFT], below[RIGHT]), low);
            }
        };
        let (child, gone) = self.remove_below(below[side], key);
        self.nodes[at as usize].below[side] = child;
        if gone == least {
            // It may have been the least one.
            self.update(at);
        }
        (at, gone)
    }

    /// Joins two subtrees, all of whose entries on the left come before those on the right.
    fn merge(&mut self, left: u32, right: u32) -> u32 {
        if left == NONE {
            return right;
        }
        if right == NONE {
            return left;
        }
        if self.nodes[left as usize].priority > self.nodes[right as usize].priority {
            let below = self.merge(self.nodes[left as usize].below[RIGHT], right);
            self.nodes[left as usize].below[RIGHT] = below;
            self.update(left);
            left
        } else {
            let below = self.merge(left, self.nodes[right as usize].below[LEFT]);
            self.nodes[right as usize].below[LEFT] = below;
            self.update(right);
            right
        }
    }

    fn update(&mut self, at: u32) {
        let node = self.nodes[at as usize];
        let least = |at: u32| self.nodes.get(at as usize).map_or(i64::MAX, |n| n.least);
        let [left, right] = node.below.map(least);
        self.nodes[at as usize].least = node.low.min(left).min(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least `low` below a node, which each node there says of its own subtree.
    fn least(tree: &Tree, at: u32) -> i64 {
        let Some(node) = tree.nodes.get(at as usize) else {
            return i64::MAX;
        };
        let [left, right] = node.below.map(|at| least(tree, at));
        let least = node.low.min(left).min(right);
        assert_eq!(node.least, least, "{:?}", node.key);
        least
    }

    proptest! {
        /// The same as a sorted list that is filtered, whatever comes and goes.
        #[test]
        fn like_a_sorted_list(steps in prop::collection::vec((any::<bool>(), 0_i64..40, 0_i64..40), 1..300), limit in -5_i64..45) {
            let mut tree = Tree::default();
            let mut list: Vec<(Key, i64)> = Vec::new();
            for (i, (add, order, low)) in steps.into_iter().enumerate() {
                if add || list.is_empty() {
                    let key = Key { order, since_ns: (i % 3) as u64, sym: i as u32 };
                    tree.insert(key, low);
                    list.push((key, low));
                } else {
                    let (key, _) = list.swap_remove(order as usize % list.len());
                    prop_assert!(tree.remove(&key));
                    prop_assert!(!tree.remove(&key));
                }
                least(&tree, tree.root);
            }
            list.sort_unstable();
            prop_assert_eq!(tree.first(), list.first().map(|(key, _)| key));
            prop_assert_eq!(tree.is_empty(), list.is_empty());
            let only = list.first().filter(|_| list.len() == 1);
            prop_assert_eq!(tree.only(), only.map(|(key, _)| key));
            let mut within = Vec::new();
            tree.within(limit, &mut |key| { within.push(*key); true });
            let want: Vec<Key> = list.iter().filter(|(_, low)| *low <= limit).map(|(key, _)| *key).collect();
            prop_assert_eq!(within, want);
            let mut behind = Vec::new();
            tree.behind(limit, &mut |key, low| { behind.push((*key, low)); behind.len() < 5 });
            let want: Vec<(Key, i64)> = list.iter().filter(|(key, _)| key.order > limit).copied().take(5).collect();
            prop_assert_eq!(behind, want);
        }
    }
}
