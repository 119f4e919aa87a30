//! What the fair scheduler would pick from a run queue, level by level.
//!
//! The rules are those of `pick_next_task_fair` (kernel/sched/fair.c): from the root queue downwards,
//! take among the queue's entities the one that EEVDF prefers, the earliest deadline among the
//! eligible ones, or before 6.6 the least vruntime, until the entity is a task. An entity is eligible if its
//! vruntime does not exceed the queue's weighted mean (`avg_vruntime`). Real-time tasks come before all fair ones.
//!
//! What waits is kept in order ([`super::FairQueue`]), so a question costs O(log n) in the number of waiting tasks, and O(g) in the number of
//! groups among which they are spread.

mod level;
mod standing;
mod virtual_time;

pub use standing::{LISTED, Standing};

use super::fair_queue::Preference;
use super::{RunQueues, Sleeper, Sym};
use crate::trace::event::Entity;
use level::Queue;
use virtual_time::{NICE_0, renew, virtual_time};

/// What would be picked, in the two ways in which the current task can leave.
#[derive(Clone, Copy, Debug, Default)]
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

/// What is picked if the current task sleeps at some time.
enum Choice {
    Of(Option<Sym>),
    /// The same as where nothing of it stays queued.
    AsWithout,
}

/// Scratch space of [`Picker::rank`], kept to be used again.
#[derive(Clone, Debug, Default)]
pub struct Picker {
    queues: Vec<Queue>,
    groups: Vec<Group>,
    front: Vec<(Standing, u32)>,
    listed: Vec<Standing>,
    stepped: Vec<(u32, Entity)>,
    delayed: Vec<Entity>,
    /// Queues from the root to the choice, as the last descent went.
    path: Vec<usize>,
    woken: Vec<(Sym, usize, Entity)>,
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
        let current = queues.cpu_ref(cpu).current;
        let if_stays = current.and_then(|current| {
            let advanced = self.advance(queues, current, Until::SliceEnd)?;
            self.levels(queues, cpu, Some((current, advanced)));
            self.descend(queues, cpu, Some((current, advanced)))
        });
        // While it runs, the groups above it age, which counts when they are compared with others.
        let (if_sleeps_early, if_sleeps_late, picked) = self.if_sleeps(queues, cpu, run);
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

    /// The fair class's choices if the current task sleeps early, late, and when it has run as long as it should; what is gathered is left as
    /// it is for the last of these.
    fn if_sleeps(
        &mut self,
        queues: &RunQueues,
        cpu: u32,
        run: &Expected,
    ) -> (Option<Sym>, Option<Sym>, Option<Sym>) {
        let current = queues.cpu_ref(cpu).current;
        let own = self.leave(queues, current, run.middle());
        self.levels(queues, cpu, None);
        self.keep();
        let [early, late] = [run.early(), run.late()].map(|ns| {
            let own = self.leave(queues, current, ns);
            if !self.ages_unseen() {
                self.levels(queues, cpu, None);
            }
            let leaving = own.and_then(|own| self.leaving(queues, current, own));
            if leaving.is_none() && self.ages_unseen() {
                return Choice::AsWithout;
            }
            self.join_delayed(leaving);
            let choice = self.descend(queues, cpu, None);
            self.restore();
            Choice::Of(choice)
        });
        std::mem::swap(&mut self.stepped, &mut self.kept_stepped);
        let leaving = own.and_then(|own| self.leaving(queues, current, own));
        let asked = [&early, &late]
            .iter()
            .any(|choice| matches!(choice, Choice::AsWithout));
        let mut without = None;
        if leaving.is_some() && asked {
            without = self.descend(queues, cpu, None);
            self.restore();
        }
        self.join_delayed(leaving);
        let middle = self.descend(queues, cpu, None);
        if leaving.is_none() {
            without = middle;
        }
        let choice = |choice| match choice {
            Choice::Of(choice) => choice,
            Choice::AsWithout => without,
        };
        (choice(early), choice(late), middle)
    }

