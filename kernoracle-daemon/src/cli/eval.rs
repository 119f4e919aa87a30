//! `kernoracle eval`.

use super::{
    diagnostics,
    options::{InlineLearning, OracleOptions, scheduler_name},
    replay::truncated,
    units,
};
use crate::{
    oracle::Oracle,
    report::{
        Format,
        evaluation::{Evaluation, Load, LoadScore, Parts},
        score::{Score, Scores},
    },
    trace::{
        TraceReader,
        event::{Body, Event},
    },
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Events between two looks at the progress bar.
const PROGRESS_EVERY: u32 = 4096;

/// Score model and baselines on trace files
///
/// Plays each file through a fresh oracle: every switch is predicted, scored, and
/// only then learned from (prequential). Prints, for each file and as the mean
/// over files (in which each file counts the same), of the model and of the
/// baselines (order-1; back-off-8, whose probabilities are PPM-C's over four
/// successors a context; an exact PPM-C of order 8; the scheduler's pick):
///   top-1          share of switches whose next task was the first choice
///   top-5          share whose next task was among the first five
///   bits/switch    mean of -log2 of the probability given to the actual next task
///   ECE            expected calibration error of the first choice's probability, 15 bins
///   without idle   the same over the switches whose next task is not idle
///   run time       median of |predicted - actual| / actual, and the same of the task's running median
///   misses         at-switch misses by cause, and what each costs in top-1
/// once over all switches and once behind the warm-up; then how good the start is:
/// the first 1,000 scored switches beside the rest and the last half, and the same
/// 1,000 played again when the file has been learned (again).
///
/// Examples:
///   kernoracle eval nginx.kot hackbench.kot
///   kernoracle eval --model a.safetensors --no-learn --json *.kot | jq .macro_mean.at_switch.all.top1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Trace files, as record writes them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print JSON; the fields are in docs/log-fields.md
    #[arg(long)]
    json: bool,

    /// Share of each file's switches that the second set of figures leaves out
    #[arg(long, value_name = "SHARE", default_value = "70%", value_parser = units::share_from_zero)]
    warm_up: f64,

    #[command(flatten)]
    oracle: OracleOptions,

    #[command(flatten)]
    inline: InlineLearning,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(Format::Text)?;
    // All headers first: a bad file is known before hours were spent on the good ones.
    for file in &args.files {
        TraceReader::open(file)?;
    }
    let mut loads = Vec::new();
    let mut cut = None;
    for file in &args.files {
        let (load, lost) = evaluate(file, args)?;
        cut = cut.or_else(|| lost.map(|lost| truncated(file, &lost)));
        loads.push(load);
    }
    let evaluation = Evaluation::new(args.warm_up, loads);
    let mut out = io::stdout().lock();
    if args.json {
        let json = serde_json::to_string_pretty(&evaluation)?;
        writeln!(out, "{json}")?;
    } else {
        out.write_all(evaluation.text().as_bytes())?;
    }
    out.flush()?;
    cut.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn evaluate(file: &Path, args: &Args) -> anyhow::Result<(Load, Option<crate::trace::Lost>)> {
    let switches = count_switches(file)?;
    let mut reader = TraceReader::open(file)?;
    let origin = reader.origin().clone();
    let mut oracle =
        Oracle::new(args.oracle.config(args.inline.learning(), false), &origin)?.with_ppm8();
    let mut score = LoadScore::new(switches, args.warm_up);
    let progress = progress_bar(file);
    let mut events = 0_u32;
    let mut end_ns = 0;
    while let Some(event) = reader.next_event()? {
        end_ns = event.ts_ns;
        oracle.event(event, &mut score);
        events = events.wrapping_add(1);
        if events.is_multiple_of(PROGRESS_EVERY) {
            let (size, position) = reader.position();
            progress.set_length(size);
            progress.set_position(position);
        }
    }
    progress.finish_and_clear();
    let Parts {
        all,
        after_warm_up,
        first_1000,
        after_first_1000,
        last_half,
    } = score.scores();
    let first_1000_again = again(file, first_1000.seen, &mut oracle, end_ns)?;
    oracle.stop_learning();
    let lost = reader.lost().cloned();
    let load = Load {
        file: file.display().to_string(),
        kernel: origin.kernel,
        scheduler: scheduler_name(origin.scheduler).to_owned(),
        command: origin.command,
        all,
        after_warm_up,
        first_1000,
        first_1000_again,
        after_first_1000,
        last_half,
        trace_lost: lost.as_ref().map(Into::into),
    };
    Ok((load, lost))
}

/// Between a file's end and its start when that is played again.
const APART: Duration = Duration::from_secs(1);

/// The file's first `switches` once more, behind its end at `end_ns`. Who waits and who sleeps, the snapshot that a file begins with tells
/// again.
fn again(file: &Path, switches: u64, oracle: &mut Oracle, end_ns: u64) -> anyhow::Result<Scores> {
    let mut score = Score::new(true);
    let mut reader = TraceReader::open(file)?;
    let mut shift = None;
    oracle.rewind();
    let mut seen = 0;
    while seen < switches
        && let Some(event) = reader.next_event()?
    {
        let shift = *shift
            .get_or_insert_with(|| (end_ns + APART.as_nanos() as u64).saturating_sub(event.ts_ns));
        let event = Event {
            ts_ns: event.ts_ns + shift,
            ..event.clone()
        };
        seen += u64::from(matches!(event.body, Body::Switch(_)));
        oracle.event(&event, &mut score);
    }
    Ok(score.scores())
}

fn count_switches(file: &Path) -> anyhow::Result<u64> {
    let mut reader = TraceReader::open(file)?;
    let mut switches = 0;
    while let Some(event) = reader.next_event()? {
        switches += u64::from(matches!(event.body, Body::Switch(_)));
    }
    Ok(switches)
}

/// Hidden where standard error is no terminal.
fn progress_bar(file: &Path) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {percent}% {eta}")
        .expect("the template is well-formed");
    ProgressBar::new(0)
        .with_style(style)
        .with_message(file.display().to_string())
}
