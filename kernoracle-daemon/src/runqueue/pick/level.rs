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
    /// The mean, once it was asked for.
    mean: Cell<Option<i64>>,
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
            mean: Cell::new(None),
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

    /// The queue's mean vruntime, relative to its base.
    pub(super) fn mean(&self) -> i64 {
        self.mean.get().unwrap_or_else(|| {
            let mean = if self.weight > 0 {
                (self.weighted / self.weight) as i64
            } else {
                0
            };
            self.mean.set(Some(mean));
            mean
        })
    }

    /// The greatest vruntime that is eligible, relative to the base.
    pub(super) fn limit(&self) -> i64 {
        if self.weight > 0 {
            let limit = self.weighted.div_euclid(self.weight);
            limit.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
        } else {
            i64::MAX
        }
    }

    pub(super) fn relative(&self, value: u64) -> i64 {
        value.wrapping_sub(self.base) as i64
    }

    /// Counts an entity in the mean, or with -1 takes it out.
    pub(super) fn weigh(&mut self, entity: &Entity, sign: i128) {
        let weight = sign * i128::from(entity.weight);
        self.weight += weight;
        self.weighted += weight * i128::from(self.relative(entity.vruntime));
        self.mean.set(None);
    }

    pub(super) fn add(&mut self, entity: &Entity) {
        let vruntime = self.relative(entity.vruntime);
        self.weigh(entity, 1);
        self.least_vruntime = self.least_vruntime.min(vruntime);
        if let Some(deadline) = entity.deadline {
            self.earliest_deadline = self.earliest_deadline.min(self.relative(deadline));
        }
    }

    /// `entity_eligible`: `sum(w_i (v_i - v)) >= 0`.
    pub(super) fn eligible(&self, entity: &Entity) -> bool {
        i128::from(self.relative(entity.vruntime)) * self.weight <= self.weighted
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
