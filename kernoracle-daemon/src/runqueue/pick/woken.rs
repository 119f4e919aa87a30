//! What is picked if sleepers wake first.

use super::Picker;
use super::virtual_time::virtual_time;
use crate::runqueue::{RunQueues, Sleeper, Sym};
use crate::trace::event::Entity;

impl Picker {
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
}
