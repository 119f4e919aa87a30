//! The parts of a prediction, each alone, by criterion.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::part::{Bars, Goal, Part, Setup, TableOf};
use crate::command;

/// us that a fused step of 64 units may take.
const STEP: f64 = 2.0;

/// A group of `benches/inference.rs`: its name, what a reader calls it, and its sizes.
struct Group {
    name: &'static str,
    title: &'static str,
    sizes: &'static [u32],
}

const GROUPS: [Group; 6] = [
    Group {
        name: "lstm_step_fused",
        title: "fused LSTM step, units",
        sizes: &[16, 32, 64, 128],
    },
    Group {
        name: "lstm_step_candle",
        title: "candle LSTM step, units",
        sizes: &[64],
    },
    Group {
        name: "score_linear",
        title: "linear scores, candidates",
        sizes: &[4, 8, 16, 32, 64],
    },
    Group {
        name: "score_network",
        title: "network's scores, softmax, run time, candidates",
        sizes: &[4, 8, 16, 32, 64],
    },
    Group {
        name: "learn_linear",
        title: "step of the linear part, candidates",
        sizes: &[4, 8, 16, 32, 64],
    },
    Group {
        name: "switch_and_rank",
        title: "switch and the scheduler's picks, waiting tasks",
        sizes: &[10, 100, 1_000, 10_000],
    },
];

/// What criterion keeps of a benchmark.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Interval,
    /// ns
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let mut bench = Command::new("taskset");
    bench
        .current_dir(&setup.workspace.root)
        .args(["-c", &setup.cpu.to_string()])
        .args([
            "cargo",
            "bench",
            "-p",
            "kernoracle-daemon",
            "--bench",
            "inference",
            "--",
        ])
        .arg("--noplot");
    if setup.quick {
        bench.args(["--warm-up-time", "0.3", "--measurement-time", "0.5"]);
    }
    command::run(&mut bench)?;
    let mut table = TableOf::new("", &["part", "size", "us", "95 % interval"]);
    let mut steps = Vec::new();
    for group in GROUPS {
        for size in group.sizes {
            let median = median(&setup.workspace.target, group.name, *size)?;
            let us = median.point_estimate / 1_000.0;
            let Interval {
                lower_bound,
                upper_bound,
            } = median.confidence_interval;
            table.rows.push(vec![
                group.title.to_owned(),
                size.to_string(),
                format!("{us:.3}"),
                format!(
                    "{:.3} to {:.3}",
                    lower_bound / 1_000.0,
                    upper_bound / 1_000.0
                ),
            ]);
            if group.name.starts_with("lstm") {
                let engine = group.name.trim_start_matches("lstm_step_");
                steps.push((format!("{engine} {size}"), us));
            }
        }
    }
    let step = (steps.iter())
        .find(|(name, _)| name == "fused 64")
        .map_or(f64::INFINITY, |(_, us)| *us);
    Ok(Part {
        title: "Inference per event".to_owned(),
        about: format!(
            "`cargo bench -p kernoracle-daemon --bench inference` on CPU {}: the median of each part alone, with what it \
             needs in the cache. The whole prediction, in the order of a trace and with the caches as that leaves \
             them, is with the replay.",
            setup.cpu
        ),
        tables: vec![table],
        goals: vec![Goal {
            what: "fused LSTM step, 64 units, us".to_owned(),
            goal: format!("<= {STEP}"),
            got: format!("{step:.2}"),
            met: step <= STEP,
        }],
        bars: vec![Bars {
            title: "LSTM step".to_owned(),
            unit: "us".to_owned(),
            bars: steps,
            reference: Some(STEP),
        }],
    })
}

fn median(target: &Path, group: &str, size: u32) -> Result<Estimate> {
    let file = target.join(format!("criterion/{group}/{size}/new/estimates.json"));
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let estimates: Estimates =
        serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    Ok(estimates.median)
}
