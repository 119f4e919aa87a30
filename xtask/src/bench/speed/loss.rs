//! Events that are lost at the default ring, with the daemon on the CPU of the load.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    part::{Goal, Part, Setup, TableOf},
    way::Way,
};
use crate::bench::{
    keep_off::Programs,
    loads::{self, Load},
    machine::{About, Plan},
    quiet::Noise,
    record::Recorder,
};

/// What a run says at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    seconds: f64,
    /// All of them: predicted, recorded, or passed by.
    switches: u64,
    /// Records that came through the ring.
    events: u64,
    lost: u64,
    /// Of the switches, those predicted; of `run` only.
    coverage: Option<f64>,
    first_prediction_s: Option<f64>,
    resident_mib: Option<f64>,
}

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let seconds = if setup.quick { 5 } else { 60 };
    let mut table = TableOf::new(
        "",
        &[
            "load",
            "watched by",
            "s",
            "switches/s",
            "events/s",
            "coverage",
            "lost events",
            "resident MiB",
            "first prediction s",
        ],
    );
    let mut runs = Vec::new();
    let mut add = |load: &str, way: Way, held: Held| {
        eprintln!("loss, {load}, {}: {held:?}", way.name());
        let of = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        table.rows.push(vec![
            load.to_owned(),
            way.name().to_owned(),
            format!("{:.0}", held.seconds),
            format!("{:.0}", held.switches as f64 / held.seconds),
            format!("{:.0}", held.events as f64 / held.seconds),
            of(held.coverage, 3),
            held.lost.to_string(),
            of(held.resident_mib, 0),
            of(held.first_prediction_s, 2),
        ]);
        runs.push((way, held));
    };
    for way in [Way::RunSame, Way::Record] {
        add("ping-pong", way, ping_pong(setup, way, seconds)?);
    }
    if !setup.quick {
        let all: Vec<&Load> = loads::LOADS.iter().collect();
        let about = About::now(
            setup.workspace,
            &all,
            Plan {
                cpu: setup.cpu,
                switches: 0,
                seconds,
                rounds: 1,
            },
        )?;
        for load in &loads::LOADS {
            add(load.name, Way::RunSame, of_load(setup, &about, load)?);
        }
    }
    let goals = goals(&runs);
    Ok(Part {
        title: "Loss".to_owned(),
        about: format!(
            "The daemon on CPU {}, which the load fills, watching that CPU (`--cpu`), with the default ring (`run` 4 MiB, `record` 16 MiB). Ping-pong runs without a \
             rest for {seconds} s, so its rate is the highest that is held beside each of them. *events* are what \
             came through the ring; of `run`, switches beyond the budget pass by and are counted in the kernel. \
             Resident memory is the most at any time; the ring is in it. Each further \
             CPU that is watched adds up to 19 MiB of counts and windows.",
            setup.cpu
        ),
        tables: vec![table],
        goals,
        bars: Vec::new(),
    })
}

fn goals(runs: &[(Way, Held)]) -> Vec<Goal> {
    let run = || runs.iter().filter(|(way, _)| *way == Way::RunSame);
    let lost: u64 = run().map(|(_, held)| held.lost).sum();
    let predicted = run().count();
    let most = |of: fn(&Held) -> Option<f64>| {
        runs.iter()
            .filter_map(|(_, held)| of(held))
            .reduce(f64::max)
    };
    let mut goals = vec![Goal {
        what: format!(
            "events lost at the default ring by `run` on the load's CPU, {predicted} loads"
        ),
        goal: "0".to_owned(),
        got: lost.to_string(),
        met: lost == 0,
    }];
    if let Some(mib) = most(|held| held.resident_mib) {
        goals.push(Goal {
            what: "resident memory of `run`, the ring's mapping included".to_owned(),
            goal: "<= 64 MiB".to_owned(),
            got: format!("{mib:.0} MiB"),
            met: mib <= 64.0,
        });
    }
    if let Some(s) = most(|held| held.first_prediction_s) {
        goals.push(Goal {
            what: "first prediction after the start, on the load's CPU".to_owned(),
            goal: "<= 1 s".to_owned(),
            got: format!("{s:.2} s"),
            met: s <= 1.0,
        });
    }
    goals
}

