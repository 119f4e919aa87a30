//! A level of the group hierarchy as the scheduler sees it: sums, who is eligible, who is preferred.

use crate::runqueue::FairQueue;
use crate::runqueue::fair_queue::Preference;
use crate::trace::event::Entity;
use std::cell::Cell;

/// One level: what is queued on one `cfs_rq`.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) id: u32,
    /// Reference for the sums, so that they do not overflow.
    pub(super) base: u64,
    pub(super) weight: i128,
    pub(super) weighted: i128,
    pub(super) least_vruntime: i64,
    pub(super) earliest_deadline: i64,
    /// Preference of the choice on this queue, once there is one.
    pub(super) best: Option<Preference>,
    /// Index of the tasks among the CPU's fair queues; the first `tasks` levels are these.
    pub(super) tasks: Option<usize>,
    /// What the sums make, once it was asked for.
    average: Cell<Option<Average>>,
}

/// A queue's mean vruntime, relative to its base.
#[derive(Clone, Copy, Debug)]
struct Average {
    /// Rounded towards 0, as the kernel divides.
    mean: i64,
    /// Rounded down: the greatest vruntime that is eligible.
    limit: i64,
}

impl Average {
    fn of(weighted: i128, weight: i128) -> Self {
        if weight <= 0 {
            return Self {
                mean: 0,
                limit: i64::MAX,
            };
        }
        // Almost always: dividing twice as many bits takes several times as long.
        if let (Ok(weighted), Ok(weight)) = (i64::try_from(weighted), i64::try_from(weight)) {
            let mean = weighted / weight;
            let below = mean * weight > weighted;
            return Self {
                mean,
                limit: mean - i64::from(below),
            };
        }
        let limit = weighted.div_euclid(weight);
        Self {
            mean: (weighted / weight) as i64,
            limit: limit.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
        }
    }
}

impl Queue {
    pub(super) fn new(id: u32, base: u64) -> Self {
        Self {
            id,
            base,
            weight: 0,
            weighted: 0,
            least_vruntime: i64::MAX,
            earliest_deadline: i64::MAX,
            best: None,
            tasks: None,
            average: Cell::new(None),
        }
    }

    /// The level of tasks that wait.
    pub(super) fn of(tasks: usize, queue: &FairQueue) -> Self {
        Self {
            weight: queue.weight,
            weighted: queue.weighted,
            least_vruntime: queue.least_vruntime(),
            earliest_deadline: queue.earliest_deadline(),
            tasks: Some(tasks),
            ..Self::new(queue.id, queue.base)
        }
    }

    fn average(&self) -> Average {
        self.average.get().unwrap_or_else(|| {
            let average = Average::of(self.weighted, self.weight);
            self.average.set(Some(average));
            average
        })
    }

    /// The queue's mean vruntime, relative to its base.
    pub(super) fn mean(&self) -> i64 {
        self.average().mean
    }

    /// The greatest vruntime that is eligible, relative to the base.
    pub(super) fn limit(&self) -> i64 {
        self.average().limit
    }

    pub(super) fn relative(&self, value: u64) -> i64 {
        value.wrapping_sub(self.base) as i64
    }

    /// Counts an entity in the mean, or with -1 takes it out.
    pub(super) fn weigh(&mut self, entity: &Entity, sign: i128) {
        let weight = sign * i128::from(entity.weight);
        self.weight += weight;
        self.weighted += weight * i128::from(self.relative(entity.vruntime));
        self.average.set(None);
    }

    pub(super) fn add(&mut self, entity: &Entity) {
        let vruntime = self.relative(entity.vruntime);
        self.weigh(entity, 1);
        self.least_vruntime = self.least_vruntime.min(vruntime);
        if let Some(deadline) = entity.deadline {
            self.earliest_deadline = self.earliest_deadline.min(self.relative(deadline));
        }
    }

    /// `entity_eligible`: `sum(w_i (v_i - v)) >= 0`, which is to say that `v` is not above the mean.
    pub(super) fn eligible(&self, entity: &Entity) -> bool {
        self.relative(entity.vruntime) <= self.limit()
    }

    /// Smaller is preferred: the earliest eligible deadline; without deadlines the least vruntime.
    pub(super) fn preference(&self, entity: &Entity) -> Preference {
        match entity.deadline {
            Some(deadline) if self.eligible(entity) => (false, self.relative(deadline)),
            Some(_) => (true, self.relative(entity.vruntime)),
            None => (false, self.relative(entity.vruntime)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against products, as the kernel compares.
        #[test]
        fn who_is_eligible(
            entities in proptest::collection::vec((1_u32..1 << 21, 0_u64..1 << 44), 1..6),
            base in 0_u64..1 << 44,
            asked in 0_u64..1 << 44,
            far in any::<bool>(),
        ) {
            // Far from the base, the sums do not fit in 64 bits.
            let far = if far { 1 << 54 } else { 0 };
            let entity = |weight: u32, vruntime: u64| Entity {
                weight,
                vruntime: vruntime + far,
                ..Entity::default()
            };
            let mut queue = Queue::new(1, base);
            let (mut weight, mut weighted) = (0_i128, 0_i128);
            for (w, v) in &entities {
                queue.add(&entity(*w, *v));
                weight += i128::from(*w);
                weighted += i128::from(*w) * (i128::from(*v + far) - i128::from(base));
                // Asked in between: what was worked out before must not stand.
                let asked = entity(1, asked);
                let above = i128::from(asked.vruntime) - i128::from(base);
                prop_assert_eq!(queue.eligible(&asked), above * weight <= weighted);
                prop_assert_eq!(i128::from(queue.mean()), weighted / weight);
            }
        }
    }
}
