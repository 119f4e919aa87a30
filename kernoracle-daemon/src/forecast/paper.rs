//! The paper's model runs on: its output, as it is, is its next input.

use super::score::{Engine, Latency, OneStep, relative_error};
use super::{Baselines, ForecastError, Paths, walk};
use crate::paper::sequence::Sequence;
use crate::paper::{PaperModel, Reference, Stepper, greatest};
use std::time::Instant;

/// Steps that candle is timed over.
const TIMED: usize = 2_000;

/// Goes over `sequence` with `model`, and hands over the paths at each of `starts`, in their order.
pub fn foretell_by_paper(
    model: &PaperModel,
    sequence: &Sequence,
    test_from: usize,
    starts: &[usize],
    steps: usize,
    mut each: impl FnMut(usize, Paths),
) -> Result<(OneStep, Latency), ForecastError> {
    let PaperModel {
        encoding,
        layout,
        weights,
        training,
    } = model;
    let places = encoding.places(sequence);
    let mut task_of = vec![None; encoding.tasks.len()];
    for (task, place) in places.iter().enumerate() {
        if let Some(place) = place {
            task_of[*place as usize] = Some(task as u32);
        }
    }
    let guess = |out: &[f32]| -> Option<(Option<u32>, f64)> {
        let (time, tasks) = out.split_last()?;
        let task = greatest(tasks).and_then(|place| task_of[place]);
        Some((task, encoding.unscale(*time)))
    };
    let mut stepper = Stepper::new(layout);
    let mut baselines = Baselines::new();
    let mut one_step = OneStep::new();
    let mut times_ns = Vec::with_capacity(sequence.samples.len());
    let mut starts = starts.iter().peekable();
    for (i, sample) in sequence.samples.iter().enumerate() {
        if starts.next_if(|start| **start == i).is_some() {
            let mut ahead = stepper.clone();
            let mut path = Vec::with_capacity(steps);
            for step in 0..steps {
                if step > 0 {
                    ahead.feed_back(layout, weights);
                }
                path.extend(guess(&ahead.out));
            }
            let mut paths = vec![("forecast", walk(path.into_iter()))];
            paths.extend(baselines.paths(steps));
            each(i, paths);
        }
        if sample.cut {
            stepper = Stepper::new(layout);
        } else if i >= test_from
            && let Some((task, diff_ns)) = guess(&stepper.out)
        {
            let error = relative_error(diff_ns, sample.diff_ns as f64);
            one_step.add(task == Some(sample.task), None, Some(error));
        }
        baselines.push(*sample);
        let encoded = encoding.encode(&places, *sample);
        let began = Instant::now();
        stepper.step(layout, weights, encoded);
        times_ns.push(began.elapsed().as_nanos() as u64);
    }
    one_step.train_mse = Some(training.train_mse);
    one_step.test_mse = Some(training.test_mse);
    let latency = Latency {
        plain: Engine::new(times_ns),
        candle: Some(Engine::new(candle_times(model, sequence)?)),
    };
    Ok((one_step, latency))
}

/// ns of each of the first steps in candle.
fn candle_times(model: &PaperModel, sequence: &Sequence) -> Result<Vec<u64>, ForecastError> {
    let candle = |error| ForecastError::Model(crate::oracle::ModelError::Candle(error));
    let network = Reference::new(&model.layout, &model.weights).map_err(candle)?;
    let mut state = Reference::zeros(1).map_err(candle)?;
    let places = model.encoding.places(sequence);
    let mut times = Vec::with_capacity(TIMED);
    for sample in sequence.samples.iter().take(TIMED) {
        let mut row = vec![0.0; model.layout.width];
        model.encoding.encode(&places, *sample).write(&mut row);
        let began = Instant::now();
        network.step(&mut state, row).map_err(candle)?;
        times.push(began.elapsed().as_nanos() as u64);
    }
    Ok(times)
}
