//! A switch is scored with the predictions that stood when it arrived, and the linear parts learn from it.

use super::Oracle;
use super::cause::{Turn, cause};
use super::config::Learning;
use super::outcome::{Decision, NEW_CHILD, RunTime, Sink, TaskName, Unscored};
use super::scoring::{baselines, ppm8, scored, settle_frame};
use crate::runqueue::Sym;
use crate::trace::event::Switch;

/// How long the task that leaves has run.
#[expect(clippy::struct_field_names, reason = "the unit is part of a name")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// When it was switched in, ns.
    pub entered_ns: Option<u64>,
    /// Its running median before, ns.
    pub median_ns: Option<u64>,
    /// ns; `None` where the run began unseen.
    pub actual_ns: Option<u64>,
}

impl Oracle {
    /// Scores what was predicted for this switch and learns it. Returns whether the at-switch prediction was right and the
    /// probability that it gave.
    pub(super) fn decide(
        &mut self,
        ts_ns: u64,
        cpu: u32,
        switch: &Switch,
        (prev, next): (Sym, Sym),
        run: Run,
        sink: &mut dyn Sink,
    ) -> (bool, f32) {
        let state = self.cpus[cpu as usize].as_deref_mut().expect("made before");
        let mut hit = (false, 0.0);
        if state.predicted {
            let learn = self.config.learning != Learning::Off;
            let new_child = run.entered_ns.is_some_and(|entered| {
                (self.queues.task(next).born)
                    .is_some_and(|(parent, born)| parent == prev && born >= entered)
            });
            let answer = (next, new_child);
            if let (false, Some(frame), Some(actual_ns)) =
                (self.forked, state.window.last(), run.actual_ns)
            {
                let actual = (actual_ns.max(1) as f32).ln();
                self.run_times.judge(
                    &state.course,
                    &frame.at_switch,
                    &state.at_switch.scores,
                    actual,
                );
            }
            hit = settle_frame(state, &mut self.linear, answer, run.actual_ns, learn);
            if let (false, Some(frame)) = (self.forked, state.window.last()) {
                state.gatherer.came(false, &frame.at_switch);
                if let Some(refined) = &frame.refined {
                    state.gatherer.came(true, refined);
                }
            }
            let living = self.queues.live();
            let names = |sym: Option<Sym>| {
                let Some(sym) = sym else {
                    return TaskName {
                        pid: NEW_CHILD,
                        comm: switch.prev.comm,
                    };
                };
                let task = self.queues.task(sym);
                TaskName {
                    pid: task.pid,
                    comm: task.name,
                }
            };
            let refined = state.refined_stands;
            let turn = Turn {
                prev,
                next,
                stayed: switch.prev_state == 0 || switch.preempt,
                new_child,
                entered_ns: run.entered_ns,
            };
            let decision = Decision {
                number: self.number,
                ts_ns,
                cpu,
                ran: TaskName {
                    pid: switch.prev.pid,
                    comm: switch.prev.comm,
                },
                actual: TaskName {
                    pid: switch.next.pid,
                    comm: switch.next.comm,
                },
                at_switch: scored(state, false, ts_ns, answer, living, &names),
                refined: refined.then(|| scored(state, true, ts_ns, answer, living, &names)),
                cause: cause(state, &self.queues, &turn),
                baselines: baselines(state, next, self.queues.idle(cpu), &names),
                ppm8: state.ppm8.as_ref().map(|ppm| ppm8(ppm, next, &names)),
                run_time: run.actual_ns.map(|actual_ns| RunTime {
                    actual_ns,
                    predicted_ns: state
                        .at_switch
                        .scores
                        .run
                        .map(|ln| ln.exp().min(1e18) as u64),
                    median_ns: run.median_ns,
                }),
            };
            sink.decision(&decision);
            state.since_offer += 1;
        } else {
            sink.unscored(ts_ns, cpu, state.excuse.unwrap_or(Unscored::Overload));
        }
        state.excuse = None;
        state.predicted = false;
        state.refined_stands = false;
        state.refine_due = false;
        state.current = Some(next);
        hit
    }
}
