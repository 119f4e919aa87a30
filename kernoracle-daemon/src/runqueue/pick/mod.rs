//! What the fair scheduler would pick from a run queue, level by level.
//!
//! The rules are those of `pick_next_task_fair` (kernel/sched/fair.c): from the root queue downwards,
//! take among the queue's entities the one that EEVDF prefers, the earliest deadline among the
//! eligible ones, or before 6.6 the least vruntime, until the entity is a task. An entity is eligible if its
//! vruntime does not exceed the queue's weighted mean (`avg_vruntime`). Real-time tasks come before all fair ones.
//!
//! What waits is kept in order ([`super::FairQueue`]), so a question costs O(log n) in the number of waiting tasks, and O(g) in the number of
//! groups among which they are spread.

mod leaving;
mod level;
mod standing;
mod virtual_time;
mod woken;

pub use standing::{LISTED, Standing};

use super::delayed::KEPT;
use super::fair_queue::Preference;
use super::{RunQueues, Sym};
use crate::trace::event::Entity;
use arrayvec::ArrayVec;
use leaving::Until;
use level::Queue;

/// Deeper hierarchies than records carry are cut.
const MAX_LEVELS: usize = 8;

/// What would be picked, in the two ways in which the current task can leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picks {
    /// If the current task goes to sleep after its usual run time.
    pub if_sleeps: Option<Sym>,
    /// If it goes to sleep early, or late, for a run of its kind.
    pub if_sleeps_early: Option<Sym>,
    pub if_sleeps_late: Option<Sym>,
    /// If the current task uses its slice up and stays runnable; may be the current task itself.
    pub if_stays: Option<Sym>,
}

/// How long the current task is expected to run, from its switch-in on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Quantiles .1, .5 and .9, ns.
    pub run_ns: [u64; 3],
    /// What it has run already, which is past doubt, ns.
    pub elapsed_ns: u64,
}

impl Expected {
    fn at_least(&self, ns: u64) -> u64 {
        if ns > self.elapsed_ns {
            ns
        } else {
            self.elapsed_ns + self.elapsed_ns / 8
        }
    }

    fn early(&self) -> u64 {
        self.at_least(self.run_ns[0])
    }

    /// The middle of what is left of the expectation.
    pub fn middle(&self) -> u64 {
        self.at_least(self.run_ns[1])
    }

    fn late(&self) -> u64 {
        self.at_least(self.run_ns[2])
    }
}

/// A group that waits on a queue because a task below it does.
#[derive(Clone, Copy, Debug)]
struct Group {
    queue: u32,
    entity: Entity,
}

/// How many fair tasks wait for a CPU: where there is no choice, little has to be worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nobody,
    One,
    More,
}

impl Waiting {
    fn of(queues: &RunQueues, cpu: u32) -> Self {
        match &queues.cpu_ref(cpu).fair[..] {
            [] => Self::Nobody,
            [queue] if queue.is_lone() => Self::One,
            _ => Self::More,
        }
    }
}

/// Scratch space of [`Picker::rank`], kept to be used again.
#[derive(Clone, Debug, Default)]
pub struct Picker {
    queues: Vec<Queue>,
    groups: Vec<Group>,
    front: Vec<(Standing, u32)>,
    listed: Vec<Standing>,
    /// The groups above the current task, from its own upwards, each behind the queue that it stands for.
    above: Vec<(u32, Entity)>,
    /// The same when it will have run for some time.
    stepped: Vec<(u32, Entity)>,
    delayed: Vec<Entity>,
    /// Queues from the root to the choice, as the last descent went.
    path: Vec<usize>,
    woken: Vec<(Sym, usize, Entity)>,
    /// Groups that keep the turn, each behind the queue that it is on.
    turns: Vec<(u32, u32)>,
    /// What was gathered, to go back to.
    kept_queues: Vec<Queue>,
    kept_groups: Vec<Group>,
    kept_delayed: Vec<Entity>,
    kept_stepped: Vec<(u32, Entity)>,
    /// The fair class's choice after the last [`Self::rank`], and its queue.
    picked: Option<Sym>,
    picked_queue: Option<u32>,
}

impl Picker {
    /// The first of what waits for `cpu` in the scheduler's order, [`LISTED`] at most, and what would be picked.
    pub fn rank(&mut self, queues: &RunQueues, cpu: u32, run: &Expected) -> (&[Standing], Picks) {
        self.rank_among(queues, cpu, run, Waiting::of(queues, cpu), true)
    }

