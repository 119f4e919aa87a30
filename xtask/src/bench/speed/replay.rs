//! How fast recorded loads are played back: everything that `run` does for an event but fetching it from the kernel.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    growth::{self, Points},
    part::{Bars, Goal, Part, Setup, Spread, TableOf},
};
use crate::{
    bench::{loads::Load, recordings},
    command,
};

/// Played back, in the order of the table; behind them made-up streams of [`WAITING`].
const LOADS: [&str; 3] = ["nginx-ab", "hackbench-pipe", "all-mixed"];
/// Tasks that wait at every switch of the made-up streams.
const WAITING: [u32; 2] = [30, 300];
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
pub struct Quantiles {
    p50: u64,
    p99: u64,
    p999: u64,
}

impl Quantiles {
    pub fn p50_us(&self) -> f64 {
        self.p50 as f64 / 1_000.0
    }

    pub fn p99_us(&self) -> f64 {
        self.p99 as f64 / 1_000.0
    }

    fn p999_us(&self) -> f64 {
        self.p999 as f64 / 1_000.0
    }
}

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let directory = setup.workspace.target.join("bench/accuracy/recordings");
    ensure!(
        directory.is_dir(),
        "{}: no recordings to play back: cargo xtask bench accuracy makes them",
        directory.display()
    );
    let mut played: Vec<Played> = Vec::new();
    for name in LOADS {
        let found = recordings::of(&directory, &[Load::find(name)?])?;
        let first = found
            .into_iter()
            .next()
            .context("of() found one or failed")?;
        played.push(Played::new(name.to_owned(), first.file));
    }
    for waiting in WAITING {
        let name = format!("made up, {waiting} wait");
        played.push(Played::new(name, growth::write(setup, waiting)?));
    }
    let mut points = Points::new();
    for round in 0..setup.rounds {
        for Played { name, file, times } in &mut played {
            let timing = replay(setup, file)?;
            eprintln!(
                "[{}/{}] replay of {name}: {:.0} decisions/s",
                round + 1,
                setup.rounds,
                timing.decisions_per_second
            );
            times.push(timing);
        }
        points.round(setup)?;
    }
    Ok(part(setup, &played, &points))
}

/// A trace that is played back, and what that took in each round.
struct Played {
    name: String,
    file: PathBuf,
    times: Vec<Timing>,
}

impl Played {
    fn new(name: String, file: PathBuf) -> Self {
        Self {
            name,
            file,
            times: Vec::new(),
        }
    }

    fn spread(&self, of: &dyn Fn(&Timing) -> f64) -> Spread {
        Spread::of(&self.times.iter().map(of).collect::<Vec<f64>>())
    }

    fn rate(&self) -> f64 {
        self.spread(&|timing| timing.decisions_per_second).middle
    }
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

fn mib(timing: &Timing) -> f64 {
    timing.peak_rss_bytes as f64 / f64::from(1 << 20)
}

fn table(played: &[Played]) -> TableOf {
    let columns: [&dyn Fn(&Timing) -> f64; 7] = [
        &|timing| timing.decisions_per_second,
        &|timing| timing.at_switch_ns.p50_us(),
        &|timing| timing.at_switch_ns.p99_us(),
        &|timing| timing.at_switch_ns.p999_us(),
        &|timing| timing.refined_ns.p50_us(),
        &|timing| timing.refined_ns.p99_us(),
        &mib,
    ];
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
    for trace in played {
        let cells = columns.iter().map(|of| trace.spread(*of).to_string());
        table
            .rows
            .push(std::iter::once(trace.name.clone()).chain(cells).collect());
    }
    table
}

fn part(setup: &Setup<'_>, played: &[Played], points: &Points) -> Part {
    let (recorded, made_up) = played.split_at(LOADS.len());
    let [nginx, hackbench, ..] = recorded else {
        unreachable!("one for each of LOADS");
    };
    let [few, many] = made_up else {
        unreachable!("one for each of WAITING");
    };
    let most = |of: &dyn Fn(&Timing) -> f64| {
        let medians = recorded.iter().map(|trace| trace.spread(of).middle);
        medians.fold(0.0, f64::max)
    };
    let p50 = most(&|timing| timing.at_switch_ns.p50_us());
    let p99 = most(&|timing| timing.at_switch_ns.p99_us());
    let resident = most(&mib);
    let rate = |trace: &Played| {
        let rate = trace.rate();
        goal(
            &format!("replay, one core, {}, decisions/s", trace.name),
            format!(">= {DECISIONS}"),
            format!("{rate:.0}"),
            rate >= DECISIONS,
        )
    };
    let ratio = |crowded: &Played, other: &Played| {
        let ratio = crowded.rate() / other.rate();
        goal(
            &format!("the same of {}, to that of {}", crowded.name, other.name),
            format!(">= {CROWDED:.2}"),
            format!("{ratio:.2}"),
            ratio >= CROWDED,
        )
    };
    let mut bars = vec![Bars {
        title: "Replay on one core".to_owned(),
        unit: "decisions/s".to_owned(),
        bars: (played.iter())
            .map(|trace| (trace.name.clone(), trace.rate()))
            .collect(),
        reference: Some(DECISIONS),
    }];
    bars.extend(points.bars());
    Part {
        title: "Replay on one core".to_owned(),
        about: format!(
            "`kernoracle replay --timing --learn-every {NEVER}` on CPU {}: reading the file, predicting at every switch \
             and before the switch after a wake-up, learning of the linear parts and the counts, scoring; CPU time of \
             that thread, start included. At-switch: from the switch, once the one before is scored and learned, to its prediction (run-time forecast, look-ups of counts, input, LSTM, features, scores), and what was worked out for it before the switch. {} rounds; \
             median, in brackets the least and the most. In the made-up streams, on one CPU, exactly so many tasks \
             wait at every switch, and twice as many sleep.",
            setup.cpu, setup.rounds
        ),
        tables: vec![table(played), points.table()],
        goals: vec![
            rate(few),
            ratio(many, few),
            rate(nginx),
            ratio(hackbench, nginx),
            goal(
                "whole prediction, p50 and p99, us, of the slowest of these recorded loads",
                format!("<= {} and <= {}", WHOLE.0, WHOLE.1),
                format!("{p50:.1} and {p99:.1}"),
                p50 <= WHOLE.0 && p99 <= WHOLE.1,
            ),
            goal(
                "resident memory, recorded loads, MiB",
                format!("<= {RESIDENT}"),
                format!("{resident:.0}"),
                resident <= RESIDENT,
            ),
        ],
        bars,
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
