//! The parts of a prediction, each alone: time by criterion, quantiles, and instructions.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    growth,
    part::{Bars, Goal, Part, Setup, TableOf},
};
use crate::command;

/// us that a fused step of 64 units may take.
const STEP: f64 = 2.0;

/// A group of `benches/inference/parts.rs`: its name, what a reader calls it, and what its sizes count.
struct Group {
    name: &'static str,
    title: &'static str,
    counts: &'static str,
}

const GROUPS: [Group; 9] = [
    Group {
        name: "lstm_step_fused",
        title: "fused LSTM step",
        counts: "units",
    },
    Group {
        name: "lstm_step_live",
        title: "the same, as the oracle makes it",
        counts: "units",
    },
    Group {
        name: "lstm_step_candle",
        title: "candle LSTM step",
        counts: "units",
    },
    Group {
        name: "features",
        title: "candidates and features",
        counts: "candidates",
    },
    Group {
        name: "score_linear",
        title: "linear scores",
        counts: "candidates",
    },
    Group {
        name: "score_network",
        title: "network's scores, softmax, run time",
        counts: "candidates",
    },
    Group {
        name: "learn_linear",
        title: "step of the linear part",
        counts: "candidates",
    },
    Group {
        name: "switch_and_rank",
        title: "switch and the scheduler's picks",
        counts: "waiting",
    },
    Group {
        name: "decision",
        title: "all: from switch to switch",
        counts: "waiting",
    },
];

/// A line of `--bench inference -- quantiles`.
#[derive(Deserialize)]
struct Quantiles {
    part: String,
    size: u32,
    /// That one sample is the mean of.
    calls: u32,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

/// A line of `--bench inference -- instructions`.
#[derive(Deserialize)]
struct Counted {
    part: String,
    size: u32,
    instructions: f64,
}

/// What criterion keeps of a benchmark.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// ns
    point_estimate: f64,
}

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let mut criterion = growth::cargo_bench(setup, "inference");
    criterion.arg("--noplot");
    if setup.quick {
        criterion.args(["--warm-up-time", "0.3", "--measurement-time", "0.5"]);
    }
    command::run(&mut criterion)?;
    let quantiles: Vec<Quantiles> = lines(setup, "quantiles")?;
    let instructions: Vec<Counted> = lines(setup, "instructions")?;
    let mut table = TableOf::new(
        "",
        &[
            "part",
            "size",
            "us",
            "p50",
            "p99",
            "p99.9",
            "calls a sample",
            "instructions",
        ],
    );
    let mut steps = Vec::new();
    for line in &quantiles {
        let group = (GROUPS.iter())
            .find(|group| group.name == line.part)
            .with_context(|| format!("{}: a part that the page does not know", line.part))?;
        let counted = (instructions.iter())
            .find(|other| (&other.part, other.size) == (&line.part, line.size))
            .with_context(|| format!("{} {}: no instructions", line.part, line.size))?;
        let median = median(&setup.workspace.target, group.name, line.size)?;
        let us = |us: f64| format!("{us:.3}");
        table.rows.push(vec![
            group.title.to_owned(),
            format!("{} {}", line.size, group.counts),
            median.map_or_else(String::new, us),
            us(line.p50_us),
            us(line.p99_us),
            us(line.p999_us),
            line.calls.to_string(),
            format!("{:.0}", counted.instructions),
        ]);
        if let (Some(engine), Some(median)) = (line.part.strip_prefix("lstm_step_"), median) {
            steps.push((format!("{engine} {}", line.size), median));
        }
    }
    let step = (steps.iter())
        .find(|(name, _)| name == "fused 64")
        .map_or(f64::INFINITY, |(_, us)| *us);
    Ok(Part {
        title: "Inference per event".to_owned(),
        about: format!(
            "`cargo bench -p kernoracle-daemon --bench inference` on CPU {}. us: criterion's median of each part alone, \
             with what it needs in the cache. Quantiles (`-- quantiles`), us: of samples of 2 us or more, each the mean of so many calls; \
             whatever interrupts a sample is in it. Instructions (`-- instructions`): counted by \
             callgrind, whose CPU has AVX2 and no AVX-512; they hardly differ from run to run. All weights are \
             drawn at random. As the oracle makes a step, recurrent weights are bfloat16, and what the codes of tasks add is kept; the goal is for the step without either. *All* is everything from one switch to the next on a made-up stream: score, learn, count, \
             predict at the switch and after each lot of wake-ups. Quantiles of the whole prediction, from the switch to its answer, are with the replay.",
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

/// What the bench prints in another mode than criterion's, a line of JSON each.
fn lines<T: for<'de> Deserialize<'de>>(setup: &Setup<'_>, mode: &str) -> Result<Vec<T>> {
    let mut bench = growth::cargo_bench(setup, "inference");
    growth::lines(bench.arg(mode))
}

/// us; `None` for a part that criterion does not run.
fn median(target: &Path, group: &str, size: u32) -> Result<Option<f64>> {
    if group == "decision" {
        return Ok(None);
    }
    let file = target.join(format!("criterion/{group}/{size}/new/estimates.json"));
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let estimates: Estimates =
        serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    Ok(Some(estimates.median.point_estimate / 1_000.0))
}
