//! Which tool printed a text.

use super::{
    ImportError, Parser, ftrace::Ftrace, lines::Line, perf_script::PerfScript, sched_map::SchedMap,
};
use std::path::Path;

/// Bytes that are looked at.
pub const SAMPLE: usize = 256 << 10;

/// A text that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// perf sched map
    PerfSchedMap,
    /// perf script, of a recording with sched events
    PerfScript,
    /// trace-cmd report, or the file `trace` of tracefs
    Ftrace,
}

impl Format {
    const ALL: [Self; 3] = [Self::PerfSchedMap, Self::PerfScript, Self::Ftrace];

    pub fn name(self) -> &'static str {
        match self {
            Self::PerfSchedMap => "perf sched map",
            Self::PerfScript => "perf script",
            Self::Ftrace => "ftrace",
        }
    }

    pub(super) fn parser(self) -> Box<dyn Parser> {
        match self {
            Self::PerfSchedMap => Box::new(SchedMap::default()),
            Self::PerfScript => Box::new(PerfScript::default()),
            Self::Ftrace => Box::new(Ftrace::default()),
        }
    }

    /// Fields of the events that are in no text of this format.
    pub(super) fn absent(self) -> &'static [&'static str] {
        match self {
            Self::PerfSchedMap => &[
                "tgid",
                "prio",
                "policy",
                "kthread",
                "on_rq",
                "prev_state",
                "wake-ups",
                "fair",
            ],
            Self::PerfScript | Self::Ftrace => &["policy", "kthread", "fair"],
        }
    }
}

/// The format in which most lines at the start give events.
pub fn recognise(start: &[u8], path: &Path) -> Result<Format, ImportError> {
    let path = || path.to_path_buf();
    if start.is_empty() {
        return Err(ImportError::Empty { path: path() });
    }
    if start.starts_with(&crate::trace::MAGIC) {
        return Err(ImportError::AlreadyTrace { path: path() });
    }
    let binary = [
        (&b"PERFILE2"[..], "perf's recording", "perf script -i FILE"),
        (b"2ELIFREP", "perf's recording", "perf script -i FILE"),
        (
            b"\x17\x08\x44tracing",
            "trace-cmd's recording",
            "trace-cmd report -i FILE",
        ),
    ];
    for (magic, what, instead) in binary {
        if start.starts_with(magic) {
            return Err(ImportError::Binary {
                path: path(),
                what,
                instead,
            });
        }
    }
    let events = |format: Format| {
        let mut parser = format.parser();
        start
            .split(|&byte| byte == b'\n')
            .map(|line| parser.line(line.strip_suffix(b"\r").unwrap_or(line), &mut |_| {}))
            .filter(|line| matches!(line, Line::Used { .. } | Line::Other))
            .count()
    };
    let best = Format::ALL
        .map(|format| (events(format), format))
        .into_iter()
        .max_by_key(|&(events, _)| events);
    match best {
        Some((1.., format)) => Ok(format),
        _ => Err(ImportError::Unrecognised { path: path() }),
    }
}
