//! The loop: event in, score, learn, update, predict, prediction out.
//!
//! Prequential by construction: a switch is scored with the predictions that stand when it arrives, and only then do counts,
//! mixer, run queues and LSTM see it.

mod cause;
mod clock;
mod config;
mod cpu;
mod decide;
mod fork;
mod input;
mod learn;
pub mod outcome;
mod predict;
mod scoring;
mod teacher;

pub use crate::model::LearnerProgress;
pub use config::{Config, Engine, Learning, ModelError, StartFrom};
pub use fork::Outlook;

use crate::model::{self, CodeRows, Linear, Mixer, Model, Reference, RunTimes, Training, Weights};
use crate::runqueue::{Codes, RunQueues};
use crate::trace::event::{Body, Event, Switch};
use crate::trace::origin::Origin;
use clock::monotonic_ns;
use cpu::CpuState;
use decide::Run;
use input::Before;
use outcome::{Sink, Unscored};
use std::sync::Arc;
use teacher::Teacher;

/// Predicts every switch of every CPU of one machine, from its events alone.
#[derive(Debug)]
pub struct Oracle {
    config: Config,
    queues: RunQueues,
    cpus: Vec<Option<Box<CpuState>>>,
    weights: Arc<Weights>,
    /// Of the present weights.
    code_rows: CodeRows,
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
            roles,
            training,
            bytes: _,
        } = model;
        let teacher = Teacher::new(&config, &weights)?;
        let reference = match config.engine {
            Engine::Plain => None,
            Engine::Candle => Some(Reference::new(&weights)?),
        };
        Ok(Self {
            queues: RunQueues::coded(Codes::new(roles, config.seed)),
            cpus: Vec::new(),
            weights: Arc::new(weights),
            code_rows: CodeRows::default(),
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
        self.cut(Unscored::Budget);
    }

    /// Every CPU's sequence is broken.
    fn cut(&mut self, excuse: Unscored) {
        for (cpu, state) in self.cpus.iter_mut().enumerate() {
            let Some(state) = state else { continue };
            state.cut(excuse);
            if let Some(reference) = &mut self.reference {
                reference.reset(cpu);
            }
        }
        self.refine_list.clear();
    }

    /// What was seen is played once more, from a start with a snapshot of all tasks. Timestamps must go on.
    pub fn rewind(&mut self) {
        self.cut(Unscored::First);
        self.queues.rewind();
    }

    /// Forgets what has been counted and what tasks are wont to do, and predicts on as behind a start. Weights stay.
    pub fn start_over(&mut self, now_ns: u64) {
        self.cut(Unscored::First);
        for state in self.cpus.iter_mut().flatten() {
            state.forget_counts();
        }
        self.run_times = RunTimes::default();
        self.queues.forget_habits(now_ns);
    }

    /// Draws the codes of all tasks anew, and predicts on as behind a gap.
    pub fn recode(&mut self, codes: Codes) {
        self.cut(Unscored::First);
        self.queues.recode(codes);
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

    fn state(&mut self, cpu: u32) -> &mut CpuState {
        if self.cpus.len() <= cpu as usize {
            self.cpus.resize_with(cpu as usize + 1, || None);
        }
        let (window, ppm8) = (self.config.window, self.ppm8);
        self.cpus[cpu as usize].get_or_insert_with(|| Box::new(CpuState::new(window, ppm8)))
    }

    /// Does what the next switch's prediction needs and can be known before it.
    fn work_ahead(&mut self, cpu: u32) {
        if !self.weights.without.lstm
            && self.reference.is_none()
            && let Some(Some(state)) = self.cpus.get_mut(cpu as usize)
        {
            let started = self.config.timed.then(monotonic_ns);
            state.lstm.work_ahead(&self.weights);
            state.ahead_ns = started.map_or(0, |started| monotonic_ns().saturating_sub(started));
        }
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
        state.contexts.push(next, !self.forked);
        if let Some(ppm8) = &mut state.ppm8 {
            ppm8.push(next);
        }
        state.gatherer.ran(next);
        let stayed = switch.prev_state == 0 || switch.preempt;
        state.runs.left(prev, run.actual_ns, stayed);
        state.last_ts_ns = ts_ns;
        // What was done ahead for this prediction is part of its time.
        let started = (self.config.timed)
            .then(|| monotonic_ns().saturating_sub(std::mem::take(&mut state.ahead_ns)));
        self.run_times.enter(
            &mut state.course,
            (self.queues.task(prev), self.queues.task(next)),
            ts_ns,
            self.queues.cpu_ref(cpu).runnable.len(),
        );
        if self.overload {
            state.forget_window();
            if let Some(reference) = &mut self.reference {
                reference.reset(cpu as usize);
            }
            return;
        }
        // While the LSTM steps, the counts come near.
        let keys =
            model::situations::at_switch(&self.queues, cpu, state.gatherer.recent(), &state.runs);
        for (which, key) in keys.into_iter().enumerate() {
            state.contexts.set_situation(which, key);
        }
        state.wakes.begin(&self.queues, next);
        let keep = self.teacher.wants(&state.window);
        let frame = state.window.advance(keep);
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
            state
                .lstm
                .step(&self.weights, &mut self.code_rows, &frame.input);
        }
        state.contexts.look();
        let wakes = state.wakes.look();
        state
            .counted
            .look(&state.contexts, wakes, &self.queues, next);
        self.predict(cpu, false, started);

        // What it is compared with is no part of its time; nor is what can be done before the next switch.
        self.predict_baselines(cpu, next);
        self.work_ahead(cpu);
    }
}

#[cfg(test)]
mod tests;
