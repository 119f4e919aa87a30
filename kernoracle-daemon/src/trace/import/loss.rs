//! Lines by which a tool says that it lost events.

use super::head::{number, word_after};

/// Lost events. Events of 2^48 and more are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// `None`: the tool does not say of which CPU.
    pub cpu: Option<u32>,
    /// At least 1; the tool may not say how many.
    pub events: u64,
}

const MOST: u64 = 1 << 48;

/// `CPU:0 [LOST 12 EVENTS]`, `CPU:0 [LOST EVENTS]` (ftrace), `CPU:0 [12 EVENTS DROPPED]`, `CPU:0 [EVENTS DROPPED]` (trace-cmd).
pub fn ftrace(text: &[u8]) -> Option<Loss> {
    let (_, text) = super::head::split(text, b"CPU:")?;
    let (cpu, rest) = super::head::split(text, b" [")?;
    let inside = rest.trim_ascii_end().strip_suffix(b"]")?;
    let count = match inside.strip_prefix(b"LOST ") {
        Some(rest) => rest.strip_suffix(b"EVENTS")?,
        None => inside.strip_suffix(b"EVENTS DROPPED")?,
    };
    Some(Loss {
        cpu: Some(super::head::cpu(cpu)?),
        events: events(count.trim_ascii())?,
    })
}

/// `… PERF_RECORD_LOST lost 12` with the head of an event, or perf's summary: `LOST 12 events`, `lost 3 chunks`.
pub fn perf(text: &[u8]) -> Option<Loss> {
    let is_record = super::head::split(text, b"PERF_RECORD_LOST").is_some();
    let lower = text.to_ascii_lowercase();
    let count = word_after(&lower, b" lost ")
        .or_else(|| word_after(&lower, b" lost:"))
        .or_else(|| lower.strip_prefix(b"lost ").map(first_word));
    if !is_record {
        let says = |what| super::head::split(&lower, what).is_some();
        if !(says(b" events") || says(b" chunks")) || number(count?).is_none() {
            return None;
        }
    }
    let cpu = super::head::Head::parse(text, false)
        .ok()
        .map(|head| head.cpu);
    Some(Loss {
        cpu,
        events: events(count.unwrap_or_default())?,
    })
}

/// `INFO: 1.2% lost events (12 out of 1000, in 3 chunks)`, which perf sched map prints at the end.
pub fn sched_map(text: &[u8]) -> Option<Loss> {
    let (_, rest) = super::head::split(text, b"% lost events (")?;
    Some(Loss {
        cpu: None,
        events: events(first_word(rest))?,
    })
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default()
}

fn events(count: &[u8]) -> Option<u64> {
    match number(count) {
        None if count.is_empty() => Some(1),
        None => None,
        Some(count) => (count < MOST).then(|| count.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_losses_are_understood() {
        let lost = |cpu, events| Some(Loss { cpu, events });
        assert_eq!(ftrace(b"CPU:1 [LOST 12 EVENTS]"), lost(Some(1), 12));
        assert_eq!(ftrace(b"CPU:0 [LOST EVENTS]"), lost(Some(0), 1));
        assert_eq!(ftrace(b"CPU:3 [7 EVENTS DROPPED]"), lost(Some(3), 7));
        assert_eq!(ftrace(b"CPU:3 [EVENTS DROPPED]"), lost(Some(3), 1));
        assert_eq!(ftrace(b"CPU:3 [x EVENTS DROPPED]"), None);
        assert_eq!(
            perf(b"  perf 12 [002]  5.000001: PERF_RECORD_LOST lost 12"),
            lost(Some(2), 12)
        );
        assert_eq!(perf(b"PERF_RECORD_LOST"), lost(None, 1));
        assert_eq!(perf(b"LOST 12 events"), lost(None, 12));
        assert_eq!(
            perf(b"Processed 81 events and lost 3 chunks!"),
            lost(None, 3)
        );
        assert_eq!(perf(b"a lost sheep of 3 events"), None);
        assert_eq!(perf(b"LOST 99999999999999999999 events"), None);
        assert_eq!(
            sched_map(b"  INFO: 0.500% lost events (5 out of 1000, in 2 chunks)"),
            lost(None, 5)
        );
    }
}
