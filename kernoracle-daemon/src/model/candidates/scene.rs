//! What a candidate is described by.

use super::{BEHIND, FIRST_RUN_NS, KNOWN, LEAVERS};
use crate::model::counted::Counted;
use crate::model::features::{candidate as c, situation as s};
use crate::model::frame::{Candidate, View};
use crate::model::mixer::SELECTORS;
use crate::model::numeric::{ln, lns, log_time, log_times};
use crate::model::vector::Vector;
use crate::model::weights::shape::FEATURE_ROW;
use crate::runqueue::{CODE, Expected, Picks, RunQueues, Standing, Status, Sym, TaskInfo};
use crate::trace::event::Task;

/// What all candidates of one prediction share.
pub(super) struct Scene<'a> {
    pub(super) queues: &'a RunQueues,
    pub(super) counted: &'a Counted,
    pub(super) cpu: u32,
    pub(super) current: &'a TaskInfo,
    pub(super) now_ns: u64,
    pub(super) run: Expected,
    pub(super) picks: Picks,
    pub(super) waiting: usize,
    /// What a candidate starts from: the features of one that no count names.
    pub(super) unnamed: Vector<FEATURE_ROW>,
    /// When the current task was switched in; `None` if that was not seen.
    pub(super) current_since_ns: Option<u64>,
    /// The last task woken onto the CPU since then.
    pub(super) last_woken: Option<Sym>,
}

/// What a task that has not run yet is expected to run, on the scale of `log_time`.
fn first_run() -> f32 {
    log_time(FIRST_RUN_NS)
}

pub(super) fn flag(condition: bool) -> f32 {
    f32::from(u8::from(condition))
}

/// `LOG_PLACE` of each place in the scheduler's order.
const LOG_PLACES: [f32; BEHIND + 1] = {
    let mut logs = [0.0; BEHIND + 1];
    let mut place = 0;
    while place <= BEHIND {
        logs[place] = ln(1.0 + place as f32) / 4.0;
        place += 1;
    }
    logs
};