    /// The same, as if so many waited or more, and, unless `short`, without asking whether groups keep their turns.
    fn rank_among(
        &mut self,
        queues: &RunQueues,
        cpu: u32,
        run: &Expected,
        waiting: Waiting,
        short: bool,
    ) -> (&[Standing], Picks) {
        let current = queues.cpu_ref(cpu).current;
        let (if_stays, [if_sleeps_early, if_sleeps_late, picked]) = if waiting == Waiting::Nobody {
            self.clear();
            let fair = |current: &Sym| queues.task(*current).in_fair_class().is_some();
            (current.filter(fair), [None; 3])
        } else {
            self.find_above(queues, current);
            let if_stays = current.and_then(|current| self.if_stays(queues, cpu, current));
            // While it runs, the groups above it age, which counts when they are compared with others.
            (if_stays, self.if_sleeps(queues, cpu, run, waiting, short))
        };
        self.picked = picked;
        self.picked_queue = self
            .picked
            .and_then(|sym| queues.task(sym).fair.as_ref())
            .map(|fair| fair.own.cfs_rq);
        self.list(queues, cpu);
        let first = self.listed.first();
        let real_time = first.filter(|standing| standing.real_time);
        let real_time = real_time.map(|standing| standing.sym);
        let picks = Picks {
            if_sleeps: first.map(|standing| standing.sym),
            if_sleeps_early: real_time.or(if_sleeps_early),
            if_sleeps_late: real_time.or(if_sleeps_late),
            if_stays,
        };
        (&self.listed, picks)
    }

    /// The fair class's choice if the current task uses its slice up.
    fn if_stays(&mut self, queues: &RunQueues, cpu: u32, current: Sym) -> Option<Sym> {
        let advanced = self.advance(queues, current, Until::SliceEnd)?;
        self.turns.clear();
        self.levels(queues, cpu, Some((current, advanced)));
        self.descend(queues, cpu, Some((current, advanced)))
    }

    /// Nothing waits.
    fn clear(&mut self) {
        self.queues.clear();
        self.groups.clear();
        self.delayed.clear();
        self.path.clear();
        self.turns.clear();
    }

    fn find_above(&mut self, queues: &RunQueues, current: Option<Sym>) {
        self.above.clear();
        let fair = current.and_then(|current| queues.task(current).fair.as_ref());
        let Some(mut queue) = fair.map(|fair| fair.own.cfs_rq) else {
            return;
        };
        while let Some(&group) = queues.group(queue) {
            self.above.push((queue, group));
            if self.above.len() > MAX_LEVELS {
                break;
            }
            queue = group.cfs_rq;
        }
    }

    /// An entity that sleeps stays queued: it counts in the mean of a queue that holds something.
    fn join_delayed(&mut self, entity: Option<Entity>) {
        let Some(entity) = entity else { return };
        self.delayed.push(entity);
        if let Some(queue) = self
            .queues
            .iter_mut()
            .find(|queue| queue.id == entity.cfs_rq)
        {
            queue.weigh(&entity, 1);
        }
    }

    fn group_entity(&self, queues: &RunQueues, queue: u32) -> Option<Entity> {
        self.stepped
            .iter()
            .find_map(|(id, entity)| (*id == queue).then_some(*entity))
            .or_else(|| queues.group(queue).copied())
    }

    fn queue(&mut self, id: u32, base: u64) -> &mut Queue {
        let index = self
            .queues
            .iter()
            .position(|queue| queue.id == id)
            .unwrap_or_else(|| {
                self.queues.push(Queue::new(id, base));
                self.queues.len() - 1
            });
        &mut self.queues[index]
    }

    /// Gathers each level's sums over all that wait (and the current task, if it stays).
    fn levels(&mut self, queues: &RunQueues, cpu: u32, staying: Option<(Sym, Entity)>) {
        self.queues.clear();
        self.groups.clear();
        let waiting = &queues.cpu_ref(cpu).fair;
        let tasks = waiting.iter().enumerate();
        self.queues
            .extend(tasks.map(|(i, queue)| Queue::of(i, queue)));
        if let Some((_, own)) = staying {
            self.queue(own.cfs_rq, own.vruntime).add(&own);
        }
        for i in 0..self.queues.len() {
            let mut below = self.queues[i].id;
            let mut level = 0;
            while let Some(entity) = self.group_entity(queues, below) {
                if self.groups.iter().any(|group| group.queue == below) || level == MAX_LEVELS {
                    break;
                }
                self.groups.push(Group {
                    queue: below,
                    entity,
                });
                self.queue(entity.cfs_rq, entity.vruntime).add(&entity);
                below = entity.cfs_rq;
                level += 1;
            }
        }
        self.delayed.clear();
        let mut lone: ArrayVec<u32, KEPT> = ArrayVec::new();
        for delayed in &queues.cpu_ref(cpu).delayed {
            // Where nothing else is queued, the group stays on its own queue, once for all of its delayed ones.
            let mut entity = delayed.entity;
            let mut new = true;
            while self.find(entity.cfs_rq).is_none()
                && let Some(group) = queues.group(entity.cfs_rq)
            {
                new = !lone.contains(&entity.cfs_rq) && lone.try_push(entity.cfs_rq).is_ok();
                if !new {
                    break;
                }
                entity = *group;
            }
            if new {
                self.join_delayed(Some(entity));
            }
        }
    }

