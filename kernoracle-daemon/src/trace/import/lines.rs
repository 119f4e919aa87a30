//! Lines of a text, and the count of those that are wrong.

use super::{error::WrongLine, loss::Loss};
use crate::trace::source::Source;
use std::io;

/// Bytes; no tool prints a line near that.
const MAX_LINE: usize = 64 << 10;
/// Wrong lines that are shown.
const SHOWN: usize = 3;
/// Characters of each.
const SHOWN_TEXT: usize = 100;

/// Why a line is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("longer than 64 KiB")]
    TooLong,
    #[error("not a line of this format")]
    Foreign,
    #[error("time stamp")]
    Time,
    #[error("CPU number (0 to 4095)")]
    Cpu,
    #[error(
        "sched_switch without prev_comm, prev_pid, prev_prio, prev_state, next_comm, next_pid, next_prio"
    )]
    Switch,
    #[error("wake-up without comm, pid, prio, target_cpu")]
    Wake,
    #[error("sched_migrate_task without pid, orig_cpu, dest_cpu")]
    Migrate,
    #[error("sched_process_fork without pid, child_comm, child_pid")]
    Fork,
    #[error("sched_process_exec without filename, pid, old_pid")]
    Exec,
    #[error("sched_process_exit without comm, pid")]
    Exit,
    #[error("task_rename without pid, newcomm")]
    Rename,
    #[error("cell of the map")]
    Cell,
    #[error("short name without a legend before it")]
    Unnamed,
    #[error("legend that is not NAME => COMM:PID")]
    Legend,
}

/// What a line was.
#[derive(Debug)]
pub enum Line {
    /// Gave events, of which so many are switches.
    Used {
        switches: u64,
    },
    /// Nothing in it: empty, a comment, a stack frame.
    Blank,
    /// An event of no use here, or one of a CPU that the map leaves out.
    Other,
    /// The tool says that it lost events.
    Lost(Loss),
    Wrong(Wrong),
}

/// What became of the lines: `lines = used + blank + other + lost_lines + wrong`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub used: u64,
    pub blank: u64,
    pub other: u64,
    pub lost_lines: u64,
    pub wrong: u64,
    pub switches: u64,
    /// The first wrong lines.
    pub first_wrong: Vec<WrongLine>,
    /// Lost events that the text tells of.
    pub lost_events: u64,
}

impl Counts {
    /// Returns the line if it is wrong.
    pub(super) fn add(&mut self, line: &Line, number: u64, text: &[u8]) -> Option<WrongLine> {
        match *line {
            Line::Used { switches } => {
                self.used += 1;
                self.switches += switches;
            }
            Line::Blank => self.blank += 1,
            Line::Other => self.other += 1,
            Line::Lost(Loss { events, .. }) => {
                self.lost_lines += 1;
                self.lost_events = self.lost_events.saturating_add(events);
            }
            Line::Wrong(why) => {
                self.wrong += 1;
                let line = WrongLine {
                    number,
                    why,
                    text: printable(text),
                };
                if self.first_wrong.len() < SHOWN {
                    self.first_wrong.push(line.clone());
                }
                return Some(line);
            }
        }
        None
    }
}

fn printable(text: &[u8]) -> String {
    let start = &text[..text.len().min(4 * SHOWN_TEXT)];
    let start = String::from_utf8_lossy(start.trim_ascii());
    let mut shown: String = start
        .chars()
        .take(SHOWN_TEXT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if start.chars().nth(SHOWN_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

/// One line.
#[derive(Debug)]
pub struct Text<'a> {
    /// From 1.
    pub number: u64,
    /// Without `\n` or `\r\n`; the beginning if the line is too long.
    pub bytes: &'a [u8],
    pub too_long: bool,
}

/// Reads line by line in bounded memory.
#[derive(Debug)]
pub struct Lines {
    source: Source,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            line: Vec::new(),
            number: 0,
        }
    }

    pub fn next(&mut self) -> io::Result<Option<Text<'_>>> {
        self.line.clear();
        let mut too_long = false;
        loop {
            let ahead = self.source.peek(MAX_LINE)?;
            if ahead.is_empty() {
                if self.line.is_empty() && !too_long {
                    return Ok(None);
                }
                break;
            }
            let end = ahead.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(ahead.len());
            if self.line.len() + taken <= MAX_LINE {
                self.line.extend_from_slice(&ahead[..taken]);
            } else {
                too_long = true;
            }
            self.source.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        Ok(Some(Text {
            number: self.number,
            bytes,
            too_long,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_anyhow_and_none_is_too_long_to_pass() {
        let mut text = b"a\r\n\n".to_vec();
        text.extend(vec![b'x'; 1 << 20]);
        text.extend(b"\nlast");
        let mut lines = Lines::new(Source::new(Box::new(io::Cursor::new(text)), None));
        let mut found = Vec::new();
        while let Some(Text {
            number,
            bytes,
            too_long,
        }) = lines.next().unwrap()
        {
            found.push((number, bytes.len(), too_long));
        }
        assert_eq!(
            found,
            [
                (1, 1, false),
                (2, 0, false),
                (3, MAX_LINE, true),
                (4, 4, false)
            ]
        );
    }
}
