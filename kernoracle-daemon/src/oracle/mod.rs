//! The loop: event in, score, learn, update, predict, prediction out.
//!
//! Prequential by construction: a switch is scored with the predictions that stand when it arrives, and only then do counts,
//! mixer, run queues and LSTM see it.

mod cause;
mod clock;
mod config;
mod cpu;
mod fork;
mod input;
pub mod outcome;
mod predict;
mod scoring;
mod teacher;

pub use crate::model::LearnerProgress;
pub use config::{Config, Engine, Learning, ModelError, StartFrom};
pub use fork::Outlook;

use crate::model::{
    self, Counted, Linear, Lstm, Mixer, Model, Precision, Reference, RunTimes, Training, Weights,
};
use crate::runqueue::{RunQueues, Sym};
use crate::trace::event::{Body, Event, Switch};
use crate::trace::origin::Origin;
use cause::{Turn, cause};
use clock::monotonic_ns;
use cpu::CpuState;
use input::Before;
use outcome::{Decision, FullWindow, NEW_CHILD, RunTime, Sink, TaskName, Unscored};
use scoring::{baselines, ppm8, scored, settle_frame};
use std::path::Path;
use std::sync::Arc;
use teacher::Teacher;

/// Predicts every switch of every CPU of one machine, from its events alone.
#[derive(Debug)]
pub struct Oracle {
    config: Config,
    queues: RunQueues,
    cpus: Vec<Option<Box<CpuState>>>,
    weights: Arc<Weights>,
    linear: Linear,
    /// The linear part as it was at the start, if it adapts.
    start: Option<Mixer>,
    training: Option<Training>,
    /// Where the model comes from.
    name: String,
    run_times: RunTimes,
    reference: Option<Reference>,
    teacher: Teacher,
    swaps: u64,
    overload: bool,
    number: u64,
    ppm8: bool,
    /// Runs on what it foretells itself, and so does not learn.
    forked: bool,
    refine_list: Vec<u32>,
}

impl Oracle {
    /// An oracle for a machine like `origin`'s.
    pub fn new(config: Config, _origin: &Origin) -> Result<Self, ModelError> {
        let (model, name) = config.model.model(config.seed)?;
        Self::with_model(config, model, name)
    }

    /// An oracle that starts from `model`, whatever `config` says of it. Reports call it `name`.
    pub fn with_model(config: Config, model: Model, name: String) -> Result<Self, ModelError> {
        let Model {
            weights,
            linear,
            training,
            bytes: _,
        } = model;
        let teacher = Teacher::new(&config, &weights)?;
        let reference = match config.engine {
            Engine::Plain => None,
            Engine::Candle => Some(Reference::new(&weights)?),
        };
        Ok(Self {
            queues: RunQueues::salted(config.seed),
            cpus: Vec::new(),
            weights: Arc::new(weights),
            start: (config.learning != Learning::Off).then(|| linear.candidates.clone()),
            linear,
            training,
            name,
            run_times: RunTimes::default(),
            reference,
            teacher,
            swaps: 0,
            overload: false,
            number: 0,
            ppm8: false,
            forked: false,
            refine_list: Vec::new(),
            config,
        })
    }

    /// Scores a PPM of order 8 beside the other baselines: [`Decision::ppm8`]. It keeps every context that it
    /// sees, so its memory grows with the trace. To be called before the first event.
    #[must_use]
    pub fn with_ppm8(mut self) -> Self {
        self.ppm8 = true;
        self
    }

    /// Takes the next event: scores the prediction that it decides, then learns it, then predicts.
    pub fn event(&mut self, event: &Event, sink: &mut dyn Sink) {
        match &event.body {
            Body::Switch(switch) => self.switch(event.ts_ns, event.cpu, switch, sink),
            Body::Gap { lost } => {
                sink.gap(event.ts_ns, event.cpu, *lost);
                self.queues.apply(event);
                self.state(event.cpu).cut(Unscored::Gap);
                if let Some(reference) = &mut self.reference {
                    reference.reset(event.cpu as usize);
                }
            }
            _ => {
                if let Some(cpu) = self.queues.apply(event)
                    && let Some(Some(state)) = self.cpus.get_mut(cpu as usize)
                    && state.predicted
                {
                    state.last_ts_ns = event.ts_ns;
                    if !state.refine_due {
                        state.refine_due = true;
                        self.refine_list.push(cpu);
                    }
                }
            }
        }
    }

    /// The batch of events is over: makes the predictions that are due, so that they lead.
    pub fn settle(&mut self) {
        while let Some(cpu) = self.refine_list.pop() {
            self.refine(cpu);
        }
        self.take_weights();
    }

