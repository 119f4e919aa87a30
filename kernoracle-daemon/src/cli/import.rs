//! `kernoracle import`.

use super::{diagnostics, options::check_directory, signals::Stop};
use crate::{
    report,
    trace::import::{Counts, Format, Imported, Options, import},
};
use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

/// Make a trace file of the text that another tool printed
///
/// Takes what perf sched map, perf script (sched events), trace-cmd report and the
/// file trace of tracefs print; which of them it is, its content tells. Lines that
/// are not understood are counted and the first three shown. Lost events that the
/// tool tells of become gaps. What the text lacks is absent, not zero: none has the
/// scheduler's state, so the scheduler baseline is weak on such a trace; perf sched
/// map has no wake-ups and no states either.
///
/// Examples:
///   perf sched record -k CLOCK_MONOTONIC -- make -j4
///   perf script --ns --header | kernoracle import - -o build.kot
///   perf sched map > map.txt; kernoracle import map.txt -o map.kot
///   kernoracle import --strict /sys/kernel/tracing/trace -o a.kot
///   kernoracle eval build.kot
///
/// Formats and what each lacks: docs/import.md.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The text; - is standard input
    file: PathBuf,

    /// The trace file, there only once it is whole; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// What the text is, if its content should not decide
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Refuse a text with a line that is not understood
    #[arg(long)]
    strict: bool,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(report::Format::Text)?;
    let Args {
        file,
        output,
        format,
        strict,
    } = args;
    if output.as_os_str() != "-" {
        check_directory(output)?;
    }
    let stop = Stop::on_signals()?;
    let options = Options {
        input: file,
        output,
        format: *format,
        strict: *strict,
    };
    let imported = import(&options, &|| stop.requested())?;
    eprint!("{}", summary(&imported));
    Ok(ExitCode::SUCCESS)
}

fn summary(imported: &Imported) -> String {
    let Imported {
        format,
        counts,
        events,
        bytes,
        woken_by_waking,
        absent,
        backwards,
        reused_names,
    } = imported;
    let Counts {
        lines,
        used,
        blank,
        other,
        lost_lines,
        wrong,
        switches,
        first_wrong,
        lost_events,
    } = counts;
    let mut text = format!(
        "{}: lines {lines} = used {used} + blank or comment {blank} + other events {other} + losses {lost_lines} + wrong {wrong}\n\
         events {events} (switches {switches}), lost {lost_events}; {bytes} bytes\n\
         absent: {}\n",
        format.name(),
        absent.join(", ")
    );
    for line in first_wrong {
        _ = writeln!(text, "wrong {line}");
    }
    if *wrong > first_wrong.len() as u64 {
        _ = writeln!(
            text,
            "wrong lines that are not shown: {}",
            wrong - first_wrong.len() as u64
        );
    }
    if *woken_by_waking {
        text.push_str("sched_wakeup is not in the text: sched_waking stands for both\n");
    }
    if *backwards > 0 {
        _ = writeln!(text, "time runs back on its CPU at {backwards} events");
    }
    if *reused_names > 0 {
        _ = writeln!(
            text,
            "short names given to another task: {reused_names}; switches to the former may name the latter"
        );
    }
    text
}
