//! Two processes on one CPU that pass a byte to and fro through pipes: nothing but switches.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{
    brackets::{Brackets, watched},
    part::{Bars, Goal, Part, Setup, Spread, TableOf},
    undisturbed::{self, Round},
    way::{WAYS, Way},
};
use crate::command;

/// ns that capture may add to a switch.
const CAPTURE_NS: f64 = 250.0;

/// Loops of a run: a twentieth of a second, in which a watcher's reader comes five times.
const LOOPS: u64 = 15_000;
/// Runs of a series.
const RUNS: usize = 12;
/// Loops that are not timed, before each series: the watcher's memory and the CPU's caches are as they will be.
const WARM_UP: u64 = 10_000;
/// Rounds for each that the other parts make.
const TIMES: usize = 3;

pub fn measure(setup: &Setup<'_>) -> Result<Part> {
    let (loops, rounds) = if setup.quick {
        (LOOPS / 5, setup.rounds)
    } else {
        (LOOPS, TIMES * setup.rounds)
    };
    let ns = Brackets::measure(rounds, watched(), |round, way| {
        let watching = way.start(setup)?;
        ns_per_switch(setup.cpu, WARM_UP)?;
        let runs = (0..RUNS).map(|_| ns_per_switch(setup.cpu, loops));
        let series = Series::of(runs.collect::<Result<_>>()?);
        watching.end()?;
        eprintln!(
            "[{}/{rounds}] ping-pong, {}: {:.0} ns/switch, at best {:.0}",
            round + 1,
            way.name(),
            series.mean,
            series.best()
        );
        Ok(series)
    })?;
    let mut part = part(setup, loops, rounds, &ns);
    part.tables.push(program_times(setup, loops)?);
    Ok(part)
}

/// ns a switch of a series of runs.
struct Series {
    runs: Vec<f64>,
    mean: f64,
}

impl Series {
    fn of(runs: Vec<f64>) -> Self {
        let mean = runs.iter().sum::<f64>() / runs.len() as f64;
        Self { runs, mean }
    }

    fn best(&self) -> f64 {
        self.runs.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// What the kernel says that each program takes.
fn program_times(setup: &Setup<'_>, loops: u64) -> Result<TableOf> {
    let watching = Way::Programs.start_with(setup, &["--time"])?;
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

fn part(setup: &Setup<'_>, loops: u64, rounds: usize, ns: &Brackets<Series>) -> Part {
    let mean = |series: &Series| series.mean;
    let against =
        |way: Way, how| Spread::against(&ns.figures(way, mean), &ns.unwatched(way, mean), how);
    let undisturbed = |way: Way| {
        let rounds = ns.rounds(way).map(|(watched, unwatched)| Round {
            watched: &watched.runs,
            unwatched: unwatched.iter().map(|row| &row.runs[..]).collect(),
        });
        undisturbed::added(&rounds.collect::<Vec<_>>())
    };
    let median = |way: Way| Spread::of(&ns.figures(way, mean));
    let mut table = TableOf::new(
        "",
        &[
            "watched by",
            "ns/switch",
            "+ns to nothing",
            "times nothing",
            "+ns, undisturbed",
        ],
    );
    for way in WAYS {
        table.rows.push(vec![
            way.name().to_owned(),
            median(way).to_string(),
            against(way, |value, base| value - base).to_string(),
            against(way, |value, base| value / base).to_string(),
            if way == Way::Nothing {
                "-".to_owned()
            } else {
                undisturbed(way).to_string()
            },
        ]);
    }
    let programs = undisturbed(Way::Programs);
    let unwatched: Vec<&[f64]> = (ns.runs(Way::Nothing).iter())
        .map(|row| &row.runs[..])
        .collect();
    let added = |way: Way| against(way, |value, base| value - base);
    let (record, perf) = (added(Way::Record), added(Way::PerfSched));
    Part {
        title: "Pipe ping-pong on one CPU".to_owned(),
        about: format!(
            "`perf bench sched pipe -l {loops}` on CPU {}, {RUNS} times in a row behind one of {WARM_UP} loops that does not count, and what watches it (`--cpu`; perf's `-C`) on \
             the same CPU unless said; {rounds} rounds, in each all ways one after another; of the means of such rows the median, in \
             brackets the least and the most; differences and ratios are to the mean of two rows that nobody watched, right before and right behind. *Undisturbed*: the lower decile of the runs \
             of all rows against that of all unwatched ones, for what disturbs a virtual machine only adds, in brackets the middle 90 % of a bootstrap over the rounds; unwatched it is {:.0} ns; what a watcher does less than twenty times a second is not in that (writing a file, predicting a burst). *In a pause*: the same programs are called and return at once (a switch is counted): \
             no program at these trace points costs less (`kernoracle attach pause`). *eBPF programs only*: records are written, and taken \
             every 10 ms by a reader that looks at their headers and counts them (`kernoracle attach discard`). *counting*: one program on `sched_switch` that counts by \
             next comm in a hash map, what the bpftrace one-liner `tracepoint:sched:sched_switch {{ \
             @[args.next_comm] = count(); }}` does, but attached to the BTF trace point (`kernoracle attach \
             count`); bpftrace itself is not run.",
            setup.cpu,
            undisturbed::level(&unwatched),
        ),
        tables: vec![table],
        goals: vec![
            Goal {
                what: "capture, drain included, same CPU (ping-pong, undisturbed)".to_owned(),
                goal: format!("<= +{CAPTURE_NS:.0} ns/switch, the bracket's end too"),
                got: format!("+{programs} ns/switch; by means +{}", added(Way::Programs)),
                met: programs.high <= CAPTURE_NS,
            },
            Goal {
                what: "recording to a file, same CPU (ping-pong)".to_owned(),
                goal: format!("below perf sched record's +{perf} ns"),
                got: format!("+{record} ns/switch"),
                met: record.middle < perf.middle,
            },
        ],
        bars: vec![Bars {
            title: "Pipe ping-pong on one CPU: added to an undisturbed switch".to_owned(),
            unit: "ns".to_owned(),
            bars: WAYS
                .iter()
                .filter(|way| **way != Way::Nothing)
                // A bar begins at nothing; what is below that stands in the table.
                .map(|&way| (way.name().to_owned(), undisturbed(way).middle.max(0.0)))
                .collect(),
            reference: Some(CAPTURE_NS),
        }],
    }
}