    /// While the reader is behind, state is kept and nothing is predicted.
    pub fn set_overload(&mut self, overload: bool) {
        self.overload = overload;
    }

    /// Begins no step of learning in the background while `hold`.
    pub fn hold_learning(&self, hold: bool) {
        self.teacher.hold(hold);
    }

    /// So many switches of a CPU passed by: no event tells of them.
    pub fn passed_by(&mut self, ts_ns: u64, cpu: u32, switches: u64, sink: &mut dyn Sink) {
        self.number += switches;
        sink.passed_by(ts_ns, cpu, switches);
    }

    /// From here on switches, wake-ups and migrations are left out, of every CPU, until
    /// [`Self::end_pause`]. Who lives is still told.
    pub fn pause(&mut self) {
        for (cpu, state) in self.cpus.iter_mut().enumerate() {
            let Some(state) = state else { continue };
            state.cut(Unscored::Budget);
            if let Some(reference) = &mut self.reference {
                reference.reset(cpu);
            }
        }
        self.refine_list.clear();
    }

    /// Events come again, and among them a snapshot of all tasks on a run queue, of which
    /// [`Self::end_snapshot`] tells the end.
    pub fn end_pause(&mut self) {
        self.queues.unsure();
    }

    /// The snapshot behind a pause is complete: tasks that have not been told of sleep.
    pub fn end_snapshot(&mut self, ts_ns: u64) {
        self.queues.sure(ts_ns);
    }

    /// One line: shape, parameters, trained or not, engine.
    pub fn describe(&self) -> String {
        let learning = match self.config.learning {
            Learning::Off => "does not learn".to_owned(),
            Learning::Inline {
                every: Learning::NEVER,
            } => "learns the linear part only".to_owned(),
            Learning::Inline { every } => format!("learns a step every {every} decisions"),
            Learning::Background { cpu_share } => {
                format!("learns with {:.1} % of a CPU", cpu_share * 100.0)
            }
        };
        let engine = match self.config.engine {
            Engine::Plain => "plain",
            Engine::Candle => "candle",
        };
        format!(
            "LSTM {}, {} parameters + {} linear, {}, {learning}, window {}, engine {engine}",
            model::shape::HIDDEN,
            self.weights.parameters(),
            Mixer::ROWS * model::shape::FEATURES,
            self.name,
            self.config.window,
        )
    }

    /// How far the learner has come.
    pub fn learner(&self) -> LearnerProgress {
        LearnerProgress {
            swaps: self.swaps,
            ..self.teacher.progress()
        }
    }

    /// Ends learning, waits for it, and takes its last weights.
    pub fn stop_learning(&mut self) {
        self.teacher.stop();
        self.take_weights();
    }