    fn find(&self, id: u32) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.id == id)
    }

    fn is_root(&self, id: u32) -> bool {
        !self.groups.iter().any(|group| group.queue == id)
    }

    /// Walks down from the root queue, as `pick_next_task_fair` does.
    fn descend(
        &mut self,
        queues: &RunQueues,
        cpu: u32,
        staying: Option<(Sym, Entity)>,
    ) -> Option<Sym> {
        self.path.clear();
        let mut level = self
            .queues
            .iter()
            .position(|queue| self.is_root(queue.id))?;
        for _ in 0..=MAX_LEVELS {
            let id = self.queues[level].id;
            if let Some(group) = self.keeps_turn(level) {
                self.queues[level].best = Some((false, i64::MIN));
                self.path.push(level);
                level = self.place(group)?;
                continue;
            }
            self.drop_delayed(queues, cpu, staying, level);
            let task = self.best_task(queues, cpu, staying, level);
            let group = self
                .groups
                .iter()
                .filter(|group| group.entity.cfs_rq == id)
                .map(|group| (self.queues[level].preference(&group.entity), group.queue))
                .min_by_key(|(preference, _)| *preference);
            let best = [task.map(|(best, _)| best), group.map(|(best, _)| best)];
            self.queues[level].best = best.into_iter().flatten().min();
            self.path.push(level);
            match (task, group) {
                (Some((own, _)), Some((other, queue))) if other < own => {
                    level = self.place(queue)?;
                }
                (None, Some((_, queue))) => level = self.place(queue)?,
                (Some((_, sym)), _) => return Some(sym),
                (None, None) => return None,
            }
        }
        None
    }

    /// The group that keeps the turn on a level, if it is eligible.
    fn keeps_turn(&self, level: usize) -> Option<u32> {
        let queue = &self.queues[level];
        let &(_, below) = self.turns.iter().find(|(on, _)| *on == queue.id)?;
        let group = self.groups.iter().find(|group| group.queue == below)?;
        // Before 6.6 there was no slice to be protected.
        let keeps = group.entity.deadline.is_some() && queue.eligible(&group.entity);
        keeps.then_some(below)
    }

    /// Finds the groups that keep the turn when the current task sleeps: below which something still waits. Such a group has not left its queue, and
    /// until its slice is used up nothing that waited beside it is preferred (`protect_slice` in `pick_eevdf`); since 6.14 it is the next buddy too, by
    /// `dequeue_entities`.
    fn find_turns(&mut self) {
        self.turns.clear();
        let mut holds = false;
        for (below, group) in self.above.iter().take(MAX_LEVELS) {
            holds |= self.find(*below).is_some_and(|queue| queue.weight > 0);
            if holds {
                self.turns.push((group.cfs_rq, *below));
            }
        }
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.queues.iter().position(|queue| queue.id == id)
    }

    /// `pick_next_entity`: a delayed entity that is the choice leaves the queue, and the choice is made again.
    fn drop_delayed(
        &mut self,
        queues: &RunQueues,
        cpu: u32,
        staying: Option<(Sym, Entity)>,
        level: usize,
    ) {
        let id = self.queues[level].id;
        loop {
            let queue = &self.queues[level];
            let first = self
                .delayed
                .iter()
                .enumerate()
                .filter(|(_, entity)| entity.cfs_rq == id && queue.eligible(entity))
                .map(|(i, entity)| (queue.preference(entity), i))
                .min();
            let Some((preference, i)) = first else { return };
            let task = self.best_task(queues, cpu, staying, level);
            let mut groups = self.groups.iter().map(|group| &group.entity);
            let sooner = task.is_some_and(|(best, _)| best < preference)
                || groups
                    .any(|entity| entity.cfs_rq == id && queue.preference(entity) < preference);
            if sooner {
                return;
            }
            let gone = self.delayed.swap_remove(i);
            self.queues[level].weigh(&gone, -1);
        }
    }

    /// The task that a level prefers. Of equals, the one queued first is leftmost in the kernel's tree.
    fn best_task(
        &self,
        queues: &RunQueues,
        cpu: u32,
        staying: Option<(Sym, Entity)>,
        level: usize,
    ) -> Option<(Preference, Sym)> {
        let queue = &self.queues[level];
        let waiting = queue
            .tasks
            .and_then(|tasks| queues.cpu_ref(cpu).fair[tasks].best(queue.limit()));
        let staying = staying
            .filter(|(_, entity)| entity.cfs_rq == queue.id)
            .map(|(sym, entity)| (queue.preference(&entity), queues.task(sym).since_ns, sym));
        let candidates = waiting.into_iter().chain(staying);
        let best = candidates.min_by_key(|(preference, since_ns, _)| (*preference, *since_ns));
        best.map(|(preference, _, sym)| (preference, sym))
    }
}

#[cfg(test)]
mod tests;
