//! `kernoracle run`.

use super::{
    diagnostics,
    live::{Arrivals, BUDGET, CaptureOptions, monotonic_ns},
    options::{OracleOptions, OutputOptions, SaveModel, start_line},
    signals::Stop,
    units,
};
use crate::{
    oracle::{Learning, Oracle},
    probe::{Capture, ProbeError},
    report::{Ending, OutputError, Reporter, WhenFull},
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
/// time; switches not scored, events lost, lines that a slow output made it shed;
/// learning steps.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    capture: CaptureOptions,

    #[command(flatten)]
    oracle: OracleOptions,

    /// Share of one CPU that learning may use
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
        learn_cpu,
        save,
        output,
    } = args;
    let _diagnostics = diagnostics::start(output.log_format)?;
    output.check()?;
    save.check()?;
    let stop = Stop::on_signals()?;
    let mut capture = options.start()?;
    let learning = Learning::Background {
        cpu_share: learn_cpu,
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
    let mut watch = Watch {
        capture: &mut capture,
        oracle: &mut predictor,
        reporter: &mut reporter,
        arrivals: Arrivals::default(),
        ring_bytes: options.ring_bytes(),
        overload: false,
    };
    let watched =
        watch.until(|| stop.requested() || end_ns.is_some_and(|end| monotonic_ns() >= end));
    let watched = watched.and_then(|()| watch.rest());
    let arrivals = watch.arrivals;

    let kernel = arrivals.beside(&capture);
    let finished = reporter.finish(Ending {
        ts_ns: monotonic_ns(),
        learner: predictor.learner(),
        kernel: kernel.as_ref().ok().cloned(),
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

/// The live loop.
struct Watch<'a> {
    capture: &'a mut Capture,
    oracle: &'a mut Oracle,
    reporter: &'a mut Reporter,
    arrivals: Arrivals,
    ring_bytes: usize,
    overload: bool,
}

impl Watch<'_> {
    /// Predicts until `done`, or until nobody reads the output.
    fn until(&mut self, done: impl Fn() -> bool) -> Result<(), ProbeError> {
        let mut backlog = 0;
        while !done() && !self.reporter.closed() {
            if backlog == 0 {
                self.capture.wait()?;
            }
            (_, backlog) = self.step()?;
        }
        Ok(())
    }

    /// Takes what is left in the ring once recording is off.
    fn rest(&mut self) -> Result<(), ProbeError> {
        self.capture.stop()?;
        loop {
            let (events, backlog) = self.step()?;
            if events == 0 && backlog == 0 {
                return Ok(());
            }
        }
    }

    /// One drain. Returns the events that it gave and the bytes that it left.
    fn step(&mut self) -> Result<(u64, usize), ProbeError> {
        let Self {
            capture,
            oracle,
            reporter,
            arrivals,
            ring_bytes,
            overload,
        } = self;
        let before = arrivals.switches;
        let drained = capture.drain(BUDGET, &mut |event| {
            arrivals.add(event);
            oracle.event(event, &mut **reporter);
        })?;
        reporter.switches(arrivals.switches - before);
        let backlog = drained.backlog_bytes;
        // Far behind, predictions would lead nothing: catch up first, and count what is not predicted.
        if backlog > *ring_bytes / 4 {
            *overload = true;
        } else if backlog < *ring_bytes / 16 {
            *overload = false;
        }
        oracle.set_overload(*overload);
        if backlog == 0 {
            oracle.settle();
        }
        let now_ns = monotonic_ns();
        if reporter.due(now_ns) {
            reporter.summary(now_ns, oracle.learner());
        } else {
            reporter.flush(now_ns);
        }
        Ok((drained.events, backlog))
    }
}