    /// Writes the weights (safetensors), aside and then renamed.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let model = Model {
            weights: (*self.weights).clone(),
            linear: self.linear.clone(),
            training: self.training.clone(),
            bytes: None,
        };
        Ok(model.save(path, Precision::F32)?)
    }

    fn state(&mut self, cpu: u32) -> &mut CpuState {
        if self.cpus.len() <= cpu as usize {
            self.cpus.resize_with(cpu as usize + 1, || None);
        }
        let (window, ppm8) = (self.config.window, self.ppm8);
        self.cpus[cpu as usize].get_or_insert_with(|| Box::new(CpuState::new(window, ppm8)))
    }

    fn switch(&mut self, ts_ns: u64, cpu: u32, switch: &Switch, sink: &mut dyn Sink) {
        self.number += 1;
        let known = self.state(cpu).current;
        let consistent = known.is_none_or(|current| {
            self.queues
                .get(current)
                .is_some_and(|task| task.pid == switch.prev.pid)
        });
        if !consistent {
            tracing::debug!(
                ts_ns,
                cpu,
                pid = switch.prev.pid,
                comm = %switch.prev.comm,
                known = ?known.map(|sym| { let t = self.queues.task(sym); (t.pid, t.name, t.sym == sym) }),
                "a switch from a task that was not known to run"
            );
            self.state(cpu).cut(Unscored::Broken);
        }
        // The last wake-up's prediction, made from what is known before the switch.
        self.refine(cpu);

        let before = Before::new(&self.queues, cpu, ts_ns, switch);
        let entered_ns = self.queues.cpu(cpu).current_since_ns;
        let run = Run {
            entered_ns,
            median_ns: known
                .and_then(|current| self.queues.get(current))
                .and_then(|task| task.runs.median()),
            actual_ns: entered_ns
                .map(|since| ts_ns.saturating_sub(since).saturating_sub(switch.hidden_ns)),
        };
        if let Some(current) = known {
            let state = self.cpus[cpu as usize].as_deref_mut().expect("made above");
            state.wakes.end(&self.queues, current, !self.forked);
        }
        let (prev, next) = self.queues.switch(ts_ns, cpu, switch);
        let hit = self.decide(ts_ns, cpu, switch, (prev, next), run, sink);
        self.teach(ts_ns, cpu, sink);

        let state = self.cpus[cpu as usize].as_deref_mut().expect("made above");
        self.run_times
            .learn(&mut state.course, run.actual_ns, !self.forked);
        self.run_times.enter(
            &mut state.course,
            (self.queues.task(prev), self.queues.task(next)),
            ts_ns,
            self.queues.cpu_ref(cpu).runnable.len(),
        );
        state.contexts.push(next, !self.forked);
        if let Some(ppm8) = &mut state.ppm8 {
            ppm8.push(next);
        }
        state.gatherer.ran(next);
        let stayed = switch.prev_state == 0 || switch.preempt;
        state.runs.left(prev, run.actual_ns, stayed);
        state.last_ts_ns = ts_ns;
        if self.overload {
            state.forget_window();
            if let Some(reference) = &mut self.reference {
                reference.reset(cpu as usize);
            }
            return;
        }
        let started = self.config.timed.then(monotonic_ns);
        // While the LSTM steps, the counts come near.
        let keys =
            model::situations::at_switch(&self.queues, cpu, state.gatherer.recent(), &state.runs);
        for (which, key) in keys.into_iter().enumerate() {
            state.contexts.set_situation(which, key);
        }
        let frame = state.window.advance();
        frame.input = before.input(
            &self.queues,
            switch,
            (prev, next),
            run.actual_ns,
            hit,
            &state.picks,
        );
        let without = self.weights.without;
        without.mask_input(&mut frame.input);
        if without.lstm {
            // Held at zero.
        } else if let Some(reference) = &mut self.reference {
            reference
                .step(cpu as usize, &frame.input)
                .expect("shapes are fixed");
        } else {
            state.lstm.step(&self.weights, &frame.input);
        }
        state.counted = Counted::new(
            state.contexts.matches(),
            state.contexts.situations(),
            state.wakes.begin(&self.queues, next),
            &self.queues,
            Some(next),
        );
        self.predict(cpu, false, started);

        // What it is compared with is no part of its time.
        self.predict_baselines(cpu, next);
    }

    /// Scores what was predicted for this switch and learns it. Returns whether the at-switch prediction was right and the
    /// probability that it gave.
    fn decide(
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

    /// Shows the teacher what was decided, and takes the weights that come of it.
    fn teach(&mut self, ts_ns: u64, cpu: u32, sink: &mut dyn Sink) {
        let state = self.cpus[cpu as usize].as_deref_mut().expect("made before");
        let unseen = state.window.full() && state.since_offer >= self.config.window;
        if unseen && self.config.learning == Learning::Off {
            sink.window(&FullWindow {
                start: &state.window_start.0,
                window: &state.window,
                from_ns: state.window_start.1,
                to_ns: ts_ns,
            });
            state.window_start = (state.lstm.clone(), ts_ns);
            state.since_offer = 0;
            return;
        }
        let (taken, weights) = self.teacher.decided(unseen.then_some(&state.window));
        if taken {
            state.since_offer = 0;
        }
        if let Some(weights) = weights {
            self.weights = weights;
            self.swapped();
        }
    }

    fn take_weights(&mut self) {
        if self.teacher.take(&mut self.weights) {
            self.swapped();
        }
    }

    /// Brings the LSTM's state to what the new weights would have made of the window.
    fn swapped(&mut self) {
        self.swaps += 1;
        if let Some(reference) = &mut self.reference
            && let Err(error) = reference.swap(&self.weights)
        {
            tracing::error!("candle refuses the new weights: {error}");
        }
        for (cpu, state) in self.cpus.iter_mut().enumerate() {
            let Some(state) = state else { continue };
            if self.weights.without.lstm {
                continue;
            }
            if let Some(reference) = &mut self.reference {
                reference.reset(cpu);
                for frame in &state.window.frames {
                    reference.step(cpu, &frame.input).expect("shapes are fixed");
                }
            } else {
                let mut lstm = Lstm::default();
                for frame in &state.window.frames {
                    lstm.step(&self.weights, &frame.input);
                }
                state.lstm = lstm;
            }
        }
    }
}

/// How long the task that leaves has run.
#[expect(clippy::struct_field_names, reason = "the unit is part of a name")]
#[derive(Clone, Copy, Debug)]
struct Run {
    /// When it was switched in, ns.
    entered_ns: Option<u64>,
    /// Its running median before, ns.
    median_ns: Option<u64>,
    /// ns; `None` where the run began unseen.
    actual_ns: Option<u64>,
}

#[cfg(test)]
mod tests;