fn ping_pong(setup: &Setup<'_>, way: Way, seconds: u64) -> Result<Held> {
    let watching = way.start(setup)?;
    let mut bench = Command::new("timeout");
    bench
        .args([
            &seconds.to_string(),
            "taskset",
            "-c",
            &setup.cpu.to_string(),
        ])
        .args(["perf", "bench", "sched", "pipe", "-l", "2000000000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    bench.status().context("timeout")?;
    held(way, &watching.end()?)
}

fn of_load(setup: &Setup<'_>, about: &About, load: &'static Load) -> Result<Held> {
    let logs = setup.work.join("logs");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let programs = Programs::default();
    let recorder = Recorder {
        workspace: setup.workspace,
        kernoracle: &setup.kernoracle,
        about,
        logs: &logs,
        noise: Noise::Tell,
        programs: &programs,
    };
    let mut running = recorder.start(load)?;
    running.wait_until_ready()?;
    let watching = Way::RunSame.start(setup)?;
    thread::sleep(Duration::from_secs(20));
    let said = watching.end()?;
    running.end()?;
    held(Way::RunSame, &said)
}

fn held(way: Way, said: &str) -> Result<Held> {
    if way == Way::Record {
        return recorded(said).with_context(|| format!("kernoracle record: cannot read {said:?}"));
    }
    let end = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["type"] == "final")
        .with_context(|| format!("kernoracle run: no final line in {said:?}"))?;
    let count = |path: &str| end.pointer(path).and_then(Value::as_u64);
    let number = |path: &str| end.pointer(path).and_then(Value::as_f64);
    let read = || {
        let (seen, scored) = (count("/scores/seen")?, count("/scores/scored")?);
        Some(Held {
            seconds: number("/elapsed_s")?,
            switches: seen,
            events: count("/kernel/arrived_events")?,
            lost: count("/kernel/lost_events")?,
            coverage: (seen > 0).then(|| scored as f64 / seen as f64),
            first_prediction_s: number("/cost/first_prediction_s"),
            resident_mib: number("/cost/resident_bytes").map(|bytes| bytes / f64::from(1 << 20)),
        })
    };
    read().with_context(|| format!("kernoracle run: figures missing in {end}"))
}

/// `kernel side: arrived 847252 + lost 0 = produced 847252 (dropped 0); switches 401538, …; … in 10.0 s`
fn recorded(said: &str) -> Option<Held> {
    let after = |text: &str, key: &str| -> Option<f64> {
        let (_, rest) = text.split_once(key)?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    let kernel = said.lines().find(|line| line.starts_with("kernel side:"))?;
    Some(Held {
        seconds: after(said, " in ")?,
        switches: after(kernel, "; switches ")? as u64,
        events: after(kernel, "arrived ")? as u64,
        lost: after(kernel, "lost ")? as u64,
        ..Held::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_record_says() {
        let said = "events 5 (switches 2), lost 1 in 2.5 s; 9 bytes, 1.8 bytes/event\n\
                    kernel side: arrived 5 + lost 1 = produced 6 (dropped 1); switches 3, of them dropped 1; own\n";
        let held = recorded(said).unwrap();
        assert_eq!(
            (held.seconds, held.switches, held.events, held.lost),
            (2.5, 3, 5, 1)
        );
        assert_eq!(recorded("error: no"), None);
    }

    #[test]
    fn reads_the_end_of_a_run() {
        let said = r#"{"type":"start"}
{"type":"final","elapsed_s":2.0,"scores":{"seen":10,"scored":4},"kernel":{"arrived_events":20,"lost_events":0},"cost":{"resident_bytes":1048576,"first_prediction_s":0.5}}"#;
        let held = held(Way::RunSame, said).unwrap();
        assert_eq!(held.coverage, Some(0.4));
        assert_eq!(
            (held.resident_mib, held.first_prediction_s),
            (Some(1.0), Some(0.5))
        );
    }
}