impl Scene<'_> {
    /// ns since then; ten seconds if that was not seen.
    fn since_ns(&self, then_ns: Option<u64>) -> u64 {
        then_ns.map_or(10_000_000_000, |then| self.now_ns.saturating_sub(then))
    }

    /// The candidates that are no task yet, or none in particular.
    pub(super) fn stand_ins(&self, view: &mut View) {
        let rest = self.counted.log_rest();
        let Candidate { features: x, .. } = view.push(None, &Vector::ZERO, &self.current.code, 0);
        x[c::CHILD] = 1.0;
        x[c::FORKS] = self.current.forks.min(1.0);
        x[c::LOG_P] = rest;
        let Candidate { features: x, .. } = view.push(None, &Vector::ZERO, &[0.0; CODE], 0);
        x[c::OTHER] = 1.0;
        x[c::LOG_P] = rest;
    }

    /// When the current task should leave, by its run times so far.
    pub(super) fn leaves_ns(&self) -> u64 {
        let entered = self.current_since_ns.unwrap_or(self.now_ns);
        entered.saturating_add(self.run.middle().max(1))
    }

    pub(super) fn situation(&self, refined: bool, view: &mut View) {
        let cpu = self.queues.cpu_ref(self.cpu);
        let current = self.current;
        let entered = cpu.current_since_ns.unwrap_or(self.now_ns);
        let out = &mut view.situation;
        let median = current.runs.median();
        let (quartile1, quartile3) = current
            .last_runs
            .quartiles()
            .unwrap_or((FIRST_RUN_NS, FIRST_RUN_NS));
        let slice_left = current.fair.as_ref().and_then(|fair| {
            let deadline = fair.own.deadline?;
            Some((deadline.wrapping_sub(fair.own.vruntime) as i64).max(0) as u64)
        });
        let [
            last_run,
            quartile1,
            quartile3,
            expected,
            early,
            late,
            left,
            elapsed,
        ] = log_times([
            current.last_runs.last().unwrap_or(FIRST_RUN_NS),
            quartile1,
            quartile3,
            self.run.middle(),
            self.run.run_ns[0],
            self.run.run_ns[2],
            slice_left.unwrap_or(0),
            self.now_ns.saturating_sub(entered),
        ]);
        let [waiting, wakes] = lns([1.0 + self.waiting as f32, 1.0 + cpu.wakes as f32]);
        out[s::ONE] = 1.0;
        out[s::WAITING] = waiting / 4.0;
        out[s::NONE_WAITS] = flag(self.waiting == 0);
        out[s::ONE_WAITS] = flag(self.waiting == 1);
        out[s::CURRENT_IDLE] = flag(current.pid == 0);
        out[s::CURRENT_KTHREAD] = flag(current.kthread);
        out[s::CURRENT_REAL_TIME] = flag(current.prio < 100);
        out[s::CURRENT_VOLUNTARY] = current.voluntary;
        out[s::NEW] = flag(median.is_none());
        out[s::MEDIAN_RUN] = current.runs.log_median().unwrap_or(first_run());
        out[s::LAST_RUN] = last_run;
        out[s::QUARTILE1_RUN] = quartile1;
        out[s::QUARTILE3_RUN] = quartile3;
        out[s::EXPECTED_RUN] = expected;
        out[s::EXPECTED_SPREAD] = late - early;
        if slice_left.is_some() {
            out[s::SLICE_LEFT] = left;
            out[s::RUN_AGAINST_SLICE] = (expected - left).clamp(-1.0, 1.0);
        }
        out[s::MATCH] = self.counted.longest() as f32 / 12.0;
        out[s::TOP_P] = self.counted.ranking.ranked.first().map_or(0.0, |(_, p)| *p);
        out[s::REFINED] = flag(refined);
        out[s::ELAPSED] = elapsed;
        out[s::WAKES] = wakes / 4.0;

        let waiting = match self.waiting {
            0 => 0,
            1 => 1,
            2..=5 => 2,
            _ => 3,
        };
        let leaver = if current.pid == 0 {
            0
        } else {
            1 + usize::from(current.voluntary > 0.5)
        };
        let known = usize::from(self.counted.longest() >= 4);
        view.selector = (waiting * LEAVERS + leaver) * KNOWN + known;
        view.role = current.role;
        debug_assert!(view.selector < SELECTORS);
    }

    pub(super) fn add(&self, sym: Sym, standing: Option<(usize, Standing)>, view: &mut View) {
        let task = self.queues.task(sym);
        let Candidate { features: x, .. } =
            view.push(Some(sym), &self.unnamed, &task.code, task.role);
        let busy = self.waiting > 0;
        let idle = task.pid == 0;
        let runnable = standing.is_some();
        let asleep = !idle && !runnable && task.status == Status::Sleeping;
        x[c::IDLE] = flag(idle);
        x[c::IDLE_ALONE] = flag(idle && !busy);
        x[c::IDLE_BUSY] = flag(idle && busy);
        x[c::RUNNABLE] = flag(runnable);
        x[c::ASLEEP_ALONE] = flag(asleep && !busy);
        x[c::ASLEEP_BUSY] = flag(asleep && busy);
        x[c::UNKNOWN] = flag(!idle && !runnable && !asleep);
        x[c::KTHREAD] = flag(task.kthread && !idle);
        x[c::SAME_PROCESS] =
            flag(!idle && task.tgid != Task::UNKNOWN_TGID && task.tgid == self.current.tgid);
        x[c::REAL_TIME] = flag(!idle && task.prio < 100);
        if let (Some(own), Some(current)) = (&task.fair, &self.current.fair) {
            x[c::SAME_GROUP] = flag(own.own.cfs_rq == current.own.cfs_rq);
            x[c::DELAYED] = flag(asleep && own.delayed == Some(true));
        }
        let (vruntime_ns, deadline_ns) = standing.map_or((0, 0), |(_, standing)| {
            (standing.vruntime_above_ns, standing.deadline_above_ns)
        });
        // How long it has slept is asked of those of which the order is not.
        let first_ns = if runnable {
            vruntime_ns
        } else {
            self.now_ns.saturating_sub(task.since_ns)
        };
        let [first, deadline, since_woken, since_left] = log_times([
            first_ns,
            deadline_ns,
            self.since_ns(task.woken_ns),
            self.since_ns(task.left_ns),
        ]);
        if let Some((place, standing)) = standing {
            x[c::PLACE] = 1.0 / (1.0 + place as f32);
            x[c::LOG_PLACE] = LOG_PLACES[place];
            x[c::VRUNTIME_ABOVE] = first;
            x[c::DEADLINE_ABOVE] = deadline;
            x[c::ELIGIBLE] = flag(standing.eligible);
            x[c::GROUP_PICKED] = flag(standing.group_picked);
            x[c::SINCE_WOKEN] = since_woken;
            let entered = self.current_since_ns.unwrap_or(self.now_ns);
            x[c::WOKEN_NOW] = flag(
                task.woken_ns.is_some_and(|woken| woken >= entered) && task.since_ns >= entered,
            );
            x[c::WOKEN_LAST] = flag(self.last_woken == Some(sym));
        }
        if self.picks.if_sleeps == Some(sym) {
            x[c::PICK_IF_SLEEPS] = 1.0;
            x[c::PICK_IF_SLEEPS_LIKELY] = self.current.voluntary;
        }
        if self.picks.if_stays == Some(sym) {
            x[c::PICK_IF_STAYS] = 1.0;
            x[c::PICK_IF_STAYS_LIKELY] = 1.0 - self.current.voluntary;
        }
        if !idle {
            x[c::SINCE_LEFT] = since_left;
            x[c::JUST_LEFT] = flag(task.left_ns.is_some() && task.left_ns == self.current_since_ns);
            x[c::LEFT_RUNNABLE] = flag(task.last_left_runnable);
            x[c::WOKEN_BY_CURRENT] = flag(task.waker == Some(self.current.sym));
            x[c::WOKE_CURRENT] = flag(self.current.waker == Some(sym));
            x[c::VOLUNTARY] = task.voluntary;
            x[c::MEDIAN_RUN] = task.runs.log_median().unwrap_or(first_run());
            x[c::NEVER_RAN] = flag(task.switches == 0);
            if let (true, Some(median)) = (asleep, task.sleeps.log_median()) {
                x[c::OVERDUE] = (3.0 * (first - median)).clamp(-1.0, 1.0);
            }
        }
    }
}
