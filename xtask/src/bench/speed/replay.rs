//! How fast recorded loads are played back: everything that `run` does for an event but fetching it from the kernel.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::part::{Bars, Goal, Part, Setup, Spread, TableOf};
use crate::{
    bench::{loads::Load, recordings},
    command,
};

/// Played back, in the order of the table.
const LOADS: [&str; 3] = ["nginx-ab", "hackbench-pipe", "all-mixed"];
/// Decisions a second that one core must reach.
const DECISIONS: f64 = 200_000.0;
/// Share of that with 300 tasks that wait.
const CROWDED: f64 = 1.0 / 3.0;
/// MiB that may be resident.
const RESIDENT: f64 = 64.0;
/// us that a whole prediction may take, in the middle and at the .99 quantile.
const WHOLE: (f64, f64) = (4.0, 12.0);
/// The network's training steps are in a thread of their own in `run`, so they are left out here.
const NEVER: &str = "4294967295";

/// What `kernoracle replay --timing` prints.
#[derive(Deserialize)]
struct Timing {
    decisions_per_second: f64,
    at_switch_ns: Quantiles,
    refined_ns: Quantiles,
    peak_rss_bytes: u64,
}

#[derive(Deserialize)]
struct Quantiles {
    p50: u64,
    p99: u64,
    p999: u64,
}

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let directory = setup.workspace.target.join("bench/accuracy/recordings");
    ensure!(
        directory.is_dir(),
        "{}: no recordings to play back: cargo xtask bench accuracy makes them",
        directory.display()
    );
    let mut times: Vec<Vec<Timing>> = Vec::new();
    let mut files = Vec::new();
    for name in LOADS {
        let found = recordings::of(&directory, &[Load::find(name)?])?;
        let first = found
            .into_iter()
            .next()
            .context("of() found one or failed")?;
        files.push(first.file);
        times.push(Vec::new());
    }
    for round in 0..setup.rounds {
        for ((name, file), times) in LOADS.iter().zip(&files).zip(&mut times) {
            let timing = replay(setup, file)?;
            eprintln!(
                "[{}/{}] replay of {name}: {:.0} decisions/s",
                round + 1,
                setup.rounds,
                timing.decisions_per_second
            );
            times.push(timing);
        }
    }
    Ok(part(setup, &times))
}

fn replay(setup: &Setup<'_>, file: &Path) -> Result<Timing> {
    let mut replay = Command::new("taskset");
    replay
        .args(["-c", &setup.cpu.to_string()])
        .arg(&setup.kernoracle)
        .arg("replay")
        .arg(file)
        .args([
            "--timing",
            "--samples-per-second",
            "0",
            "--learn-every",
            NEVER,
        ]);
    let output = command::quiet_output(&mut replay)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}", file.display());
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("{}: no timing: {line:?}", file.display()))
}

fn part(setup: &Setup<'_>, times: &[Vec<Timing>]) -> Part {
    let spread = |times: &[Timing], of: &dyn Fn(&Timing) -> f64| {
        Spread::of(&times.iter().map(of).collect::<Vec<f64>>())
    };
    let us = |ns: u64| ns as f64 / 1_000.0;
    let mut table = TableOf::new(
        "",
        &[
            "load",
            "decisions/s",
            "at-switch p50, us",
            "p99",
            "p99.9",
            "refined p50, us",
            "p99",
            "peak resident, MiB",
        ],
    );
    let mib = |timing: &Timing| timing.peak_rss_bytes as f64 / f64::from(1 << 20);
    for (name, times) in LOADS.iter().zip(times) {
        let columns: [&dyn Fn(&Timing) -> f64; 7] = [
            &|timing| timing.decisions_per_second,
            &|timing| us(timing.at_switch_ns.p50),
            &|timing| us(timing.at_switch_ns.p99),
            &|timing| us(timing.at_switch_ns.p999),
            &|timing| us(timing.refined_ns.p50),
            &|timing| us(timing.refined_ns.p99),
            &mib,
        ];
        let cells = columns.iter().map(|of| spread(times, *of).to_string());
        table
            .rows
            .push(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    let rate = |at: usize| spread(&times[at], &|timing| timing.decisions_per_second).median;
    let most = |of: &dyn Fn(&Timing) -> f64| {
        let medians = times.iter().map(|times| spread(times, of).median);
        medians.fold(0.0, f64::max)
    };
    let p50 = most(&|timing| us(timing.at_switch_ns.p50));
    let p99 = most(&|timing| us(timing.at_switch_ns.p99));
    let resident = most(&mib);
    Part {
        title: "Replay on one core".to_owned(),
        about: format!(
            "`kernoracle replay --timing --learn-every {NEVER}` on CPU {}: reading the file, predicting at every switch \
             and before the switch after a wake-up, learning of the linear parts and the counts, scoring; CPU time of \
             that thread. At-switch: from the switch to its prediction (input, LSTM, features, scores). {} rounds; \
             median, in brackets the least and the most.",
            setup.cpu, setup.rounds
        ),
        tables: vec![table],
        goals: vec![
            goal(
                "replay, one core, nginx-ab, decisions/s",
                format!(">= {DECISIONS}"),
                format!("{:.0}", rate(0)),
                rate(0) >= DECISIONS,
            ),
            goal(
                "the same of hackbench-pipe, to that of nginx-ab",
                format!(">= {CROWDED:.2}"),
                format!("{:.2}", rate(1) / rate(0)),
                rate(1) / rate(0) >= CROWDED,
            ),
            goal(
                "whole prediction, p50 and p99, us, of the slowest load",
                format!("<= {} and <= {}", WHOLE.0, WHOLE.1),
                format!("{p50:.1} and {p99:.1}"),
                p50 <= WHOLE.0 && p99 <= WHOLE.1,
            ),
            goal(
                "resident memory, MiB",
                format!("<= {RESIDENT}"),
                format!("{resident:.0}"),
                resident <= RESIDENT,
            ),
        ],
        bars: vec![Bars {
            title: "Replay on one core".to_owned(),
            unit: "decisions/s".to_owned(),
            bars: (LOADS.iter().enumerate())
                .map(|(at, name)| ((*name).to_owned(), rate(at)))
                .collect(),
            reference: Some(DECISIONS),
        }],
    }
}

fn goal(what: &str, goal: String, got: String, met: bool) -> Goal {
    Goal {
        what: what.to_owned(),
        goal,
        got,
        met,
    }
}
