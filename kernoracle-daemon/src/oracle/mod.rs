//! The loop: event in, score, learn, update, predict, prediction out.
//!
//! Prequential by construction: a switch is scored with the predictions that stand when it arrives, and only then do counts,
//! mixer, run queues and LSTM see it.

mod clock;
mod cpu;
pub mod outcome;

use crate::baseline::{Backoff, Ranking};
use crate::model::{
    self, Background, CheckpointError, Counted, Learner, Lstm, Mixer, Reference, Weights,
    features::switch as sw,
};
use crate::runqueue::{CODE, RunQueues, Sym};
use crate::trace::event::{Body, Event, Switch};
use crate::trace::origin::Origin;
use clock::monotonic_ns;
use cpu::{CpuState, Pending};
use outcome::{Baseline, BaselineScored, Decision, RunTime, Scored, Sink, TOP, TaskName, Unscored};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the model learns while it predicts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// The weights stay as they are.
    Off,
    /// A training step after every so many decisions, in the caller's thread: reproducible.
    Inline { every: u32 },
    /// A thread of the lowest priority, held to this share of one CPU (0 to 1).
    Background { cpu_share: f64 },
}

/// What computes the forward step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Plain arrays; the same numbers, several times faster.
    #[default]
    Plain,
    /// candle's own LSTM, the reference.
    Candle,
}

/// Set-up of an oracle.
#[derive(Clone, Debug)]
pub struct Config {
    /// Switches in the rolling window of each CPU.
    pub window: usize,
    pub seed: u64,
    pub learning: Learning,
    pub engine: Engine,
    /// Start from these weights instead of untrained ones.
    pub model: Option<PathBuf>,
    /// Predictions carry lead and inference time.
    pub live: bool,
}

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}

/// How far the learner has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct LearnerProgress {
    /// Optimiser steps.
    pub steps: u64,
    /// Steps thrown away because they led to numbers that are not finite.
    pub refused: u64,
    /// Times that new weights were swapped in.
    pub swaps: u64,
    /// Mean loss of the last step's batch, bits per switch.
    pub loss_bits: f32,
    /// CPU time used for learning in the background, ns.
    pub cpu_ns: u64,
}

/// Who trains the network.
#[derive(Debug)]
enum Teacher {
    Nobody,
    Inline {
        learner: Box<Learner>,
        every: u32,
        since: u32,
        progress: LearnerProgress,
    },
    Background(Background),
}

/// Predicts every switch of every CPU of one machine, from its events alone.
#[derive(Debug)]
pub struct Oracle {
    config: Config,
    queues: RunQueues,
    cpus: Vec<Option<Box<CpuState>>>,
    weights: Arc<Weights>,
    mixer: Mixer,
    reference: Option<Reference>,
    teacher: Teacher,
    swaps: u64,
    overload: bool,
    number: u64,
    trained: bool,
    refine_list: Vec<u32>,
}

impl Oracle {
    /// An oracle for a machine like `origin`'s.
    pub fn new(config: Config, _origin: &Origin) -> Result<Self, ModelError> {
        let (weights, mixer) = match &config.model {
            Some(path) => model::load(path)?,
            None => (Weights::untrained(config.seed), Mixer::default()),
        };
        let teacher = match config.learning {
            Learning::Off => Teacher::Nobody,
            Learning::Inline { every } => Teacher::Inline {
                learner: Box::new(Learner::new(&weights, config.seed)?),
                every,
                since: 0,
                progress: LearnerProgress::default(),
            },
            Learning::Background { cpu_share } => {
                Teacher::Background(Background::start(&weights, config.seed, cpu_share)?)
            }
        };
        let reference = match config.engine {
            Engine::Plain => None,
            Engine::Candle => Some(Reference::new(&weights)?),
        };
        Ok(Self {
            trained: config.model.is_some(),
            config,
            queues: RunQueues::new(),
            cpus: Vec::new(),
            weights: Arc::new(weights),
            mixer,
            reference,
            teacher,
            swaps: 0,
            overload: false,
            number: 0,
            refine_list: Vec::new(),
        })
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
        for cpu in std::mem::take(&mut self.refine_list) {
            self.refine(cpu);
        }
        self.take_weights();
    }

