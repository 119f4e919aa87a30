//! The network's learning: what the teacher is shown, and the weights that come of it.

use super::Oracle;
use super::config::{Learning, ModelError};
use super::outcome::{FullWindow, Sink};
use crate::model::{LearnerProgress, Lstm, Model, Precision, RunningLstm};
use std::path::Path;

impl Oracle {
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
            roles: self.queues.codes().known().clone(),
            training: self.training.clone(),
            bytes: None,
        };
        Ok(model.save(path, Precision::F32)?)
    }

    /// Shows the teacher what was decided, and takes the weights that come of it.
    pub(super) fn teach(&mut self, ts_ns: u64, cpu: u32, sink: &mut dyn Sink) {
        let state = self.cpus[cpu as usize].as_deref_mut().expect("made before");
        let unseen = state.window.full() && state.since_offer >= self.config.window;
        if unseen && self.config.learning == Learning::Off {
            sink.window(&FullWindow {
                start: &state.window_start.0,
                window: &state.window,
                from_ns: state.window_start.1,
                to_ns: ts_ns,
            });
            state.window_start = (state.lstm.state().clone(), ts_ns);
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

    pub(super) fn take_weights(&mut self) {
        if self.teacher.take(&mut self.weights) {
            self.swapped();
        }
    }

    /// Brings the LSTM's state to what the new weights would have made of the window.
    fn swapped(&mut self) {
        self.swaps += 1;
        self.code_rows.forget();
        if let Some(reference) = &mut self.reference
            && let Err(error) = reference.swap(&self.weights)
        {
            tracing::error!("candle refuses the new weights: {error}");
        }
        for (cpu, state) in self.cpus.iter_mut().enumerate() {
            let Some(state) = state else { continue };
            state.lstm.forget();
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
                state.lstm = RunningLstm::from_state(lstm);
            }
        }
    }
}
