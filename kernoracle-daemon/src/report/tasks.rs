//! Hit rates of the busiest tasks.

use super::{fields::documented, tally::share};
use crate::oracle::outcome::{Decision, TaskName};
use foldhash::HashMap;

/// Tasks kept apart; beyond, the less busy half is summed up.
const MAX_TASKS: usize = 16_384;
/// Wrong guesses kept apart for a task.
const MAX_WRONG: usize = 1024;

documented! {
    /// How often a task was foreseen.
    #[derive(PartialEq)]
    pub struct TaskFigures {
        /// The task.
        pub pid: u32,
        /// Its name; bytes that are not UTF-8 are replaced.
        pub comm: String,
        /// Scored switches to it.
        pub decisions: u64,
        /// Share of those whose first choice it was (at-switch), 0 to 1.
        pub top1: f64,
        /// What was predicted most often in its place; null if nothing was.
        pub wrong_pid: Option<u32>,
        /// Name of that task.
        pub wrong_comm: Option<String>,
        /// How often.
        pub wrong_decisions: u64,
    }
}

#[derive(Clone, Debug, Default)]
struct TaskTally {
    decisions: u64,
    hits: u64,
    wrong: HashMap<TaskName, u64>,
}

/// Counts for every task that was switched to.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskTable {
    tasks: HashMap<TaskName, TaskTally>,
}

impl TaskTable {
    pub fn add(&mut self, decision: &Decision) {
        if self.tasks.len() >= MAX_TASKS && !self.tasks.contains_key(&decision.actual) {
            self.keep_busiest(MAX_TASKS / 2);
        }
        let tally = self.tasks.entry(decision.actual).or_default();
        tally.decisions += 1;
        if decision.at_switch.hit() {
            tally.hits += 1;
        } else if let Some(&(guess, _)) = decision.at_switch.top.first()
            && (tally.wrong.len() < MAX_WRONG || tally.wrong.contains_key(&guess))
        {
            *tally.wrong.entry(guess).or_default() += 1;
        }
    }

    /// The busiest tasks, most switches first.
    pub fn busiest(&self, count: usize) -> Vec<TaskFigures> {
        let mut order: Vec<_> = self.tasks.iter().collect();
        order.sort_unstable_by_key(|(task, tally)| (u64::MAX - tally.decisions, key(task)));
        order.truncate(count);
        order
            .into_iter()
            .map(|(task, tally)| figures(task, tally))
            .collect()
    }

    fn keep_busiest(&mut self, count: usize) {
        let mut order: Vec<_> = self
            .tasks
            .iter()
            .map(|(task, tally)| (u64::MAX - tally.decisions, key(task)))
            .collect();
        order.sort_unstable();
        order.truncate(count);
        if let Some(&last) = order.last() {
            self.tasks
                .retain(|task, tally| (u64::MAX - tally.decisions, key(task)) <= last);
        }
    }
}

fn figures(task: &TaskName, tally: &TaskTally) -> TaskFigures {
    let wrong = tally
        .wrong
        .iter()
        .max_by_key(|&(guess, &count)| (count, std::cmp::Reverse(key(guess))));
    TaskFigures {
        pid: task.pid,
        comm: task.comm.to_string(),
        decisions: tally.decisions,
        top1: share(tally.hits, tally.decisions).unwrap_or_default(),
        wrong_pid: wrong.map(|(guess, _)| guess.pid),
        wrong_comm: wrong.map(|(guess, _)| guess.comm.to_string()),
        wrong_decisions: wrong.map_or(0, |(_, &count)| count),
    }
}

/// Orders tasks, so that ties come out the same in every run.
fn key(task: &TaskName) -> (u32, [u8; 16]) {
    (task.pid, task.comm.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_keeps_the_busiest() {
        let mut table = TaskTable::default();
        for pid in 1..=10 {
            let tally = TaskTally {
                decisions: u64::from(pid),
                ..TaskTally::default()
            };
            table.tasks.insert(
                TaskName {
                    pid,
                    ..TaskName::default()
                },
                tally,
            );
        }
        table.keep_busiest(3);
        let kept: Vec<_> = table.busiest(9).iter().map(|task| task.pid).collect();
        assert_eq!(kept, [10, 9, 8]);
    }
}
