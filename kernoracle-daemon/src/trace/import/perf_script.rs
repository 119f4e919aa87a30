//! `perf script`: `COMM TID [CPU] TIME: system:event: fields`, with or without `PID/`.

use super::{
    Parser, body,
    head::{self, Head},
    lines::{Line, Wrong},
    loss,
    machine::{Facts, Machine},
};
use crate::trace::event::Event;

#[derive(Debug, Default)]
pub struct PerfScript {
    machine: Machine,
}

impl Parser for PerfScript {
    fn line(&mut self, text: &[u8], emit: &mut dyn FnMut(Event)) -> Line {
        if text.trim_ascii().is_empty() {
            return Line::Blank;
        }
        if let Some(comment) = text.strip_prefix(b"#") {
            self.comment(&String::from_utf8_lossy(comment));
            return Line::Blank;
        }
        let head = match Head::parse(text, false) {
            Ok(head) => head,
            Err(why) => return self.without_head(text, why, emit),
        };
        // With `-F +period` a number stands first.
        let (first, rest) = head::word(head.rest);
        let rest = if head::number(first).is_some() {
            rest.trim_ascii_start()
        } else {
            head.rest
        };
        if rest.starts_with(b"PERF_RECORD_LOST") {
            self.machine.facts.see(head.cpu, head.ts_ns);
            return self.without_head(text, Wrong::Foreign, emit);
        }
        if rest.starts_with(b"PERF_RECORD_") {
            return Line::Other;
        }
        if rest.starts_with(b"sched_") {
            // ftrace does not name the system.
            return Line::Wrong(Wrong::Foreign);
        }
        match body::parse(rest) {
            Ok(None) => Line::Other,
            Ok(Some(parsed)) => {
                let (pid, tgid) = ids(head.who);
                emit(self.machine.event(&head, pid, tgid, parsed));
                Line::Used {
                    switches: u64::from(matches!(parsed, body::Parsed::Switch { .. })),
                }
            }
            Err(why) => Line::Wrong(why),
        }
    }

    fn facts(&self) -> &Facts {
        &self.machine.facts
    }
}

impl PerfScript {
    /// `# os release : 6.1.0` and the like, from `--header`.
    fn comment(&mut self, comment: &str) {
        let Some((key, value)) = comment.split_once(':') else {
            return;
        };
        let value = value.trim().to_owned();
        let facts = &mut self.machine.facts;
        match key.trim() {
            "os release" => facts.kernel = value,
            "arch" => facts.machine = value,
            "nrcpus avail" => {
                facts.cpus = head::cpu(value.as_bytes()).unwrap_or(facts.cpus);
            }
            "cmdline" => facts.command = value,
            "clockid" => facts.clock = format!("perf, {value}"),
            _ => {}
        }
    }

    fn without_head(&mut self, text: &[u8], why: Wrong, emit: &mut dyn FnMut(Event)) -> Line {
        if let Some(loss) = loss::perf(text) {
            self.machine.lose(loss).into_iter().for_each(emit);
            return Line::Lost(loss);
        }
        let stack_frame = text.first().is_some_and(u8::is_ascii_whitespace)
            && head::word(text.trim_ascii())
                .0
                .iter()
                .all(u8::is_ascii_hexdigit);
        if stack_frame {
            Line::Blank
        } else {
            Line::Wrong(why)
        }
    }
}

/// `COMM TID` or `COMM PID/TID`: tid and pid, which the kernel calls pid and tgid. perf prints -1 for a task
/// that is gone.
fn ids(who: &[u8]) -> (Option<u32>, Option<u32>) {
    let ids = who.rsplit(u8::is_ascii_whitespace).next().unwrap_or(who);
    match head::split(ids, b"/") {
        Some((tgid, pid)) => (head::pid(pid), head::pid(tgid)),
        None => (head::pid(ids), None),
    }
}
