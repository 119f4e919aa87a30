//! `kernoracle export`.

use super::{diagnostics, options::check_directory, replay::truncated, signals::Stop};
use crate::{
    report,
    trace::export::{Exported, Format, export, markdown},
};
use anyhow::Context as _;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Write the switches of a trace file as a table
///
/// One row a switch: time, time since the last one, CPU, who left and who entered
/// (pid, process, name, priority), the state of the one that left, and the
/// scheduler's state of both. What is absent is empty in CSV and null in Parquet.
/// Lost events show in the column lost_before of the next row of their CPU.
///
/// Examples:
///   kernoracle export a.kot --to csv -o a.csv
///   kernoracle export a.kot --to csv -o - | cut -d, -f1,3,5,11 | head
///   kernoracle export a.kot --to parquet -o a.parquet
///
/// The columns: docs/export.md, or --columns. A file that was cut is exported up to
/// its last whole block, and the exit status is 2.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A trace file, as record and import write it; - is standard input
    #[arg(required_unless_present = "columns")]
    file: Option<PathBuf>,

    /// The kind of table
    #[arg(long, value_name = "FORMAT", required_unless_present = "columns")]
    to: Option<Format>,

    /// The table, there only once it is whole; - is standard output
    #[arg(short, long, value_name = "FILE", required_unless_present = "columns")]
    output: Option<PathBuf>,

    /// Print the columns and what they mean
    #[arg(long, exclusive = true)]
    columns: bool,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(report::Format::Text)?;
    let Args {
        file,
        to,
        output,
        columns: _,
    } = args;
    let (Some(file), Some(to), Some(output)) = (file, to, output) else {
        io::stdout().lock().write_all(markdown().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    if output.as_os_str() != "-" {
        check_directory(output)?;
    }
    let stop = Stop::on_signals()?;
    let exported = match export(file, output, *to, &|| stop.requested()) {
        // `| head` had enough.
        Err(crate::trace::export::ExportError::Io { source, .. })
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Err(source).context("standard output");
        }
        exported => exported?,
    };
    let Exported {
        rows,
        gaps,
        lost_events,
        lost_behind,
        trace_lost,
    } = exported;
    eprintln!(
        "rows {rows}; lost events {lost_events} in {gaps} gaps, {lost_behind} of them behind their CPU's last row"
    );
    trace_lost.map_or(Ok(ExitCode::SUCCESS), |lost| Err(truncated(file, &lost)))
}
