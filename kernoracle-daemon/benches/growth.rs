//! How time and memory of the oracle grow with the tasks and the CPUs, on made-up streams: `cargo bench -p kernoracle-daemon --bench growth`.
//!
//! Prints a line of JSON for each point, which is measured in a process of its own, so that its peak memory is its own. Events are made
//! in small lots, whose making is not timed.
//!
//! - `--quick`: few decisions.
//! - `point CPUS TASKS WAITING DECISIONS`: that point alone, in this process.
//! - `write FILE CPUS TASKS WAITING DECISIONS`: the stream as a trace file, for `kernoracle replay`.

#[path = "common/oracle.rs"]
mod oracle;
#[path = "common/stream.rs"]
mod stream;

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use kernoracle::oracle::outcome::{Decision, Sink, Unscored};
use kernoracle::oracle::{Learning, Oracle};
use kernoracle::trace::TraceWriter;
use kernoracle::trace::event::Event;
use kernoracle::trace::origin::{Origin, Scheduler};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use std::env;
use std::path::Path;
use std::process::Command;
use stream::{Shape, Stream};

/// Switches whose events are made at a time.
const LOT: usize = 512;
/// Decisions that are measured at each point, also with `--quick`.
const DECISIONS: usize = 100_000;
const FEW: usize = 10_000;

const fn shape(cpus: u32, tasks: u32, waiting: u32) -> Shape {
    Shape {
        cpus,
        tasks,
        waiting,
    }
}

const POINTS: [Shape; 12] = [
    // A third of the tasks waits.
    shape(1, 10, 3),
    shape(1, 100, 33),
    shape(1, 1_000, 333),
    shape(1, 10_000, 3_333),
    // However many sleep.
    shape(1, 100, 30),
    shape(1, 1_000, 30),
    shape(1, 10_000, 30),
    // What a run queue of ten times as many costs.
    shape(1, 1_000, 300),
    // CPUs, 30 tasks each.
    shape(1, 30, 10),
    shape(4, 30, 10),
    shape(16, 30, 10),
    shape(64, 30, 10),
];

fn main() -> Result<()> {
    let args: Vec<String> = env::args()
        .skip(1)
        // What cargo says to every bench.
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => all(DECISIONS),
        ["--quick"] => all(FEW),
        ["point", rest @ ..] => {
            let (shape, decisions) = asked_for(rest)?;
            point(shape, decisions)
        }
        ["write", file, rest @ ..] => {
            let (shape, decisions) = asked_for(rest)?;
            write(Path::new(file), shape, decisions)
        }
        _ => bail!("{args:?}: see the first lines of benches/growth.rs for what can be asked for"),
    }
}

fn asked_for(args: &[&str]) -> Result<(Shape, usize)> {
    let numbers: Vec<u32> = args
        .iter()
        .map(|arg| arg.parse().with_context(|| format!("{arg}: not a number")))
        .collect::<Result<_>>()?;
    let [cpus, tasks, waiting, decisions] = numbers[..] else {
        bail!("{args:?}: wanted are CPUS TASKS WAITING DECISIONS");
    };
    ensure!(
        cpus > 0 && waiting > 0 && tasks > waiting && decisions > 0,
        "{args:?}: more tasks than wait, and nothing that is 0"
    );
    Ok((shape(cpus, tasks, waiting), decisions as usize))
}

fn all(decisions: usize) -> Result<()> {
    let me = env::current_exe()?;
    for Shape {
        cpus,
        tasks,
        waiting,
    } in POINTS
    {
        let numbers = [cpus, tasks, waiting, decisions as u32];
        let status = Command::new(&me)
            .arg("point")
            .args(numbers.map(|number| number.to_string()))
            .status()?;
        ensure!(status.success(), "point {numbers:?}: {status}");
    }
    Ok(())
}

/// Enough for every task to have run and for the counts to hold as much as they ever will.
fn warm_up(shape: Shape) -> usize {
    let tasks = (shape.cpus * shape.tasks) as usize;
    20_000.max(5_000 * shape.cpus as usize) + 3 * tasks
}

struct Times {
    decisions: u64,
    hits: u64,
    at_switch: Histogram<u64>,
    refined: Histogram<u64>,
}