    /// While the reader is behind, state is kept and nothing is predicted.
    pub fn set_overload(&mut self, overload: bool) {
        self.overload = overload;
    }

    /// One line: shape, parameters, trained or not, engine.
    pub fn describe(&self) -> String {
        let origin = match (&self.config.model, self.trained) {
            (Some(path), true) => format!("from {}", path.display()),
            _ => "untrained".to_owned(),
        };
        let learning = match self.config.learning {
            Learning::Off => "does not learn".to_owned(),
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
            "LSTM {}, {} parameters + {} linear, {origin}, {learning}, window {}, engine {engine}",
            model::shape::HIDDEN,
            self.weights.parameters(),
            Mixer::ROWS * model::shape::FEATURES,
            self.config.window,
        )
    }

    /// The run started without trained weights.
    pub fn untrained(&self) -> bool {
        !self.trained
    }

    /// How far the learner has come.
    pub fn learner(&self) -> LearnerProgress {
        match &self.teacher {
            Teacher::Nobody => LearnerProgress::default(),
            Teacher::Inline { progress, .. } => LearnerProgress {
                swaps: self.swaps,
                ..*progress
            },
            Teacher::Background(background) => {
                let (steps, refused, cpu_ns, loss_bits) = background.progress();
                LearnerProgress {
                    steps,
                    refused,
                    swaps: self.swaps,
                    loss_bits,
                    cpu_ns,
                }
            }
        }
    }

    /// Ends learning, waits for it, and takes its last weights.
    pub fn stop_learning(&mut self) {
        if let Teacher::Background(background) = &mut self.teacher {
            background.stop();
        }
        self.take_weights();
    }

