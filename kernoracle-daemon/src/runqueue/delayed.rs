//! Entities that sleep but are still queued.
//!
//! Since 6.12 an entity that goes to sleep while it is not eligible stays on its queue until it has been picked, and then leaves it
//! (`dequeue_entity`, `set_delayed` and `pick_next_entity` in kernel/sched/fair.c). Until then it counts in the queue's mean, and so
//! decides which of the others are eligible. Of a task, the records tell; of a group it follows from the same rule.

use super::{RunQueues, Sym};
use crate::trace::event::{Entity, MAX_PARENTS};

/// More are not kept: they only shift a mean.
pub(super) const KEPT: usize = 64;

/// Who sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeper {
    Task(Sym),
    /// The group whose `cfs_rq` this is.
    Group(u32),
}

/// A delayed entity.
#[derive(Clone, Copy, Debug)]
pub struct Delayed {
    pub sleeper: Sleeper,
    pub entity: Entity,
}

/// Weight and weighted vruntime of what a queue holds: its mean decides who is eligible.
#[derive(Clone, Copy, Debug)]
struct Sums {
    base: u64,
    weight: i128,
    weighted: i128,
}

impl Sums {
    fn new(first: &Entity) -> Self {
        let mut sums = Self {
            base: first.vruntime,
            weight: 0,
            weighted: 0,
        };
        sums.add(first, 1);
        sums
    }

    fn add(&mut self, entity: &Entity, sign: i128) {
        let weight = sign * i128::from(entity.weight);
        self.weight += weight;
        self.weighted += weight * self.relative(entity);
    }

    fn relative(&self, entity: &Entity) -> i128 {
        i128::from(entity.vruntime.wrapping_sub(self.base) as i64)
    }

    /// What the entity is owed: the mean less its vruntime.
    fn lag(&self, entity: &Entity) -> i64 {
        if self.weight == 0 {
            return 0;
        }
        (self.weighted / self.weight - self.relative(entity)) as i64
    }

    /// `entity_eligible`
    fn eligible(&self, entity: &Entity) -> bool {
        self.relative(entity) * self.weight <= self.weighted
    }
}

impl RunQueues {
    /// `prev` has just gone to sleep on `cpu`, and its state is that of the switch: it, or a group above it, may stay queued.
    pub(super) fn delay(&mut self, cpu: u32, prev: Sym) {
        let task = self.task(prev);
        let Some(fair) = task.in_fair_class() else {
            return;
        };
        let mut lags: arrayvec::ArrayVec<(u32, i64), MAX_PARENTS> = arrayvec::ArrayVec::new();
        let delayed = match fair.delayed {
            // A kernel without delayed dequeue.
            None => return,
            Some(true) => Some(Delayed {
                sleeper: Sleeper::Task(prev),
                entity: fair.own,
            }),
            Some(false) => {
                let mut below = fair.own.cfs_rq;
                let mut found = None;
                for parent in &fair.parents {
                    if self.holds_any(cpu, below) {
                        break;
                    }
                    let sums = self.sums(cpu, parent, prev);
                    if sums.eligible(parent) {
                        lags.push((below, sums.lag(parent)));
                    } else {
                        found = Some(Delayed {
                            sleeper: Sleeper::Group(below),
                            entity: *parent,
                        });
                        break;
                    }
                    below = parent.cfs_rq;
                }
                found
            }
        };
        self.group_lags.extend(lags);
        if let Some(delayed) = delayed {
            let list = &mut self.cpus[cpu as usize].delayed;
            list.retain(|other| other.sleeper != delayed.sleeper);
            if list.len() == KEPT {
                list.remove(0);
            }
            list.push(delayed);
        }
    }

    /// A task is queued again, or gone: neither it nor a group above it is delayed any more.
    pub(super) fn undelay(&mut self, cpu: u32, sym: Sym) {
        let Some(cpu) = self.cpus.get_mut(cpu as usize) else {
            return;
        };
        if cpu.delayed.is_empty() {
            return;
        }
        let task = &self.tasks[sym.slot()];
        cpu.delayed.retain(|delayed| match delayed.sleeper {
            Sleeper::Task(other) => other != sym,
            Sleeper::Group(queue) => task.fair.as_ref().is_none_or(|fair| {
                fair.own.cfs_rq != queue && fair.parents.iter().all(|parent| parent.cfs_rq != queue)
            }),
        });
    }

