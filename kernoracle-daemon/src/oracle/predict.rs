//! Making a prediction, at a switch or behind a wake-up.

use super::Oracle;
use super::clock::monotonic_ns;
use crate::baseline::Backoff;
use crate::model::{self, Moment};
use crate::runqueue::{Expected, Sym};

impl Oracle {
    /// Predicts what follows the current task of `cpu`, from everything up to the last event.
    pub(super) fn predict(&mut self, cpu: u32, refined: bool, started: Option<u64>) {
        let state = self.cpus[cpu as usize]
            .as_deref_mut()
            .expect("made before it is predicted for");
        let Some(current) = state.current else { return };
        let view = if refined {
            state.window.refine()
        } else {
            state.window.last().map(|frame| &mut *frame.at_switch)
        };
        let Some(view) = view else { return };
        if refined {
            let key = model::situations::woken(&self.queues, cpu, current);
            state.contexts.set_situation(model::situations::WOKEN, key);
            state.contexts.look_at(model::situations::WOKEN);
            state.counted.look_woken(&state.contexts);
        }
        let moment = Moment {
            cpu,
            current,
            now_ns: state.last_ts_ns,
            refined,
            run: Expected {
                run_ns: state.course.forecast().quantiles_ns(),
                elapsed_ns: (self.queues.cpu_ref(cpu).current_since_ns)
                    .map_or(0, |since| state.last_ts_ns.saturating_sub(since)),
            },
        };
        let picks = state
            .gatherer
            .gather(&self.queues, &state.counted, moment, view);
        if !refined {
            state.picks = picks;
        }
        self.weights.without.mask_view(view);
        self.linear.candidates.score(refined, view);
        self.linear.run.shift(view);
        state.course.forecast().lay(view);
        let pending = if refined {
            &mut state.refined
        } else {
            &mut state.at_switch
        };
        if let Some(reference) = &self.reference {
            reference
                .score(cpu as usize, view, &mut pending.scores)
                .expect("shapes are fixed");
        } else {
            state.lstm.score(&self.weights, view, &mut pending.scores);
        }
        if let Some(start) = &self.start {
            start.start_score(refined, view, pending.guard.start_scores());
            pending.guard.mix(view, &mut pending.scores);
        }
        self.run_times
            .correct(&state.course, view, &mut pending.scores);
        let ready_ns = (self.config.live || started.is_some()).then(monotonic_ns);
        pending.ready_ns = ready_ns.filter(|_| self.config.live);
        pending.inference_ns = ready_ns
            .zip(started)
            .map(|(ready, started)| ready.saturating_sub(started));
        if refined {
            state.refined_stands = true;
        } else {
            state.predicted = true;
        }
    }

    /// What the baselines predict after `next`, the task that has been switched in, from the same counts.
    pub(super) fn predict_baselines(&mut self, cpu: u32, next: Sym) {
        let state = self.cpus[cpu as usize]
            .as_deref_mut()
            .expect("made before it is predicted for");
        let (successors, living) = (&state.counted.successors, self.queues.live());
        state.order1 = Backoff::new(1).rank(successors, living);
        if state.counted.longest() > 8 {
            state.backoff8 = Backoff::new(8).rank(successors, living);
        } else {
            // Nothing longer is known: it is the back-off of the model's counts.
            state.backoff8.clone_from(&state.counted.ranking);
        }
        if let Some(ppm8) = &mut state.ppm8 {
            let alive =
                |sym: u32| sym != next.raw() && self.queues.get(Sym::from_raw(sym)).is_some();
            ppm8.predict(alive, living);
        }
    }

    /// Predicts again, if something has woken since the last prediction and that one stands.
    pub(super) fn refine(&mut self, cpu: u32) {
        let Some(Some(state)) = self.cpus.get_mut(cpu as usize) else {
            return;
        };
        if std::mem::take(&mut state.refine_due)
            && state.predicted
            && !self.overload
            && !self.forked
        {
            let started = self.config.timed.then(monotonic_ns);
            self.predict(cpu, true, started);
        }
    }
}