    /// Writes the weights (safetensors), aside and then renamed.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        Ok(model::save(path, &self.weights, &self.mixer)?)
    }

    fn state(&mut self, cpu: u32) -> &mut CpuState {
        if self.cpus.len() <= cpu as usize {
            self.cpus.resize_with(cpu as usize + 1, || None);
        }
        let window = self.config.window;
        self.cpus[cpu as usize].get_or_insert_with(|| Box::new(CpuState::new(window)))
    }

    fn switch(&mut self, ts_ns: u64, cpu: u32, switch: &Switch, sink: &mut dyn Sink) {
        self.number += 1;
        let known = self.state(cpu).current;
        let consistent = known.is_none_or(|current| {
            let task = self.queues.task(current);
            task.sym == current && task.pid == switch.prev.pid
        });
        if !consistent {
            self.state(cpu).cut(Unscored::Broken);
        }
        if self.state(cpu).refine_due {
            self.refine(cpu);
        }
        let run_started = self.queues.cpu(cpu).current_since_ns;
        let before = Before::new(&self.queues, cpu, ts_ns, switch);
        let median_ns = known
            .and_then(|current| self.queues.get(current))
            .and_then(|task| task.runs.median());
        let ran_name = TaskName {
            pid: switch.prev.pid,
            comm: switch.prev.comm,
        };
        let (prev, next) = self.queues.switch(ts_ns, cpu, switch);
        let actual_ns =
            run_started.map(|since| ts_ns.saturating_sub(since).saturating_sub(switch.hidden_ns));

        let mut hit = (false, 0.0);
        let state = self.cpus[cpu as usize].as_deref_mut().expect("made above");
        if state.predicted {
            let run_time = actual_ns.map(|actual_ns| RunTime {
                actual_ns,
                predicted_ns: state
                    .at_switch
                    .scores
                    .run
                    .map(|ln| ln.exp().min(1e18) as u64),
                median_ns,
            });
            hit = settle_frame(
                state,
                &mut self.mixer,
                next,
                actual_ns,
                self.config.learning != Learning::Off,
            );
            let names = |sym: Sym| {
                let task = self.queues.task(sym);
                TaskName {
                    pid: task.pid,
                    comm: task.name,
                }
            };
            let decision = Decision {
                number: self.number,
                ts_ns,
                cpu,
                ran: ran_name,
                actual: TaskName {
                    pid: switch.next.pid,
                    comm: switch.next.comm,
                },
                at_switch: scored(state, false, ts_ns, next, self.queues.live(), &names),
                refined: state
                    .refined_stands
                    .then(|| scored(state, true, ts_ns, next, self.queues.live(), &names)),
                baselines: baselines(state, next, self.queues.idle(cpu), &names),
                run_time,
            };
            sink.decision(&decision);
            state.since_offer += 1;
        } else {
            let reason = state.excuse.unwrap_or(Unscored::Overload);
            sink.unscored(ts_ns, cpu, reason);
        }
        state.excuse = None;
        state.predicted = false;
        state.refined_stands = false;
        state.refine_due = false;
        state.current = Some(next);
        self.teach(cpu);

        let state = self.cpus[cpu as usize].as_deref_mut().expect("made above");
        state.contexts.push(next);
        state.gatherer.ran(next);
        state.last_ts_ns = ts_ns;
        if self.overload {
            if !state.window.frames.is_empty() {
                state.forget_window();
                if let Some(reference) = &mut self.reference {
                    reference.reset(cpu as usize);
                }
            }
            return;
        }
        let started = self.config.live.then(monotonic_ns);
        let waiting = self.queues.cpu_ref(cpu).runnable.len();
        let frame = state.window.advance();
        before.input(
            &self.queues,
            switch,
            prev,
            next,
            waiting,
            hit,
            actual_ns,
            &state.picks,
            &mut frame.input,
        );
        let input = frame.input;
        if let Some(reference) = &mut self.reference {
            reference
                .step(cpu as usize, &input)
                .expect("shapes are fixed");
        } else {
            state.lstm.step(&self.weights, &input);
        }
        state.counted = Counted::new(state.contexts.matches(), &self.queues, Some(next));
        let alive = |sym: u32| sym != next.raw() && self.queues.get(Sym::from_raw(sym)).is_some();
        state.order1 = Backoff::new(1).rank(&state.counted.matches, alive, self.queues.live());
        state.backoff8 = Backoff::new(8).rank(&state.counted.matches, alive, self.queues.live());
        self.predict(cpu, false, started);
    }

    /// Predicts what follows the current task of `cpu`, from everything up to the last event.
    fn predict(&mut self, cpu: u32, refined: bool, started: Option<u64>) {
        let state = self.cpus[cpu as usize]
            .as_deref_mut()
            .expect("made before it is predicted for");
        let Some(current) = state.current else { return };
        let now = state.last_ts_ns;
        let Some(frame) = state.window.last() else {
            return;
        };
        let view = if refined {
            frame.refined.get_or_insert_default()
        } else {
            &mut frame.at_switch
        };
        let picks = state.gatherer.gather(
            &self.queues,
            &state.counted,
            cpu,
            current,
            now,
            refined,
            view,
        );
        if !refined {
            state.picks = picks;
        }
        self.mixer.score(refined, view);
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
            model::score(&self.weights, &state.lstm.hidden, view, &mut pending.scores);
        }
        pending.ready_ns = self.config.live.then(monotonic_ns);
        pending.inference_ns = pending
            .ready_ns
            .zip(started)
            .map(|(ready, started)| ready.saturating_sub(started));
        if refined {
            state.refined_stands = true;
        } else {
            state.predicted = true;
        }
    }

    fn refine(&mut self, cpu: u32) {
        let Some(Some(state)) = self.cpus.get_mut(cpu as usize) else {
            return;
        };
        if std::mem::take(&mut state.refine_due) && state.predicted && !self.overload {
            let started = self.config.live.then(monotonic_ns);
            self.predict(cpu, true, started);
        }
    }

    fn teach(&mut self, cpu: u32) {
        let state = self.cpus[cpu as usize].as_deref_mut().expect("made before");
        let window = self.config.window;
        let offered = state.window.full() && state.since_offer >= window;
        match &mut self.teacher {
            Teacher::Nobody => {}
            Teacher::Background(background) => {
                if offered && background.wants() {
                    background.offer(&state.window);
                    state.since_offer = 0;
                }
            }
            Teacher::Inline {
                learner,
                every,
                since,
                progress,
            } => {
                if offered {
                    learner.add(&state.window);
                    state.since_offer = 0;
                }
                *since += 1;
                if *since >= *every && learner.ready() {
                    *since = 0;
                    match learner.step() {
                        Ok(Some(report)) => {
                            progress.steps += 1;
                            progress.loss_bits = report.loss_bits;
                            let weights = Arc::new(learner.weights().clone());
                            self.swap(weights);
                        }
                        Ok(None) => progress.refused += 1,
                        Err(error) => {
                            tracing::error!("learning has ended: {error}");
                            self.teacher = Teacher::Nobody;
                        }
                    }
                }
            }
        }
    }

    fn take_weights(&mut self) {
        if let Teacher::Background(background) = &self.teacher
            && let Some(weights) = background.take()
        {
            self.swap(weights);
        }
    }

    /// Takes new weights, and brings the LSTM's state to what they would have made of the window.
    fn swap(&mut self, weights: Arc<Weights>) {
        self.swaps += 1;
        self.weights = weights;
        if let Some(reference) = &mut self.reference
            && let Err(error) = reference.swap(&self.weights)
        {
            tracing::error!("candle refuses the new weights: {error}");
        }
        for (cpu, state) in self.cpus.iter_mut().enumerate() {
            let Some(state) = state else { continue };
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

/// Writes the answer into the last frame and lets the mixer learn it. Returns whether the at-switch prediction was right and what it gave.
fn settle_frame(
    state: &mut CpuState,
    mixer: &mut Mixer,
    next: Sym,
    actual_ns: Option<u64>,
    learn: bool,
) -> (bool, f32) {
    let refined_stands = state.refined_stands;
    let Some(frame) = state.window.last() else {
        return (false, 0.0);
    };
    frame.run_time = actual_ns.map(|ns| (ns.max(1) as f32).ln());
    let target = frame.at_switch.index_of(next);
    frame.at_switch.target = Some(target);
    let p = &state.at_switch.scores.p;
    let hit = (best(p) == Some(target), p[target]);
    if learn {
        mixer.learn(false, &frame.at_switch, p, target);
    }
    if !refined_stands {
        frame.refined = None;
    }
    if let Some(refined) = &mut frame.refined {
        let target = refined.index_of(next);
        refined.target = Some(target);
        if learn {
            mixer.learn(true, refined, &state.refined.scores.p, target);
        }
    }
    hit
}

fn best(p: &[f32]) -> Option<usize> {
    p.iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map(|(i, _)| i)
}

/// The model's outcome. The probability of the candidate for all others is shared by the living tasks that are not listed, and one that is new.
fn scored(
    state: &CpuState,
    refined: bool,
    ts_ns: u64,
    next: Sym,
    living: usize,
    names: &dyn Fn(Sym) -> TaskName,
) -> Scored {
    let pending: &Pending = if refined {
        &state.refined
    } else {
        &state.at_switch
    };
    let frame = state
        .window
        .frames
        .back()
        .expect("a prediction has its frame");
    let view = if refined {
        frame.refined.as_ref().expect("it stands")
    } else {
        &frame.at_switch
    };
    let p = &pending.scores.p;
    let target = view.index_of(next);
    let listed = view.candidates[target].sym.is_some();
    let mut order: arrayvec::ArrayVec<usize, { model::MAX_CANDIDATES }> = (0..p.len())
        .filter(|&i| view.candidates[i].sym.is_some())
        .collect();
    order.sort_unstable_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
    let unlisted = living.saturating_sub(order.len()).max(1) as f32 + 1.0;
    let p_actual = if listed {
        p[target]
    } else {
        p[target] / unlisted
    };
    Scored {
        top: order
            .iter()
            .take(TOP)
            .map(|&i| (names(view.candidates[i].sym.expect("listed")), p[i]))
            .collect(),
        rank: listed.then(|| {
            order
                .iter()
                .position(|&i| i == target)
                .map_or(0, |place| place as u32 + 1)
        }),
        bits: -p_actual.max(1e-9).log2(),
        candidates: order.len() as u32,
        lead_ns: pending.ready_ns.map(|ready| ts_ns as i64 - ready as i64),
        inference_ns: pending.inference_ns,
    }
}

fn baselines(
    state: &CpuState,
    next: Sym,
    idle: Sym,
    names: &dyn Fn(Sym) -> TaskName,
) -> [BaselineScored; 3] {
    let counted = |ranking: &Ranking| BaselineScored {
        predicted: ranking.first().map(|sym| names(Sym::from_raw(sym))),
        rank: ranking
            .rank(next.raw())
            .filter(|rank| *rank as usize <= TOP),
        bits: Some(-ranking.p(next.raw()).max(1e-9).log2()),
    };
    Baseline::ALL.map(|baseline| match baseline {
        Baseline::Order1 => counted(&state.order1),
        Baseline::Backoff8 => counted(&state.backoff8),
        Baseline::Scheduler => {
            // With nothing to pick from, the idle task comes.
            let pick = state.picks.if_sleeps.unwrap_or(idle);
            BaselineScored {
                predicted: Some(names(pick)),
                rank: (pick == next).then_some(1),
                bits: None,
            }
        }
    })
}

/// What the LSTM is told of a switch and is gone once the switch is applied.
struct Before {
    wakes: u32,
    woken_ns: Option<u64>,
    left_ns: Option<u64>,
    ts_ns: u64,
}

impl Before {
    fn new(queues: &RunQueues, cpu: u32, ts_ns: u64, switch: &Switch) -> Self {
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
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one switch, each from another place"
    )]
    fn input(
        &self,
        queues: &RunQueues,
        switch: &Switch,
        prev: Sym,
        next: Sym,
        waiting: usize,
        hit: (bool, f32),
        run_ns: Option<u64>,
        picks: &crate::runqueue::Picks,
        out: &mut [f32; model::shape::INPUT],
    ) {
        let flag = |condition: bool| f32::from(u8::from(condition));
        let since = |then: Option<u64>| {
            model::log_time(then.map_or(10_000_000_000, |then| self.ts_ns.saturating_sub(then)))
        };
        let task = queues.task(next);
        out[..CODE].copy_from_slice(&task.code);
        let x = &mut out[CODE..];
        x[sw::STAYED_RUNNABLE] = flag(switch.prev_state == 0);
        x[sw::PREEMPTED] = flag(switch.preempt);
        // EXIT_DEAD, EXIT_ZOMBIE and TASK_DEAD as the tracepoint reports them (include/linux/sched.h).
        x[sw::ENDED] = flag(switch.prev_state & 0xb0 != 0);
        x[sw::RUN_TIME] = run_ns.map_or(0.0, model::log_time);
        x[sw::SINCE_WOKEN] = since(self.woken_ns);
        x[sw::SINCE_LEFT] = since(self.left_ns);
        x[sw::IDLE] = flag(task.pid == 0);
        x[sw::WAS_PICK_IF_SLEEPS] = flag(picks.if_sleeps == Some(next));
        x[sw::WAS_PICK_IF_STAYS] = flag(picks.if_stays == Some(next));
        x[sw::WOKEN_BY_PREV] = flag(task.waker == Some(prev));
        x[sw::WAITING] = model::log_count(waiting);
        x[sw::WAKES] = model::log_count(self.wakes as usize);
        x[sw::HIT] = flag(hit.0);
        x[sw::P_ACTUAL] = hit.1;
        x[sw::REAL_TIME] = flag(task.prio < 100 && task.pid != 0);
        x[sw::VOLUNTARY] = task.voluntary;
    }
}

#[cfg(test)]
mod tests;
