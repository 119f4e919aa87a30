//! Two processes on one CPU that pass a byte to and fro through pipes: nothing but switches.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{
    brackets::Brackets,
    part::{Bars, Goal, Part, Setup, Spread, TableOf},
    way::{WAYS, Way},
};
use crate::command;

/// ns that capture may add to a switch.
const CAPTURE_NS: f64 = 250.0;

/// Loops of a run: a quarter of a second. What disturbs a machine comes and goes within seconds, so many short runs tell more
/// than a few long ones.
const LOOPS: u64 = 50_000;
/// Loops that are not timed, before each run: the watcher's memory and the CPU's caches are as they will be.
const WARM_UP: u64 = 10_000;
/// Rounds for each that the other parts make.
const TIMES: usize = 3;

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let (loops, rounds) = if setup.quick {
        (LOOPS / 5, setup.rounds)
    } else {
        (LOOPS, TIMES * setup.rounds)
    };
    let ns = Brackets::measure(rounds, |round, way| {
        let watching = way.start(setup)?;
        ns_per_switch(setup.cpu, WARM_UP)?;
        let figure = ns_per_switch(setup.cpu, loops)?;
        watching.end()?;
        eprintln!(
            "[{}/{rounds}] ping-pong, {}: {figure:.0} ns/switch",
            round + 1,
            way.name()
        );
        Ok(figure)
    })?;
    let mut part = part(setup, loops, rounds, &ns);
    part.tables.push(program_times(setup, loops)?);
    Ok(part)
}

/// What the kernel says that each program takes.
fn program_times(setup: &Setup<'_>, loops: u64) -> Result<TableOf> {
    let options = ["--time", "--cpu", &setup.cpu.to_string()];
    let watching = Way::Programs.start_with(setup, &options)?;
    ns_per_switch(setup.cpu, loops)?;
    let said = watching.end()?;
    let mut table = TableOf::new(
        "Time inside each program by `BPF_ENABLE_STATS`, which is in these figures too (`kernoracle attach discard --time`)",
        &["program", "calls a switch", "ns a call"],
    );
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let (Some(program), Some(calls), Some("calls"), Some(ns), Some("ns")) = (
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        ) else {
            continue;
        };
        let calls: f64 = calls.parse().with_context(|| line.to_owned())?;
        let a_switch = calls / (2 * loops) as f64;
        // Of the others there is less than one in a thousand switches.
        if a_switch >= 0.001 {
            table.rows.push(vec![
                program.to_owned(),
                format!("{a_switch:.2}"),
                ns.to_owned(),
            ]);
        }
    }
    ensure!(!table.rows.is_empty(), "kernoracle attach --time: {said:?}");
    Ok(table)
}

/// A loop is two switches: there and back.
fn ns_per_switch(cpu: usize, loops: u64) -> Result<f64> {
    let mut bench = Command::new("taskset");
    bench.args(["-c", &cpu.to_string(), "perf", "bench"]).args([
        "sched",
        "pipe",
        "-l",
        &loops.to_string(),
    ]);
    let output = command::quiet_output(&mut bench)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "perf bench sched pipe: {text}");
    // Not `-f simple`: that has milliseconds, of which a short run takes few.
    let line = text.lines().find(|line| line.trim().ends_with("usecs/op"));
    let us: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .with_context(|| format!("perf bench sched pipe: no usecs/op: {text:?}"))?
        .parse()
        .with_context(|| format!("perf bench sched pipe: {text:?}"))?;
    Ok(us * 1e3 / 2.0)
}

fn part(setup: &Setup<'_>, loops: u64, rounds: usize, ns: &Brackets<f64>) -> Part {
    let figures = |way: Way| ns.figures(way, |ns| *ns);
    let against = |way: Way, how| Spread::against(&figures(way), &ns.unwatched(way, |ns| *ns), how);
    let mut table = TableOf::new(
        "",
        &["watched by", "ns/switch", "+ns to nothing", "times nothing"],
    );
    for way in WAYS {
        table.rows.push(vec![
            way.name().to_owned(),
            Spread::of(&figures(way)).to_string(),
            against(way, |value, base| value - base).to_string(),
            against(way, |value, base| value / base).to_string(),
        ]);
    }
    let added = |way: Way| against(way, |value, base| value - base);
    let (programs, record, perf) = (
        added(Way::Programs),
        added(Way::Record),
        added(Way::PerfSched),
    );
    let median = |way: Way| Spread::of(&figures(way)).median;
    Part {
        title: "Pipe ping-pong on one CPU".to_owned(),
        about: format!(
            "`perf bench sched pipe -l {loops}` on CPU {}, and what watches on the same CPU unless said; {rounds} rounds, \
             in each all ways one after another, and before each run one of {WARM_UP} loops that does not count; median, in \
             brackets the least and the most; differences and ratios are to the mean of two runs that nobody watched, right before and right behind. *In a pause*: the same programs are called and return at once (a switch is counted): \
             no program at these trace points costs less (`kernoracle attach pause`). *eBPF programs only*: records are written, and taken \
             every 10 ms by a reader that looks at their headers and counts them (`kernoracle attach discard`). *counting*: one program on `sched_switch` that counts by \
             next comm in a hash map, what the bpftrace one-liner `tracepoint:sched:sched_switch {{ \
             @[args.next_comm] = count(); }}` does, but attached to the BTF trace point (`kernoracle attach \
             count`); bpftrace itself is not run.",
            setup.cpu,
        ),
        tables: vec![table],
        goals: vec![
            Goal {
                what: "capture, drain included, same CPU (ping-pong)".to_owned(),
                goal: format!("<= +{CAPTURE_NS:.0} ns/switch"),
                got: format!("+{programs} ns/switch"),
                met: programs.median <= CAPTURE_NS,
            },
            Goal {
                what: "recording to a file, same CPU (ping-pong)".to_owned(),
                goal: format!("below perf sched record's +{perf} ns"),
                got: format!("+{record} ns/switch"),
                met: record.median < perf.median,
            },
        ],
        bars: vec![Bars {
            title: "Pipe ping-pong on one CPU".to_owned(),
            unit: "ns/switch".to_owned(),
            bars: WAYS
                .iter()
                .map(|&way| (way.name().to_owned(), median(way)))
                .collect(),
            reference: Some(median(Way::Nothing)),
        }],
    }
}