    /// `next` was picked: what was delayed, eligible and due before it has been taken off the queue on the way.
    pub(super) fn settle_delayed(&mut self, cpu: u32, next: Sym) {
        if self.cpus[cpu as usize].delayed.is_empty() {
            return;
        }
        if next == self.idle[cpu as usize] {
            self.cpus[cpu as usize].delayed.clear();
            return;
        }
        let Some(fair) = self.task(next).fair.clone() else {
            return;
        };
        for chosen in std::iter::once(&fair.own).chain(&fair.parents) {
            let Some(limit) = chosen.deadline else { return };
            // `next` still waits: its state is not of this moment on its own level only.
            let mut sums = self.sums(cpu, chosen, next);
            loop {
                let list = &mut self.cpus[cpu as usize].delayed;
                let due = list.iter().position(|delayed| {
                    let entity = &delayed.entity;
                    entity.cfs_rq == chosen.cfs_rq
                        && sums.eligible(entity)
                        && entity
                            .deadline
                            .is_some_and(|deadline| (deadline.wrapping_sub(limit) as i64) < 0)
                });
                let Some(due) = due else { break };
                let gone = list.remove(due);
                sums.add(&gone.entity, -1);
            }
        }
    }

    /// What a group was owed when it left its queue.
    pub(crate) fn group_lag(&self, queue: u32) -> i64 {
        self.group_lags.get(&queue).copied().unwrap_or(0)
    }

    /// The entity of a sleeper that is still queued, its own or that of the group below which everything sleeps.
    pub(super) fn delayed_entity(&self, cpu: u32, sleeper: Sleeper) -> Option<&Entity> {
        let list = &self.cpus.get(cpu as usize)?.delayed;
        list.iter()
            .find(|delayed| delayed.sleeper == sleeper)
            .map(|delayed| &delayed.entity)
    }

    /// Something that waits on `cpu` is queued on `queue` or below it, or is delayed there.
    fn holds_any(&self, cpu: u32, queue: u32) -> bool {
        let cpu = &self.cpus[cpu as usize];
        cpu.delayed
            .iter()
            .any(|delayed| delayed.entity.cfs_rq == queue)
            || cpu.fair.iter().any(|fair| {
                fair.id == queue || self.above(fair.id).any(|(_, group)| group.cfs_rq == queue)
            })
    }

    /// The groups above a queue, each with the queue that it stands for.
    fn above(&self, queue: u32) -> impl Iterator<Item = (u32, &Entity)> {
        let group = move |queue: u32| Some((queue, self.group(queue)?));
        std::iter::successors(group(queue), move |(_, entity)| group(entity.cfs_rq))
            .take(MAX_PARENTS)
    }

    /// Sums over what is queued beside `entity`, itself included; it may be that of the task `own`.
    fn sums(&self, cpu: u32, entity: &Entity, own: Sym) -> Sums {
        let queue = entity.cfs_rq;
        let mut sums = Sums::new(entity);
        let mut groups: arrayvec::ArrayVec<u32, 64> = arrayvec::ArrayVec::new();
        let list = &self.cpus[cpu as usize];
        for fair in &list.fair {
            if fair.id == queue {
                let apart = i128::from(fair.base.wrapping_sub(sums.base) as i64);
                sums.weight += fair.weight;
                sums.weighted += fair.weighted + fair.weight * apart;
                if self.task(own).queued.as_ref() == Some(entity) {
                    sums.add(entity, -1);
                }
                continue;
            }
            if let Some((below, group)) =
                (self.above(fair.id)).find(|(_, group)| group.cfs_rq == queue)
                // Each group once; `entity` may be one of them.
                && !groups.contains(&below)
                && *group != *entity
            {
                sums.add(group, 1);
                let _ = groups.try_push(below);
            }
        }
        for delayed in &list.delayed {
            if delayed.entity.cfs_rq == queue {
                sums.add(&delayed.entity, 1);
            }
        }
        sums
    }
}
