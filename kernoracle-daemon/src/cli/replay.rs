//! `kernoracle replay`.

use super::{
    diagnostics,
    options::{InlineLearning, OracleOptions, OutputOptions, SaveModel, start_line},
    signals::Stop,
    timing::{Timed, Timing},
};
use crate::{
    oracle::{Config, Oracle},
    report::{Ending, OutputError, Reporter, WhenFull, lines::TraceLost},
    trace::{
        ReadError, TraceReader,
        event::{Body, Event},
        origin::Origin,
    },
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Predict the switches of a trace file, with the same output as run
///
/// The same oracle as in run, fed from a file of record: needs no root. Time is
/// the trace's, so there is no lead and no inference time. Learning is in step
/// with the events: twice the same file and seed gives the same bytes in
/// --predictions. Nothing is shed: a slow output is waited for.
///
/// Examples:
///   kernoracle replay a.kot | head -50
///   kernoracle replay a.kot --predictions a.jsonl --samples-per-second 0
///   kernoracle replay a.kot --save-model a.safetensors
///
/// The columns and the summary are those of run: see kernoracle run --help. A
/// file that was cut is played up to its last whole block, then reported, and the
/// exit status is 2.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A trace file, as record writes it
    file: PathBuf,

    /// At the end, print one line of JSON to standard error: decisions a second of CPU time, inference times,
    /// peak resident memory
    #[arg(long)]
    timing: bool,

    #[command(flatten)]
    oracle: OracleOptions,

    #[command(flatten)]
    inline: InlineLearning,

    #[command(flatten)]
    save: SaveModel,

    #[command(flatten)]
    output: OutputOptions,
}

pub(super) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        file,
        timing,
        oracle,
        inline,
        save,
        output,
    } = args;
    let _diagnostics = diagnostics::start(output.log_format)?;
    output.check()?;
    save.check()?;
    let stop = Stop::on_signals()?;
    let mut reader = TraceReader::open(&file)?;
    let config = Config {
        timed: timing,
        ..oracle.config(inline.learning(), false)
    };
    let mut predictor = Oracle::new(config, reader.origin())?;
    let first = reader.next_event()?.cloned();
    let start_ns = first.as_ref().map_or(0, |event| event.ts_ns);
    let mut reporter = output.reporter(WhenFull::Wait, oracle.seed, start_ns)?;
    let origin = reader.origin();
    reporter.start(start_line(
        "replay",
        origin,
        findings(&file, origin),
        &predictor,
        oracle.seed,
    ));

    let mut timing = timing.then(Timing::new);
    let mut play = Play {
        timing: timing.as_mut(),
        oracle: &mut predictor,
        reporter: &mut reporter,
        now_ns: start_ns,
    };
    if let Some(event) = first {
        play.event(&event);
    }
    let read = play.rest(&mut reader, &stop);
    let now_ns = play.now_ns;
    let timing = timing.map(|timing| timing.line()).transpose()?;

    predictor.stop_learning();
    let lost = reader.lost().cloned();
    let finished = reporter.finish(Ending {
        ts_ns: now_ns,
        learner: predictor.learner(),
        kernel: None,
        cost: None,
        trace_lost: lost.as_ref().map(TraceLost::from),
    });
    save.save(&predictor)?;
    read?;
    if let Some(line) = timing {
        eprintln!("{line}");
    }
    match finished {
        Err(OutputError::Closed) => return Ok(ExitCode::SUCCESS),
        other => other?,
    }
    lost.map_or(Ok(ExitCode::SUCCESS), |lost| Err(truncated(&file, &lost)))
}

/// The events of a file, in the order in which they are in it.
struct Play<'a> {
    oracle: &'a mut Oracle,
    reporter: &'a mut Reporter,
    timing: Option<&'a mut Timing>,
    /// The latest time of an event.
    now_ns: u64,
}

impl Play<'_> {
    fn rest(&mut self, reader: &mut TraceReader, stop: &Stop) -> Result<(), ReadError> {
        while let Some(event) = reader.next_event()? {
            self.event(event);
            if stop.requested() || self.reporter.closed() {
                break;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        self.now_ns = self.now_ns.max(event.ts_ns);
        self.reporter
            .switches(u64::from(matches!(event.body, Body::Switch(_))));
        let mut sink = Timed {
            timing: self.timing.as_deref_mut(),
            sink: self.reporter,
        };
        self.oracle.event(event, &mut sink);
        if self.reporter.due(self.now_ns) {
            self.reporter
                .summary(self.now_ns, self.oracle.learner(), None);
        }
    }
}

/// What the header of the file says, for a person.
fn findings(file: &Path, origin: &Origin) -> Vec<String> {
    let mut lines = vec![
        format!(
            "trace: {} of `{}`, by kernoracle {}",
            file.display(),
            origin.command,
            origin.recorder
        ),
        format!(
            "kernel: {} {}, scheduler {}, {} CPUs{}",
            origin.kernel,
            origin.machine,
            super::options::scheduler_name(origin.scheduler),
            origin.cpus,
            if origin.recorded_cpus.is_empty() {
                String::new()
            } else {
                format!(", recorded {:?}", origin.recorded_cpus)
            }
        ),
    ];
    if !origin.absent_fields.is_empty() {
        lines.push(format!(
            "this kernel lacks: {}",
            origin.absent_fields.join(", ")
        ));
    }
    lines
}

/// One line for a file that gives less than was written to it.
pub(super) fn truncated(file: &Path, lost: &crate::trace::Lost) -> anyhow::Error {
    anyhow::anyhow!(
        "{}: {} at offset {}: {} bytes were left out; all before them was used",
        file.display(),
        lost.why,
        lost.offset,
        lost.bytes
    )
}
