//! How speed and memory of the oracle change with the tasks and the CPUs, on made-up streams.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    part::{Bars, Setup, Spread, TableOf},
    replay::Quantiles,
};
use crate::command;

/// A line of `benches/growth.rs`.
#[derive(Deserialize)]
pub struct Point {
    cpus: u32,
    tasks: u32,
    waiting: u32,
    decisions: u64,
    hits: u64,
    decisions_per_second: f64,
    at_switch_ns: Quantiles,
    peak_rss_bytes: u64,
}

/// Times of all rounds of the same point.
pub struct Points(Vec<Vec<Point>>);

/// A bench of the daemon's, pinned, as `cargo bench` runs it; arguments of its own can be added.
pub fn cargo_bench(setup: &Setup<'_>, name: &str) -> Command {
    let mut bench = Command::new("taskset");
    bench
        .current_dir(&setup.workspace.root)
        .args(["-c", &setup.cpu.to_string()])
        .args(["cargo", "bench", "-p", "kernoracle-daemon", "--bench", name])
        .arg("--");
    bench
}

/// What a bench prints, a line of JSON each.
pub fn lines<T: for<'de> Deserialize<'de>>(bench: &mut Command) -> Result<Vec<T>> {
    let output = command::output(bench)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{bench:?}: {}\n{errors}",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("{bench:?} has printed {line:?}"))
        })
        .collect()
}

/// Writes a stream on one CPU with so many waiting tasks, and three times as many that live, as a trace file.
pub fn write(setup: &Setup<'_>, waiting: u32) -> Result<PathBuf> {
    let file = setup.work.join(format!("{waiting}-waiting.kot"));
    if file.exists() {
        fs::remove_file(&file).with_context(|| file.display().to_string())?;
    }
    let decisions = if setup.quick { 20_000 } else { 200_000 };
    let numbers = [1, 3 * waiting, waiting, decisions].map(|number| number.to_string());
    let mut bench = cargo_bench(setup, "growth");
    bench.arg("write").arg(&file).args(numbers);
    command::run(&mut bench)?;
    Ok(file)
}

impl Points {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Measures each point once more.
    pub fn round(&mut self, setup: &Setup<'_>) -> Result<()> {
        let mut bench = cargo_bench(setup, "growth");
        if setup.quick {
            bench.arg("--quick");
        }
        let points: Vec<Point> = lines(&mut bench)?;
        self.0.resize_with(points.len(), Vec::new);
        for (times, point) in self.0.iter_mut().zip(points) {
            times.push(point);
        }
        Ok(())
    }

    pub fn table(&self) -> TableOf {
        let mut table = TableOf::new(
            "How that grows: the oracle alone, without reading a file, on streams that `cargo bench -p kernoracle-daemon --bench growth` \
             makes up. Each point has a process of its own and is measured when the counts are full. A made-up stream \
             repeats itself less than most loads, so that more of the counts is in use.",
            &[
                "CPUs",
                "tasks a CPU",
                "of which wait",
                "decisions/s",
                "at-switch p50, us",
                "p99",
                "peak resident, MiB",
                "right",
            ],
        );
        for times in &self.0 {
            let Some(first) = times.first() else { continue };
            let spread = |of: &dyn Fn(&Point) -> f64| {
                Spread::of(&times.iter().map(of).collect::<Vec<f64>>()).to_string()
            };
            table.rows.push(vec![
                first.cpus.to_string(),
                first.tasks.to_string(),
                first.waiting.to_string(),
                spread(&|point| point.decisions_per_second),
                spread(&|point| point.at_switch_ns.p50_us()),
                spread(&|point| point.at_switch_ns.p99_us()),
                spread(&|point| point.peak_rss_bytes as f64 / f64::from(1 << 20)),
                format!(
                    "{:.1} %",
                    first.hits as f64 * 100.0 / first.decisions as f64
                ),
            ]);
        }
        table
    }

    pub fn bars(&self) -> [Bars; 2] {
        let bars = |of: &dyn Fn(&Point) -> f64| {
            let points = self.0.iter().filter_map(|times| {
                let first = times.first()?;
                let median = Spread::of(&times.iter().map(of).collect::<Vec<f64>>()).middle;
                let Point {
                    cpus,
                    tasks,
                    waiting,
                    ..
                } = first;
                let cpus = if *cpus == 1 {
                    String::new()
                } else {
                    format!("{cpus} x ")
                };
                Some((format!("{cpus}{tasks} tasks, {waiting} wait"), median))
            });
            points.collect()
        };
        [
            Bars {
                title: "Growth with tasks and CPUs".to_owned(),
                unit: "decisions/s".to_owned(),
                bars: bars(&|point| point.decisions_per_second),
                reference: None,
            },
            Bars {
                title: "Growth with tasks and CPUs".to_owned(),
                unit: "MiB resident at the peak".to_owned(),
                bars: bars(&|point| point.peak_rss_bytes as f64 / f64::from(1 << 20)),
                reference: None,
            },
        ]
    }
}