    /// Steps the current task and the groups above it to where it has run for `ns`.
    fn leave(&mut self, queues: &RunQueues, current: Option<Sym>, ns: u64) -> Option<Entity> {
        self.stepped.clear();
        self.advance(queues, current?, Until::Run(ns))
    }

    /// Keeps what was gathered, and how far the groups above the current task were stepped for it.
    fn keep(&mut self) {
        self.kept_queues.clone_from(&self.queues);
        self.kept_groups.clone_from(&self.groups);
        self.kept_delayed.clone_from(&self.delayed);
        std::mem::swap(&mut self.stepped, &mut self.kept_stepped);
    }

    /// Goes back to what was kept.
    fn restore(&mut self) {
        self.queues.clone_from(&self.kept_queues);
        self.groups.clone_from(&self.kept_groups);
        self.delayed.clone_from(&self.kept_delayed);
    }

    /// Each group above the current task that waits is alone on its level: how far it has aged decides nothing there.
    fn ages_unseen(&self) -> bool {
        self.stepped.iter().all(|(queue, _)| {
            let Some(group) = self.groups.iter().find(|group| group.queue == *queue) else {
                return true;
            };
            let level = group.entity.cfs_rq;
            let entities = self
                .groups
                .iter()
                .filter(|other| other.entity.cfs_rq == level);
            let tasks = self.find(level).is_some_and(|level| level.tasks.is_some());
            let delayed = self.delayed.iter().any(|delayed| delayed.cfs_rq == level);
            !tasks && !delayed && entities.count() == 1
        })
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

    /// A sleeper, were it woken after the last [`Self::rank`], would be the choice.
    pub fn would_win(&self, queues: &RunQueues, cpu: u32, sleeper: Sym) -> bool {
        if queues.task(sleeper).prio < 100 {
            return true;
        }
        match self.placed(queues, cpu, sleeper) {
            Some((at, entity)) => {
                let queue = &self.queues[at];
                // On a queue whose group is not the choice it matters little who joins.
                self.path.contains(&at)
                    && (queue.best).is_none_or(|best| queue.preference(&entity) < best)
            }
            None => true,
        }
    }

    /// The choice if all these sleepers are woken and the current task then sleeps. To be asked last: it changes what [`Self::rank`] has
    /// gathered.
    pub fn if_woken(&mut self, queues: &RunQueues, cpu: u32, sleepers: &[Sym]) -> Option<Sym> {
        self.woken.clear();
        for &sleeper in sleepers {
            if let Some((at, entity)) = self.placed(queues, cpu, sleeper) {
                self.woken.push((sleeper, at, entity));
            }
        }
        for i in 0..self.woken.len() {
            let (_, at, entity) = self.woken[i];
            self.queues[at].weigh(&entity, 1);
        }
        let waiting = self.descend(queues, cpu, None);
        for &level in &self.path {
            let queue = &self.queues[level];
            let first = self
                .woken
                .iter()
                .filter(|(_, at, _)| *at == level)
                .map(|(sym, _, entity)| (queue.preference(entity), *sym))
                .min();
            if let Some((preference, sym)) = first
                && queue.best.is_none_or(|best| preference < best)
            {
                return Some(sym);
            }
        }
        // With nothing that waits, the first one woken runs.
        waiting.or(sleepers.first().copied())
    }

    /// Where a wake-up would put a sleeper, or the group that it is in: the index of the first queue upwards that holds something, and the
    /// entity as it would stand there. `place_entity` puts it at the queue's mean less what it was owed when it left; what is delayed stays
    /// where it is (`requeue_delayed_entity`). `None` where no queue above it holds anything.
    fn placed(&self, queues: &RunQueues, cpu: u32, sleeper: Sym) -> Option<(usize, Entity)> {
        let fair = queues.task(sleeper).fair.as_ref()?;
        if let Some(entity) = queues.delayed_entity(cpu, Sleeper::Task(sleeper)) {
            return Some((self.place(entity.cfs_rq)?, *entity));
        }
        let mut entity = fair.own;
        let mut lag = fair.vlag.unwrap_or(0);
        let at = loop {
            if let Some(at) = self.place(entity.cfs_rq) {
                break at;
            }
            let below = entity.cfs_rq;
            if let Some(delayed) = queues.delayed_entity(cpu, Sleeper::Group(below)) {
                return Some((self.place(delayed.cfs_rq)?, *delayed));
            }
            entity = *queues.group(below)?;
            lag = queues.group_lag(below);
        };
        let queue = &self.queues[at];
        let vruntime = queue.mean().saturating_sub(lag);
        entity.vruntime = queue.base.wrapping_add(vruntime as u64);
        entity.deadline = entity.slice.map(|slice| {
            let slice = virtual_time(u64::from(slice), entity.weight.max(2));
            entity.vruntime.wrapping_add(slice)
        });
        Some((at, entity))
    }

    /// The current task's entity when it has run `until` then, and with it the groups above it.
    fn advance(&mut self, queues: &RunQueues, current: Sym, until: Until) -> Option<Entity> {
        self.stepped.clear();
        let task = queues.task(current);
        let fair = task.fair.as_ref()?;
        if task.prio < 100 {
            return None;
        }
        let mut own = fair.own;
        let weight = own.weight.max(2);
        let slice_end = own.deadline.unwrap_or(own.vruntime.wrapping_add(TICK_NS));
        let left = (slice_end.wrapping_sub(own.vruntime) as i64).max(0) as u64;
        let delta = match until {
            Until::SliceEnd => left,
            Until::Run(ns) => virtual_time(ns, weight),
        };
        own.vruntime = own.vruntime.wrapping_add(delta);
        let exec = (u128::from(delta) * u128::from(weight) / u128::from(NICE_0)) as u64;
        renew(&mut own);
        let mut queue = own.cfs_rq;
        while let Some(&group) = queues.group(queue) {
            let mut group = group;
            let step = virtual_time(exec, group.weight.max(2));
            group.vruntime = group.vruntime.wrapping_add(step);
            renew(&mut group);
            self.stepped.push((queue, group));
            if self.stepped.len() > MAX_LEVELS {
                break;
            }
            queue = group.cfs_rq;
        }
        Some(own)
    }

    /// Of the current task and the groups above it, the entity that will stay queued though it sleeps, if one will: the first, upwards,
    /// that is not eligible when it leaves.
    fn leaving(&self, queues: &RunQueues, current: Option<Sym>, own: Entity) -> Option<Entity> {
        let fair = queues.task(current?).fair.as_ref()?;
        fair.delayed?;
        let ineligible = |entity: &Entity| {
            self.find(entity.cfs_rq).is_some_and(|queue| {
                let mut queue = queue.clone();
                queue.weigh(entity, 1);
                !queue.eligible(entity)
            })
        };
        if ineligible(&own) {
            return Some(own);
        }
        let mut below = own.cfs_rq;
        for (queue, group) in &self.stepped {
            // A queue on which something waits keeps its place whoever sleeps.
            if *queue != below || self.find(below).is_some() {
                return None;
            }
            if ineligible(group) {
                return Some(*group);
            }
            below = group.cfs_rq;
        }
        None
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
        // What sleeps on a queue that holds nothing else is dequeued before anything is picked there.
        self.delayed.clear();
        for delayed in &queues.cpu_ref(cpu).delayed {
            self.join_delayed(Some(delayed.entity));
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
            self.drop_delayed(queues, cpu, staying, level);
            let id = self.queues[level].id;
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

/// What a task without a slice (before 6.6) gets at least: about a tick.
const TICK_NS: u64 = 3_000_000;
/// Deeper hierarchies than records carry are cut.
const MAX_LEVELS: usize = 8;

/// How long a step ahead the current task has run.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// Its slice is used up.
    SliceEnd,
    /// It has run for so many ns.
    Run(u64),
}
