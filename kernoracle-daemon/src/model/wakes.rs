//! Whom the current task will wake, by what it did in its last runs.
//!
//! Servers and their clients go through the same steps again and again: how long a task's last runs were and how they ended tells which step
//! comes now, and with it who will be woken. Counted for the task itself, and for all tasks of its role together.

use super::situations::mix;
use crate::baseline::{Row, Table};
use crate::runqueue::{RunQueues, Sym};

/// Rows of 32 bytes.
const BITS: u32 = 15;
/// Counted where nobody was woken.
const NOBODY: u32 = u32::MAX;

/// What is known of the present run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wakes {
    /// Successors are tasks.
    pub own: Option<Row>,
    /// Successors are roles.
    pub role: Option<Row>,
}

/// The counts of one CPU.
#[derive(Clone, Debug)]
pub struct WakeCounts {
    table: Table,
    /// Of the present run: the task's own, its role's.
    keys: Option<[u64; 2]>,
}

impl Default for WakeCounts {
    fn default() -> Self {
        Self {
            table: Table::new(BITS),
            keys: None,
        }
    }
}

impl WakeCounts {
    /// The run of `current` is over; `queues` still know whom it woke in it. Counts that if it is to `count`.
    pub fn end(&mut self, queues: &RunQueues, current: Sym, count: bool) {
        let Some([own, role]) = self.keys.take() else {
            return;
        };
        let Some(task) = queues.get(current).filter(|_| count) else {
            return;
        };
        self.table.tick();
        let mut nobody = true;
        for woken in task.wakees.woken_now() {
            nobody = false;
            self.table.add(own, woken.raw());
            self.table.add(role, queues.task(woken).role);
        }
        if nobody {
            self.table.add(own, NOBODY);
            self.table.add(role, NOBODY);
        }
    }

    /// `current` has been switched in.
    pub fn begin(&mut self, queues: &RunQueues, current: Sym) {
        let task = queues.task(current);
        let own = mix(u64::from(current.raw()) << 32 ^ task.ran & 0xffff_ffff);
        let role = mix(mix(u64::from(task.role)) ^ task.ran & 0xffff_ffff_ffff);
        self.table.prefetch(own);
        self.table.prefetch(role);
        self.keys = Some([own, role]);
    }

    /// What is known of whom the current task will wake. Apart from beginning, so that memory is on its way meanwhile.
    pub fn look(&self) -> Wakes {
        let Some([own, role]) = self.keys else {
            return Wakes::default();
        };
        Wakes {
            own: self.table.get(own).copied(),
            role: self.table.get(role).copied(),
        }
    }

    /// The sequence is broken.
    pub fn cut(&mut self) {
        self.keys = None;
    }
}
