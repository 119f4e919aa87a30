//! Why a text is not imported.

use super::{WriteError, lines::Wrong};
use crate::trace::ReadError;
use std::{fmt, io, path::PathBuf};

/// A line that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongLine {
    /// From 1.
    pub number: u64,
    pub why: Wrong,
    /// Its beginning, printable.
    pub text: String,
}

impl fmt::Display for WrongLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, why, text } = self;
        write!(f, "line {number}: {why}: {text}")
    }
}

/// Why a text is not imported. No output is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: is empty: give the text that the tool printed")]
    Empty { path: PathBuf },
    #[error("{path}: is a trace file of kernoracle already: use it as it is")]
    AlreadyTrace { path: PathBuf },
    #[error("{path}: is {what}, not text: give what `{instead}` prints")]
    Binary {
        path: PathBuf,
        what: &'static str,
        instead: &'static str,
    },
    #[error(
        "{path}: no line at its beginning is of perf sched map, perf script, trace-cmd report or ftrace: give such a text, or say which it is with --format"
    )]
    Unrecognised { path: PathBuf },
    #[error("{path}: {line}; leave out --strict to pass over such lines")]
    Strict { path: PathBuf, line: WrongLine },
    #[error(
        "{path}: no task switch in {lines} lines of {format}, {wrong} of them wrong{first}: record sched_switch"
    )]
    NoSwitch {
        path: PathBuf,
        format: &'static str,
        lines: u64,
        wrong: u64,
        /// The first of them, with what leads to it.
        first: String,
    },
    #[error("interrupted: nothing was written")]
    Stopped,
    #[error("{path}: {source}")]
    Output { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was just spooled does not come back.
    #[error("the intermediate file: {0}")]
    Spool(#[from] ReadError),
}
