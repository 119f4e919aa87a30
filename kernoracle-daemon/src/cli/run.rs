//! `kernoracle run`.

use super::{
    diagnostics,
    live::{CaptureOptions, RingFor, monotonic_ns},
    options::{OracleOptions, OutputOptions, SaveModel, start_line},
    signals::Stop,
    units::{self, Limit},
    watch::Watch,
};
use crate::{
    budget::Budget,
    oracle::{Learning, Oracle},
    report::{Ending, OutputError, WhenFull},
};
use std::process::ExitCode;

/// Predict every switch of the running kernel, and show it live
///
/// Traces the scheduler of this machine (root is needed), predicts each switch
/// before it happens, and logs a sample of the predictions beside what really
/// happened, a summary every second, and a table at the end (--duration, Ctrl-C
/// or SIGTERM). It starts from the default model, which the program holds, and
/// learns while it runs, in a thread of the lowest priority.
///
/// Examples:
///   kernoracle run --duration 30s
///   kernoracle run --cpu 0 --task 'nginx|ab' --every-switch
///   kernoracle run --log-format json --duration 1m | jq .top1
///
/// The columns of a line:
///   time s          since the start
///   cpu             where the switch was
///   task that ran   comm/pid of the task that left
///   for             how long it ran; (predicted): the median that was predicted
///   predicted next  the most likely next task, from events up to the previous
///                   switch; p: its probability
///   actual next     the task that entered
///   rank            its place among the candidates: 1 is a hit; - if not one
///   lead            how long before the switch the prediction was ready;
///                   negative: after it
///   refined         the same decision, predicted again after the last wake-up
///                   before the switch
///
/// In the summary: switches per second, share of hits (top-1), share among the
/// first five (top-5), bits per switch; the same top-1 of the baselines; of the
/// refined prediction; the share of predictions ahead of the switch; inference
/// time; the share of one CPU that this program used; coverage, the share of
/// switches that were predicted, if not all; switches not scored, events lost,
/// lines that a slow output made it shed; learning steps.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    capture: CaptureOptions,

    #[command(flatten)]
    oracle: OracleOptions,

    /// Share of one CPU that this program may use, learning included; of a CPU that is never idle it takes at
    /// most a fifth of that. Where the load switches faster than this allows, it predicts bursts of
    /// switches and lets those between pass by, counted. 100% or off: no limit
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = units::limit, help_heading = "Oracle")]
    cpu_budget: Limit,

    /// Share of one CPU that learning may use, at most half of the budget
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = units::share, help_heading = "Oracle")]
    learn_cpu: f64,

    #[command(flatten)]
    save: SaveModel,

    #[command(flatten)]
    output: OutputOptions,
}

pub(super) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        capture: options,
        oracle,
        cpu_budget: Limit(budget),
        learn_cpu,
        save,
        output,
    } = args;
    let _diagnostics = diagnostics::start(output.log_format)?;
    output.check()?;
    save.check()?;
    let stop = Stop::on_signals()?;
    let ring = if budget.is_some() {
        RingFor::Bursts
    } else {
        RingFor::Everything
    };
    let mut capture = options.start(ring)?;
    let learning = Learning::Background {
        cpu_share: budget.map_or(learn_cpu, |budget| learn_cpu.min(budget / 2.0)),
    };
    let mut predictor = Oracle::new(oracle.config(learning, true), capture.origin())?;
    let start_ns = monotonic_ns();
    let mut reporter = output.reporter(WhenFull::Shed, oracle.seed, start_ns)?;
    reporter.start(start_line(
        "run",
        capture.origin(),
        capture.findings(),
        &predictor,
        oracle.seed,
    ));

    let end_ns = options
        .duration
        .map(|duration| start_ns.saturating_add(duration.as_nanos() as u64));
    let mut watch = Watch::new(
        &mut capture,
        &mut predictor,
        &mut reporter,
        options.ring_bytes(ring),
        budget.map(Budget::new),
    );
    let watched =
        watch.until(|| stop.requested() || end_ns.is_some_and(|end| monotonic_ns() >= end));
    let watched = watched.and_then(|()| watch.rest());
    let cost = watch.cost();
    let arrivals = watch.arrivals();

    let kernel = arrivals.beside(&capture);
    let finished = reporter.finish(Ending {
        ts_ns: monotonic_ns(),
        learner: predictor.learner(),
        kernel: kernel.as_ref().ok().cloned(),
        cost: Some(cost),
        trace_lost: None,
    });
    // Behind the table: on a busy CPU the learner, of the lowest priority, may take long to end its step.
    predictor.stop_learning();
    save.save(&predictor)?;
    watched?;
    kernel?;
    match finished {
        Ok(()) | Err(OutputError::Closed) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}
