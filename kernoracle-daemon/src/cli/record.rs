//! `kernoracle record`.

use super::{
    child::Child,
    diagnostics,
    live::{Arrivals, BUDGET, CaptureOptions, RingFor, monotonic_ns},
    options::check_directory,
    signals::Stop,
};
use crate::{
    probe::{Capture, ProbeError},
    report::{Format, lines::KernelFigures, table},
    trace::{TraceWriter, WriteError},
};
use anyhow::Context;
use std::{ffi::OsString, fs, path::PathBuf, process::ExitCode};

/// ns between two blocks at the latest: a killed recorder loses at most this.
const BLOCK_NS: u64 = 1_000_000_000;

/// Record the events of the running kernel into a trace file
///
/// With a COMMAND: starts it once recording is on, records the whole machine (or
/// --cpu) while it runs, passes SIGINT and SIGTERM on to it, and gives back its
/// exit status (128 + signal if one killed it). Without: until --duration,
/// --switches, Ctrl-C or SIGTERM. The file is written as a stream: if the machine dies, what was
/// written can be read up to the last whole block.
///
/// Examples:
///   kernoracle record -o build.kot -- make -j4
///   kernoracle record -o a.kot --cpu 0 --duration 30s
///
/// At the end, on standard error: events, switches, lost events, bytes, bytes per
/// event, and the kernel side's own counters, which must agree: arrived + lost =
/// produced.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The trace file; an old one is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    capture: CaptureOptions,

    /// Stop after so many switches
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    switches: Option<u64>,

    /// Record while this command runs
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let _diagnostics = diagnostics::start(Format::Text)?;
    let Args {
        output,
        capture: options,
        switches,
        command,
    } = args;
    check_directory(output)?;
    let mut capture = options.start(RingFor::Everything)?;
    let mut origin = capture.origin().clone();
    if !command.is_empty() {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        origin.command = words.join(" ");
    }
    let writer = TraceWriter::create(output, &origin)?;
    let start_ns = monotonic_ns();
    let mut recording = Recording {
        capture: &mut capture,
        writer,
        arrivals: Arrivals::default(),
        start_ns,
        block_ns: start_ns,
    };
    let end_ns = options
        .duration
        .map(|duration| start_ns.saturating_add(duration.as_nanos() as u64));
    let over = |arrivals: &Arrivals| {
        end_ns.is_some_and(|end| monotonic_ns() >= end)
            || switches.is_some_and(|most| arrivals.switches >= most)
    };

    if command.is_empty() {
        let stop = Stop::on_signals()?;
        let recorded = recording.until(|arrivals| Ok(stop.requested() || over(arrivals)));
        recorded.and(recording.finish())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut child = Child::start(command).inspect_err(|_| {
        // Nothing was recorded yet.
        _ = fs::remove_file(output);
    })?;
    let recorded = recording.until(|arrivals| Ok(child.poll()?.is_some() || over(arrivals)));
    let recorded = recorded.and(recording.finish());
    let status = child.wait();
    recorded?;
    Ok(ExitCode::from(
        status.context("cannot wait for the command")?,
    ))
}

/// The loop that writes.
struct Recording<'a> {
    capture: &'a mut Capture,
    writer: TraceWriter,
    arrivals: Arrivals,
    start_ns: u64,
    /// When the last block was written.
    block_ns: u64,
}

impl Recording<'_> {
    fn until(
        &mut self,
        mut done: impl FnMut(&Arrivals) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut backlog = 0;
        while !done(&self.arrivals)? {
            if backlog == 0 {
                self.capture.wait()?;
            }
            (_, backlog) = self.step()?;
        }
        Ok(())
    }

    /// One drain. Returns the events that it gave and the bytes that it left.
    fn step(&mut self) -> anyhow::Result<(u64, usize)> {
        let Self {
            capture,
            writer,
            arrivals,
            block_ns,
            ..
        } = self;
        let mut written: Result<(), WriteError> = Ok(());
        let drained = capture.drain(BUDGET, &mut |event| {
            arrivals.add(event);
            if written.is_ok() {
                written = writer.write_in_place(event);
            }
        })?;
        written?;
        let now_ns = monotonic_ns();
        if now_ns >= *block_ns + BLOCK_NS {
            writer.flush_block()?;
            *block_ns = now_ns;
        }
        Ok((drained.events, drained.backlog_bytes))
    }

    /// Takes what is left in the ring, ends the file, and says what was recorded.
    fn finish(mut self) -> anyhow::Result<()> {
        self.capture.stop()?;
        while self.step()? != (0, 0) {}
        let Self {
            capture,
            writer,
            arrivals,
            start_ns,
            ..
        } = self;
        let (events, bytes) = writer.finish()?;
        let kernel: Result<KernelFigures, ProbeError> = arrivals.beside(capture);
        let per_event = if events > 0 {
            bytes as f64 / events as f64
        } else {
            0.0
        };
        let seconds = monotonic_ns().saturating_sub(start_ns) as f64 / 1e9;
        let mut text = format!(
            "events {} (switches {}), lost {} in {seconds:.1} s; {bytes} bytes, {per_event:.1} bytes/event\n",
            arrivals.events, arrivals.switches, arrivals.lost
        );
        table::kernel_side(&mut text, &kernel?);
        eprint!("{text}");
        Ok(())
    }
}
