//! The tasks that wait, in the scheduler's order.

use super::Picker;
use crate::runqueue::tree::Key;
use crate::runqueue::{RunQueues, Sym};

/// Waiting tasks that [`Picker::rank`] lists, the scheduler's first ones.
pub const LISTED: usize = 6;

/// How a runnable task stands in its own queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub sym: Sym,
    /// 0 is the scheduler's choice, then the queue's order; tasks of queues that are not the choice come behind.
    pub key: u64,
    /// vruntime above the least one of its queue, ns.
    pub vruntime_above_ns: u64,
    /// Deadline above the earliest one of its queue, ns.
    pub deadline_above_ns: u64,
    pub eligible: bool,
    /// Every group above it is the one that would be picked on its level.
    pub group_picked: bool,
    pub real_time: bool,
}

impl Picker {
    /// How a task that waits stood at the last [`Self::rank`].
    pub fn standing(&self, queues: &RunQueues, sym: Sym) -> Standing {
        let task = queues.task(sym);
        let mut standing = Standing {
            sym,
            key: u64::MAX,
            vruntime_above_ns: 0,
            deadline_above_ns: 0,
            eligible: true,
            group_picked: false,
            real_time: task.prio < 100,
        };
        if task.prio < 100 {
            // `pick_next_task` asks the real-time class first; lower numbers are more urgent.
            standing.key = u64::from(task.prio);
            standing.group_picked = true;
        } else if let Some(fair) = &task.fair
            && let Some(queue) = self.find(fair.own.cfs_rq)
        {
            let own = &fair.own;
            let vruntime = queue.relative(own.vruntime);
            standing.vruntime_above_ns = (vruntime - queue.least_vruntime) as u64;
            if let Some(deadline) = own.deadline {
                standing.deadline_above_ns =
                    (queue.relative(deadline) - queue.earliest_deadline) as u64;
            }
            standing.eligible = queue.eligible(own);
            standing.group_picked = Some(own.cfs_rq) == self.picked_queue;
            let (late, order) = queue.preference(own);
            // Real time < the pick < its queue < ineligible there < other queues; inside, the order's low bits.
            let class = match (self.picked == Some(sym), standing.group_picked, late) {
                (true, ..) => 1,
                (false, true, false) => 2,
                (false, true, true) => 3,
                (false, false, false) => 4,
                (false, false, true) => 5,
            };
            let reference = if late {
                queue.least_vruntime
            } else {
                queue.earliest_deadline.min(queue.least_vruntime)
            };
            standing.key = (class << 60)
                | ((order.saturating_sub(reference)).max(0) as u64).min((1 << 60) - 1);
        }
        standing
    }

    /// Lists the first ones in the order of their keys, class by class until there are enough.
    pub(super) fn list(&mut self, queues: &RunQueues, cpu: u32) {
        let mut front = std::mem::take(&mut self.front);
        self.listed.clear();
        let waiting = queues.cpu_ref(cpu);
        // Of equals, the order of the CPU's own list.
        let entry = |picker: &Self, sym: Sym| {
            let index = queues.task(sym).queue_index.unwrap_or(u32::MAX);
            (picker.standing(queues, sym), index)
        };
        let real_time = |sym: &&Sym| queues.task(**sym).prio < 100;
        front.extend(
            waiting
                .unfair
                .iter()
                .filter(real_time)
                .map(|&sym| entry(self, sym)),
        );
        self.take(&mut front);
        front.extend(self.picked.map(|sym| entry(self, sym)));
        self.take(&mut front);
        for (own, late) in [(true, false), (true, true), (false, false), (false, true)] {
            for queue in &self.queues {
                let Some(tasks) = queue.tasks else { break };
                if self.listed.len() >= LISTED || (Some(queue.id) == self.picked_queue) != own {
                    continue;
                }
                let (mut taken, mut last) = (0, None);
                let mut visit = |key: &Key| {
                    // One more than fits, for the pick is among them; and all that equal the last.
                    if taken > LISTED && last != Some(key.order) {
                        return false;
                    }
                    taken += 1;
                    last = Some(key.order);
                    let sym = Sym::from_raw(key.sym);
                    if self.picked != Some(sym) {
                        front.push(entry(self, sym));
                    }
                    true
                };
                let tasks = &waiting.fair[tasks];
                if late {
                    tasks.late(queue.limit(), &mut visit);
                } else {
                    tasks.eligible(queue.limit(), &mut visit);
                }
            }
            self.take(&mut front);
        }
        if self.listed.len() < LISTED {
            let others = waiting.unfair.iter().filter(|sym| !real_time(sym));
            front.extend(others.map(|&sym| entry(self, sym)));
            self.take(&mut front);
        }
        self.front = front;
    }

    /// Moves the first ones of a class to the list, as many as fit.
    fn take(&mut self, class: &mut Vec<(Standing, u32)>) {
        class.sort_unstable_by_key(|(standing, index)| (standing.key, *index));
        let room = LISTED - self.listed.len();
        let first = class.drain(..).take(room).map(|(standing, _)| standing);
        self.listed.extend(first);
    }
}
