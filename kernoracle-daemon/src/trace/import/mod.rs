//! Makes a trace file of the text that other tools print: `perf sched map`, `perf script`, `trace-cmd report` and
//! ftrace's `trace`.
//!
//! What such a text does not say is absent in the events ([`Task::UNKNOWN_PRIO`] and its like, no [`Fair`] state) and
//! named in [`Origin::absent_fields`].
//!
//! [`Task::UNKNOWN_PRIO`]: super::event::Task::UNKNOWN_PRIO
//! [`Fair`]: super::event::Fair
//! [`Origin::absent_fields`]: super::origin::Origin::absent_fields

mod assemble;
mod body;
mod error;
mod format;
mod ftrace;
mod head;
mod lines;
mod loss;
mod machine;
mod perf_script;
mod sched_map;
#[cfg(test)]
mod tests;

pub use error::{ImportError, WrongLine};
pub use format::Format;
pub use lines::{Counts, Wrong};

use super::{WriteError, event::Event, source::Source};
use lines::{Line, Lines};
use std::path::Path;

/// What to do with a text.
#[derive(Debug)]
pub struct Options<'a> {
    /// `-` is the standard input.
    pub input: &'a Path,
    /// `-` is the standard output.
    pub output: &'a Path,
    /// By the content if not given.
    pub format: Option<Format>,
    /// Refuse a text with a line that is not understood.
    pub strict: bool,
}

/// What was made of a text.
#[derive(Debug)]
pub struct Imported {
    pub format: Format,
    pub counts: Counts,
    /// Events written, gaps included.
    pub events: u64,
    pub bytes: u64,
    /// `sched_wakeup` is not in the text, `sched_waking` is: each stands for both.
    pub woken_by_waking: bool,
    /// What the text lacks, by name.
    pub absent: Vec<String>,
    /// Events that are earlier than the one before them on their CPU.
    pub backwards: u64,
    /// Short names of perf sched map that were given to another task later.
    pub reused_names: u64,
}

/// Imports a text. `stop` is asked now and then whether to give up; then nothing is left behind.
pub fn import(options: &Options<'_>, stop: &dyn Fn() -> bool) -> Result<Imported, ImportError> {
    let path = options.input;
    let open = |source| ImportError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut source = Source::open(path).map_err(open)?;
    let start = source.peek(format::SAMPLE).map_err(open)?;
    let format = match options.format {
        Some(format) => format,
        None => format::recognise(start, path)?,
    };
    let mut parser = format.parser();
    let mut spool = assemble::Spool::new(options.output)?;
    let mut lines = Lines::new(source);
    let mut counts = Counts::default();
    while let Some(text) = lines.next().map_err(open)? {
        if text.number.is_multiple_of(4096) && stop() {
            return Err(ImportError::Stopped);
        }
        counts.lines += 1;
        let mut written = Ok(());
        let line = if text.too_long {
            Line::Wrong(Wrong::TooLong)
        } else {
            parser.line(text.bytes, &mut |event| {
                if written.is_ok() {
                    written = spool.write(&event);
                }
            })
        };
        written?;
        if let Some(wrong) = counts.add(&line, text.number, text.bytes)
            && options.strict
        {
            return Err(ImportError::Strict {
                path: path.to_path_buf(),
                line: wrong,
            });
        }
    }
    spool.finish(options, format, parser.facts(), counts)
}

/// Understands one format, line by line.
trait Parser {
    /// A line without its end.
    fn line(&mut self, text: &[u8], emit: &mut dyn FnMut(Event)) -> Line;

    /// What was found out besides the events.
    fn facts(&self) -> &machine::Facts;
}
