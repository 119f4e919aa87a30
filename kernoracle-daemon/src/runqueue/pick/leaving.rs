//! What is picked once the current task sleeps.
//!
//! How long it will have run by then is not known, so the question is asked for three run times. Run times change how far the groups above
//! it have aged; where that decides nothing the answer is the same, and is worked out once.

use super::virtual_time::{NICE_0, renew, virtual_time};
use super::{Expected, Picker, Waiting};
use crate::runqueue::{RunQueues, Sym};
use crate::trace::event::Entity;

/// What a task without a slice (before 6.6) gets at least: about a tick.
const TICK_NS: u64 = 3_000_000;
/// How long a step ahead the current task has run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Its slice is used up.
    SliceEnd,
    /// It has run for so many ns.
    Run(u64),
}

/// What is picked if the current task sleeps at some time.
enum Choice {
    Of(Option<Sym>),
    /// The same as where nothing of it stays queued.
    AsWithout,
}

impl Picker {
    /// The fair class's choices if the current task sleeps early, late, and when it has run as long as it should; what is gathered is left as
    /// it is for the last of these.
    pub(super) fn if_sleeps(
        &mut self,
        queues: &RunQueues,
        cpu: u32,
        run: &Expected,
        waiting: Waiting,
        short: bool,
    ) -> [Option<Sym>; 3] {
        let current = queues.cpu_ref(cpu).current;
        let own = self.leave(queues, current, run.middle());
        self.levels(queues, cpu, None);
        self.find_turns();
        if waiting == Waiting::One {
            // Whatever stays queued asleep, and however far the groups have aged.
            let leaving = own.and_then(|own| self.leaving(queues, current, own));
            self.join_delayed(leaving);
            let choice = self.descend(queues, cpu, None);
            return [choice; 3];
        }
        if short && self.keeps_all_turns(queues, current, run) {
            // Nothing of the current task stays queued either.
            return [self.descend(queues, cpu, None); 3];
        }
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
        [choice(early), choice(late), middle]
    }

    /// On every level above the current task's queue, on which something waits, the group keeps the turn, and the task itself leaves the queue, however
    /// long it runs. It is enough to ask for the longest time: by how much a vruntime exceeds a mean that it is part of only grows. Then the
    /// way down is the same, and on the queue at its end nothing depends on the time. To be asked when the turns for the middle time have been found.
    fn keeps_all_turns(
        &mut self,
        queues: &RunQueues,
        current: Option<Sym>,
        run: &Expected,
    ) -> bool {
        if self.turns.is_empty() || self.turns.len() != self.above.len() {
            return false;
        }
        let longest = run.early().max(run.middle()).max(run.late());
        std::mem::swap(&mut self.stepped, &mut self.kept_stepped);
        let own = self.leave(queues, current, longest);
        let keeps = own.is_some_and(|own| self.leaving(queues, current, own).is_none())
            && (self.turns.iter()).all(|&(on, below)| self.would_keep(on, below) == Some(true));
        std::mem::swap(&mut self.stepped, &mut self.kept_stepped);
        keeps
    }

    /// A group keeps its turn when it will have been stepped so far.
    fn would_keep(&self, on: u32, below: u32) -> Option<bool> {
        let mut queue = self.find(on)?.clone();
        let now = self.groups.iter().find(|group| group.queue == below)?;
        let (_, then) = self.stepped.iter().find(|(queue, _)| *queue == below)?;
        queue.weigh(&now.entity, -1);
        queue.weigh(then, 1);
        Some(then.deadline.is_some() && queue.eligible(then))
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

    /// The current task's entity when it has run `until` then, and with it the groups above it, which have been found.
    pub(super) fn advance(
        &mut self,
        queues: &RunQueues,
        current: Sym,
        until: Until,
    ) -> Option<Entity> {
        self.stepped.clear();
        let task = queues.task(current);
        let mut own = task.in_fair_class()?.own;
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
        self.stepped.extend(self.above.iter().map(|(queue, group)| {
            let mut group = *group;
            let step = virtual_time(exec, group.weight.max(2));
            group.vruntime = group.vruntime.wrapping_add(step);
            renew(&mut group);
            (*queue, group)
        }));
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
}
