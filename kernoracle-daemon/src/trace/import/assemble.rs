//! From the parsed events to the trace file: numbers, what only the whole text tells, and the rename.

use super::{Counts, Format, ImportError, Imported, Options, machine::Facts};
use crate::aside::{self, Aside};
use crate::trace::{
    TraceReader, TraceWriter,
    event::{Body, Event, Task, WakeKind},
    origin::{Origin, Scheduler},
};
use foldhash::HashMap;
use std::path::Path;
use tempfile::NamedTempFile;

/// Events as they were parsed, on disk: the header wants to know what the last line may tell.
#[derive(Debug)]
pub struct Spool {
    file: NamedTempFile,
    writer: TraceWriter,
    wakings: u64,
    wakeups: u64,
    unknown_tgid: bool,
}

impl Spool {
    /// Beside the output, where there must be room anyhow.
    pub fn new(output: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Output {
            path: output.to_path_buf(),
            source,
        };
        let file = if output == Path::new("-") {
            NamedTempFile::new()
        } else {
            NamedTempFile::new_in(aside::folder(output))
        }
        .map_err(failed)?;
        let writer = TraceWriter::create(file.path(), &Origin::default())?;
        Ok(Self {
            file,
            writer,
            wakings: 0,
            wakeups: 0,
            unknown_tgid: false,
        })
    }

    pub fn write(&mut self, event: &Event) -> Result<(), ImportError> {
        match &event.body {
            Body::Wake(wake) => match wake.kind {
                WakeKind::Waking => self.wakings += 1,
                WakeKind::Wakeup => self.wakeups += 1,
                WakeKind::New => {}
            },
            Body::Switch(switch) => {
                let unknown = |task: &Task| task.pid != 0 && task.tgid == Task::UNKNOWN_TGID;
                self.unknown_tgid |= unknown(&switch.prev) || unknown(&switch.next);
            }
            _ => {}
        }
        Ok(self.writer.write(event)?)
    }

    /// Writes the trace file.
    pub fn finish(
        self,
        options: &Options<'_>,
        format: Format,
        facts: &Facts,
        counts: Counts,
    ) -> Result<Imported, ImportError> {
        if counts.switches == 0 {
            return Err(ImportError::NoSwitch {
                path: options.input.to_path_buf(),
                format: format.name(),
                lines: counts.lines,
                wrong: counts.wrong,
                first: counts
                    .first_wrong
                    .first()
                    .map_or_else(String::new, |line| format!(" ({line})")),
            });
        }
        let Self {
            file,
            writer,
            wakings,
            wakeups,
            unknown_tgid,
        } = self;
        writer.finish()?;
        let woken_by_waking = wakings > 0 && wakeups == 0;
        let mut absent: Vec<String> = format.absent().iter().map(|&it| it.to_owned()).collect();
        if unknown_tgid && !absent.iter().any(|name| name == "tgid") {
            absent.insert(0, "tgid".to_owned());
        }
        if woken_by_waking {
            absent.push("sched_wakeup".to_owned());
        }
        let origin = origin(options, format, facts, &absent);
        let failed = |source| ImportError::Output {
            path: options.output.to_path_buf(),
            source,
        };
        let aside = Aside::new(options.output).map_err(failed)?;
        let mut writer = TraceWriter::create(aside.path(), &origin)?;
        let mut numbers = Numbers::default();
        let mut reader = TraceReader::open(file.path())?;
        while let Some(event) = reader.next_event()? {
            let mut event = event.clone();
            numbers.give(&mut event);
            writer.write(&event)?;
            if woken_by_waking
                && let Body::Wake(wake) = &mut event.body
                && wake.kind == WakeKind::Waking
            {
                wake.kind = WakeKind::Wakeup;
                wake.task.on_rq = true;
                numbers.give(&mut event);
                writer.write(&event)?;
            }
        }
        let (events, bytes) = writer.finish()?;
        aside.publish().map_err(failed)?;
        Ok(Imported {
            format,
            counts,
            events,
            bytes,
            woken_by_waking,
            absent,
            backwards: facts.backwards,
            reused_names: facts.reused_names,
        })
    }
}

fn origin(options: &Options<'_>, format: Format, facts: &Facts, absent: &[String]) -> Origin {
    let told = |text: &str, otherwise: &str| {
        let text = if text.is_empty() { otherwise } else { text };
        // The header takes 1 MiB; no command line of interest is longer than this.
        text.chars().take(4096).collect::<String>()
    };
    let most = facts.seen.last().map_or(0, |&cpu| cpu + 1);
    Origin {
        kernel: told(&facts.kernel, "unknown"),
        machine: told(&facts.machine, "unknown"),
        scheduler: Scheduler::Unknown,
        cpus: facts.cpus.max(most),
        recorded_cpus: facts.seen.iter().copied().collect(),
        clock: told(&facts.clock, "unknown"),
        absent_fields: absent.to_vec(),
        command: told(&facts.command, &options.input.display().to_string()),
        started_unix_ns: 0,
        includes_self: true,
        recorder: format!("{}, import of {}", env!("CARGO_PKG_VERSION"), format.name()),
    }
}

/// Counts the events of each CPU.
#[derive(Debug, Default)]
struct Numbers(HashMap<u32, u64>);

impl Numbers {
    fn give(&mut self, event: &mut Event) {
        let next = self.0.entry(event.cpu).or_default();
        event.seq = *next;
        *next = next.wrapping_add(match event.body {
            Body::Gap { lost } => lost,
            _ => 1,
        });
    }
}
