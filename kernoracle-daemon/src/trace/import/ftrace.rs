//! ftrace's `trace` and `trace-cmd report`: `COMM-PID (TGID) [CPU] flags TIME: event: fields`.

use super::{
    Parser, body,
    head::{self, Head},
    lines::{Line, Wrong},
    loss,
    machine::{Facts, Machine},
};
use crate::trace::event::Event;

#[derive(Debug, Default)]
pub struct Ftrace {
    machine: Machine,
}

impl Parser for Ftrace {
    fn line(&mut self, text: &[u8], emit: &mut dyn FnMut(Event)) -> Line {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return Line::Blank;
        }
        if trimmed.starts_with(b"#") {
            // `# entries-in-buffer/entries-written: 129/129   #P:2`
            if let Some(cpus) = head::word_after(trimmed, b"#P:").and_then(head::cpu) {
                self.machine.facts.cpus = cpus;
            }
            return Line::Blank;
        }
        match Head::parse(text, true) {
            Ok(head) => match body::parse(head.rest) {
                Ok(None) => Line::Other,
                Ok(Some(parsed)) => {
                    let (pid, tgid) = ids(head.who);
                    if pid.is_none() {
                        // perf script has a space there.
                        return Line::Wrong(Wrong::Foreign);
                    }
                    emit(self.machine.event(&head, pid, tgid, parsed));
                    Line::Used {
                        switches: u64::from(matches!(parsed, body::Parsed::Switch { .. })),
                    }
                }
                Err(why) => Line::Wrong(why),
            },
            Err(why) => self.without_head(trimmed, why, emit),
        }
    }

    fn facts(&self) -> &Facts {
        &self.machine.facts
    }
}

impl Ftrace {
    fn without_head(&mut self, text: &[u8], why: Wrong, emit: &mut dyn FnMut(Event)) -> Line {
        if let Some(loss) = loss::ftrace(text) {
            self.machine.lose(loss).into_iter().for_each(emit);
            return Line::Lost(loss);
        }
        // What trace-cmd says of its file.
        if let Some(cpus) = text.strip_prefix(b"cpus=") {
            let Some(cpus) = head::cpu(cpus) else {
                return Line::Wrong(Wrong::Cpu);
            };
            self.machine.facts.cpus = cpus;
            return Line::Blank;
        }
        let of_cpu = text.starts_with(b"CPU ") && text.ends_with(b" is empty");
        if of_cpu || text.starts_with(b"version = ") {
            return Line::Blank;
        }
        Line::Wrong(why)
    }
}

/// `COMM-PID` or `COMM-PID (TGID)`.
fn ids(who: &[u8]) -> (Option<u32>, Option<u32>) {
    let (who, tgid) = match who
        .strip_suffix(b")")
        .and_then(|who| head::rsplit(who, b"("))
    {
        Some((before, tgid)) => (before.trim_ascii_end(), head::pid(tgid.trim_ascii())),
        None => (who, None),
    };
    let pid = head::rsplit(who, b"-").and_then(|(_, pid)| head::pid(pid));
    (pid, tgid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs() {
        assert_eq!(ids(b"<idle>-0"), (Some(0), None));
        assert_eq!(ids(b"a-b (c)-77"), (Some(77), None));
        assert_eq!(ids(b"kworker/0:1-ev-77    (   70)"), (Some(77), Some(70)));
        assert_eq!(ids(b"<...>-77    (-----)"), (Some(77), None));
    }
}