impl Times {
    fn new() -> Self {
        let times =
            || Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds are in range");
        Self {
            decisions: 0,
            hits: 0,
            at_switch: times(),
            refined: times(),
        }
    }
}

impl Sink for Times {
    fn decision(&mut self, decision: &Decision) {
        self.decisions += 1;
        self.hits += u64::from(decision.at_switch.rank == Some(1));
        let times = [
            (&mut self.at_switch, Some(&decision.at_switch)),
            (&mut self.refined, decision.refined.as_ref()),
        ];
        for (times, scored) in times {
            if let Some(ns) = scored.and_then(|scored| scored.inference_ns) {
                times.saturating_record(ns);
            }
        }
    }

    fn unscored(&mut self, _: u64, _: u32, _: Unscored) {}

    fn gap(&mut self, _: u64, _: u32, _: u64) {}
}

/// Plays so many switches. Returns the CPU time of the oracle alone, ns.
fn play(
    oracle: &mut Oracle,
    stream: &mut Stream,
    events: &mut Vec<Event>,
    switches: usize,
    times: &mut Times,
) -> Result<u64> {
    let (mut left, mut spent_ns) = (switches, 0);
    while left > 0 {
        let lot = left.min(LOT);
        stream.fill(events, lot);
        left -= lot;
        let begun_ns = thread_cpu_ns()?;
        for event in events.iter() {
            oracle.event(event, times);
        }
        spent_ns += thread_cpu_ns()? - begun_ns;
    }
    Ok(spent_ns)
}

fn point(shape: Shape, decisions: usize) -> Result<()> {
    let mut stream = Stream::new(shape);
    let mut events = Vec::new();
    let before_bytes = peak_rss_bytes()?;
    // The network's steps are in a thread of their own in `run`: they are left out here.
    let mut oracle = oracle::embedded(Learning::NEVER, true);
    play(
        &mut oracle,
        &mut stream,
        &mut events,
        warm_up(shape),
        &mut Times::new(),
    )?;
    let mut times = Times::new();
    let spent_ns = play(&mut oracle, &mut stream, &mut events, decisions, &mut times)?;
    ensure!(
        times.decisions == decisions as u64,
        "{shape:?}: {} of {decisions} switches were decided",
        times.decisions
    );
    let quantiles = |times: &Histogram<u64>| {
        json!({
            "count": times.len(),
            "p50": times.value_at_quantile(0.5),
            "p99": times.value_at_quantile(0.99),
            "p999": times.value_at_quantile(0.999),
        })
    };
    let peak_bytes = peak_rss_bytes()?;
    let line = json!({
        "cpus": shape.cpus,
        "tasks": shape.tasks,
        "waiting": shape.waiting,
        "decisions": times.decisions,
        "hits": times.hits,
        "decisions_per_second": decisions as f64 / (spent_ns as f64 / 1e9),
        "at_switch_ns": quantiles(&times.at_switch),
        "refined_ns": quantiles(&times.refined),
        "peak_rss_bytes": peak_bytes,
        "grown_by_bytes": peak_bytes - before_bytes,
    });
    println!("{line}");
    Ok(())
}

fn write(file: &Path, shape: Shape, decisions: usize) -> Result<()> {
    let origin = Origin {
        machine: env::consts::ARCH.to_owned(),
        scheduler: Scheduler::Eevdf,
        cpus: shape.cpus,
        command: format!("benches/growth.rs: {shape:?}"),
        recorder: env!("CARGO_PKG_VERSION").to_owned(),
        ..Origin::default()
    };
    let mut writer = TraceWriter::create(file, &origin)?;
    let (mut stream, mut events) = (Stream::new(shape), Vec::new());
    let mut left = decisions;
    while left > 0 {
        let lot = left.min(LOT);
        stream.fill(&mut events, lot);
        left -= lot;
        for event in &events {
            writer.write(event)?;
        }
    }
    writer.finish()?;
    Ok(())
}

fn thread_cpu_ns() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

fn peak_rss_bytes() -> Result<u64> {
    // Linux counts in KiB.
    Ok(getrusage(UsageWho::RUSAGE_SELF)?.max_rss() as u64 * 1024)
}
