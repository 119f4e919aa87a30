//! A switch as the LSTM sees it.

use crate::model::{self, features::switch as sw, shape::INPUT};
use crate::runqueue::{CODE, Picks, RunQueues, Sym};
use crate::trace::event::Switch;

/// What the LSTM is told of a switch and is gone once the switch is applied.
pub(super) struct Before {
    wakes: u32,
    woken_ns: Option<u64>,
    left_ns: Option<u64>,
    ts_ns: u64,
    /// Code of the task that was woken last before the switch; zeros if none was.
    woken: [f32; CODE],
}

impl Before {
    pub(super) fn new(queues: &RunQueues, cpu: u32, ts_ns: u64, switch: &Switch) -> Self {
        let next = queues
            .by_pid(cpu, switch.next.pid)
            .map(|sym| queues.task(sym));
        Self {
            wakes: if cpu < queues.cpus() {
                queues.cpu_ref(cpu).wakes
            } else {
                0
            },
            woken_ns: next.and_then(|task| task.woken_ns),
            left_ns: next.and_then(|task| task.left_ns),
            ts_ns,
            woken: (cpu < queues.cpus())
                .then(|| queues.cpu_ref(cpu).last_woken)
                .flatten()
                .and_then(|sym| queues.get(sym))
                .map_or([0.0; CODE], |task| task.code),
        }
    }

    /// The LSTM's input: the code of the task that enters, what happened, and the code of the task that was woken last before.
    pub(super) fn input(
        &self,
        queues: &RunQueues,
        switch: &Switch,
        (prev, next): (Sym, Sym),
        run_ns: Option<u64>,
        hit: (bool, f32),
        picks: &Picks,
    ) -> [f32; INPUT] {
        let mut out = [0.0; INPUT];
        let flag = |condition: bool| f32::from(u8::from(condition));
        let since = |then: Option<u64>| {
            model::log_time(then.map_or(10_000_000_000, |then| self.ts_ns.saturating_sub(then)))
        };
        let task = queues.task(next);
        out[..CODE].copy_from_slice(&task.code);
        out[CODE + sw::LEN..].copy_from_slice(&self.woken);
        let x = &mut out[CODE..];
        x[sw::STAYED_RUNNABLE] = flag(switch.prev_state == 0);
        x[sw::PREEMPTED] = flag(switch.preempt);
        // EXIT_DEAD, EXIT_ZOMBIE and TASK_DEAD as the tracepoint reports them (include/linux/sched.h).
        x[sw::ENDED] =
            flag(switch.prev_state != Switch::UNKNOWN_STATE && switch.prev_state & 0xb0 != 0);
        x[sw::RUN_TIME] = run_ns.map_or(0.0, model::log_time);
        x[sw::SINCE_WOKEN] = since(self.woken_ns);
        x[sw::SINCE_LEFT] = since(self.left_ns);
        x[sw::IDLE] = flag(task.pid == 0);
        x[sw::WAS_PICK_IF_SLEEPS] = flag(picks.if_sleeps == Some(next));
        x[sw::WAS_PICK_IF_STAYS] = flag(picks.if_stays == Some(next));
        x[sw::WOKEN_BY_PREV] = flag(task.waker == Some(prev));
        x[sw::WAITING] = model::log_count(queues.cpu_ref(task.cpu).runnable.len());
        x[sw::WAKES] = model::log_count(self.wakes as usize);
        x[sw::HIT] = flag(hit.0);
        x[sw::P_ACTUAL] = hit.1;
        x[sw::REAL_TIME] = flag(task.prio < 100 && task.pid != 0);
        x[sw::VOLUNTARY] = task.voluntary;
        out
    }
}
