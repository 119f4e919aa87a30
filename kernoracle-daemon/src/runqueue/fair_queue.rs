//! The tasks that wait on one `cfs_rq`, in the orders in which the scheduler looks at them.

use super::Sym;
use super::tree::{Key, Tree};
use crate::trace::event::Entity;
use std::cell::Cell;

/// A task without a deadline (before 6.6) is always eligible.
const ALWAYS: i64 = i64::MIN;

/// What a queue prefers: smaller is better. Ineligible; then the deadline, or the vruntime where that decides, relative to the base.
pub(super) type Preference = (bool, i64);

/// The waiting tasks of one `cfs_rq`, and the sums over them.
#[derive(Clone, Debug, Default)]
pub struct FairQueue {
    pub(super) id: u32,
    /// Reference for all times, so that sums do not overflow: the vruntime of the first that came.
    pub(super) base: u64,
    pub(super) weight: i128,
    pub(super) weighted: i128,
    /// By deadline, or by vruntime where there is none.
    preferred: Tree,
    by_vruntime: Tree,
    deadlines: usize,
    /// The first in either order, once it was asked for.
    first: Cell<Option<First>>,
}

/// The least vruntime and the earliest deadline, relative to the base; the greatest number where there is none.
#[derive(Clone, Copy, Debug)]
struct First {
    vruntime: i64,
    deadline: i64,
}

impl FairQueue {
    /// Becomes the empty queue `id`, with the memory that it has.
    pub(super) fn reset(&mut self, id: u32, base: u64) {
        self.id = id;
        self.base = base;
        debug_assert!(self.is_empty() && self.weight == 0 && self.weighted == 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_vruntime.is_empty()
    }

    /// Nothing else waits here beside that which does.
    pub(super) fn is_lone(&self) -> bool {
        self.by_vruntime.only().is_some()
    }

    fn relative(&self, value: u64) -> i64 {
        value.wrapping_sub(self.base) as i64
    }

    fn keys(&self, sym: Sym, entity: &Entity, since_ns: u64) -> (Key, Key) {
        let vruntime = Key {
            order: self.relative(entity.vruntime),
            since_ns,
            sym: sym.raw(),
        };
        let order = entity.deadline.unwrap_or(entity.vruntime);
        let order = self.relative(order);
        (Key { order, ..vruntime }, vruntime)
    }

    fn weigh(&mut self, entity: &Entity, sign: i128) {
        let weight = sign * i128::from(entity.weight);
        self.weight += weight;
        self.weighted += weight * i128::from(self.relative(entity.vruntime));
    }

    pub(super) fn insert(&mut self, sym: Sym, entity: &Entity, since_ns: u64) {
        let (preferred, vruntime) = self.keys(sym, entity, since_ns);
        let low = entity.deadline.map_or(ALWAYS, |_| vruntime.order);
        self.preferred.insert(preferred, low);
        self.by_vruntime.insert(vruntime, low);
        self.deadlines += usize::from(entity.deadline.is_some());
        self.first.set(None);
        self.weigh(entity, 1);
    }

    /// Takes out what was inserted with the same arguments.
    pub(super) fn remove(&mut self, sym: Sym, entity: &Entity, since_ns: u64) {
        let (preferred, vruntime) = self.keys(sym, entity, since_ns);
        let (one, other) = (
            self.preferred.remove(&preferred),
            self.by_vruntime.remove(&vruntime),
        );
        debug_assert!(one && other, "a queued task is in both orders");
        self.deadlines -= usize::from(entity.deadline.is_some());
        self.first.set(None);
        self.weigh(entity, -1);
    }

    pub(super) fn least_vruntime(&self) -> i64 {
        self.first().vruntime
    }

    pub(super) fn earliest_deadline(&self) -> i64 {
        self.first().deadline
    }

    fn first(&self) -> First {
        self.first.get().unwrap_or_else(|| {
            let order = |tree: &Tree| tree.first().map_or(i64::MAX, |key| key.order);
            let first = First {
                vruntime: order(&self.by_vruntime),
                deadline: if self.deadlines > 0 {
                    order(&self.preferred)
                } else {
                    i64::MAX
                },
            };
            self.first.set(Some(first));
            first
        })
    }

    /// The preferred task if all up to the vruntime `limit` are eligible: its preference, since when it waits, and which it is.
    pub(super) fn best(&self, limit: i64) -> Option<(Preference, u64, Sym)> {
        let mut best = None;
        self.eligible(limit, &mut |key| {
            best = Some(((false, key.order), key.since_ns, Sym::from_raw(key.sym)));
            false
        });
        if best.is_none() {
            self.late(limit, &mut |key| {
                best = Some(((true, key.order), key.since_ns, Sym::from_raw(key.sym)));
                false
            });
        }
        best
    }

    /// Calls `visit` for the eligible ones, the earliest deadline first, until it says `false`.
    pub(super) fn eligible(&self, limit: i64, visit: &mut impl FnMut(&Key) -> bool) {
        self.preferred.within(limit, visit);
    }

    /// Calls `visit` for the others, the least vruntime first, until it says `false`.
    pub(super) fn late(&self, limit: i64, visit: &mut impl FnMut(&Key) -> bool) {
        if self.deadlines > 0 {
            self.by_vruntime
                .behind(limit, &mut |key, low| low == ALWAYS || visit(key));
        }
    }
}
