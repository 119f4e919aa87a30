//! An oracle that goes on from here by itself: a forecast feeds it the events that it foretells.

use super::config::{Engine, Learning};
use super::teacher::Teacher;
use super::{Config, Oracle};
use crate::model::CodeRows;
use crate::runqueue::{Picks, RunQueues, Sym};

/// What is foretold of the run that is under way on a CPU.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// What runs.
    pub current: Sym,
    /// Since when, ns.
    pub entered_ns: u64,
    /// Quantiles .1, .5 and .9 of how long it will run, ns.
    pub run_ns: [f64; 3],
    /// Tasks that could be next with their probability. Those that have no name yet, and those not listed, are left out.
    pub next: Vec<(Sym, f32)>,
    /// What the scheduler would pick.
    pub picks: Picks,
}

impl Oracle {
    /// A copy that knows what this one knows, and from here on neither learns nor refines: what it is told goes into the state of tasks, queues
    /// and LSTM, but into no count and no history of run times.
    #[must_use]
    pub fn fork(&self) -> Self {
        let Self {
            config,
            queues,
            cpus,
            weights,
            code_rows: _,
            linear,
            start,
            training,
            name,
            run_times,
            reference: _,
            teacher: _,
            swaps,
            overload: _,
            number,
            ppm8: _,
            forked: _,
            refine_list: _,
        } = self;
        let mut cpus = cpus.clone();
        for state in cpus.iter_mut().flatten() {
            state.ppm8 = None;
        }
        Self {
            config: Config {
                learning: Learning::Off,
                engine: Engine::Plain,
                live: false,
                ..config.clone()
            },
            queues: queues.clone(),
            cpus,
            weights: weights.clone(),
            code_rows: CodeRows::default(),
            linear: linear.clone(),
            start: start.clone(),
            training: training.clone(),
            name: name.clone(),
            run_times: run_times.clone(),
            reference: None,
            teacher: Teacher::Nobody,
            swaps: *swaps,
            overload: false,
            number: *number,
            ppm8: false,
            forked: true,
            refine_list: Vec::new(),
        }
    }

    /// Who is runnable where.
    pub fn queues(&self) -> &RunQueues {
        &self.queues
    }

    /// The at-switch prediction that stands on `cpu`; `None` behind a gap, or before the first switch.
    pub fn outlook(&self, cpu: u32) -> Option<Outlook> {
        let state = self.cpus.get(cpu as usize)?.as_deref()?;
        let frame = state.window.frames.back().filter(|_| state.predicted)?;
        let candidates = frame.at_switch.candidates.iter();
        Some(Outlook {
            current: state.current?,
            entered_ns: self.queues.cpu_ref(cpu).current_since_ns?,
            run_ns: (state.at_switch.scores.run).map(|ln| f64::from(ln).exp().clamp(1.0, 1e15)),
            next: candidates
                .zip(&state.at_switch.scores.p)
                .filter_map(|(candidate, p)| Some((candidate.sym?, *p)))
                .collect(),
            picks: state.picks,
        })
    }
}
