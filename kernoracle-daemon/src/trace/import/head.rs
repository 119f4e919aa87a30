//! What stands before the event in a line of perf script and of ftrace, and the pieces that lines are made of.

use super::lines::Wrong;
use kernoracle_common::MAX_CPUS;

/// `PID_MAX_LIMIT` (include/linux/threads.h) on 64 bit.
const MAX_PID: u64 = 1 << 22;

/// `perf  123 [001] 26385.920082: sched:sched_switch: …`, `bash-123 (  100) [001] d..2. 27722.290862: sched_switch: …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Name and pid, as the tool writes them.
    pub who: &'a [u8],
    pub cpu: u32,
    pub ts_ns: u64,
    /// Behind the time stamp.
    pub rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// ftrace puts letters for the context between CPU and time.
    pub fn parse(line: &'a [u8], flags: bool) -> Result<Self, Wrong> {
        // A name can hold brackets too, but is too short to hold CPU and time.
        let mut why = Wrong::Foreign;
        let mut from = 0;
        while let Some(at) = line[from..].iter().position(|&byte| byte == b'[') {
            let open = from + at;
            from = open + 1;
            let Some((digits, rest)) = split(&line[from..], b"]") else {
                break;
            };
            let Some(_) = number(digits) else { continue };
            let mut rest = rest.trim_ascii_start();
            let (mut time, mut behind) = word(rest);
            if flags && !time.ends_with(b":") {
                rest = behind.trim_ascii_start();
                (time, behind) = word(rest);
            }
            let Some(time) = time.strip_suffix(b":") else {
                continue;
            };
            let (Some(cpu), Some(ts_ns)) = (cpu(digits), time_ns(time)) else {
                why = if cpu(digits).is_none() {
                    Wrong::Cpu
                } else {
                    Wrong::Time
                };
                continue;
            };
            return Ok(Self {
                who: line[..open].trim_ascii(),
                cpu,
                ts_ns,
                rest: behind.trim_ascii_start(),
            });
        }
        Err(why)
    }
}

/// Up to the first white space, and from there on.
pub fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(u8::is_ascii_whitespace);
    text.split_at(end.unwrap_or(text.len()))
}

/// Before and behind the first `by`.
pub fn split<'a>(text: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(by.len()).position(|window| window == by)?;
    Some((&text[..at], &text[at + by.len()..]))
}

/// Before and behind the last `by`.
pub fn rsplit<'a>(text: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(by.len()).rposition(|window| window == by)?;
    Some((&text[..at], &text[at + by.len()..]))
}

/// The word behind the last `key`.
pub fn word_after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    rsplit(text, key).map(|(_, rest)| word(rest).0)
}

/// Decimal digits only.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

pub fn cpu(text: &[u8]) -> Option<u32> {
    number(text)
        .filter(|&cpu| cpu < MAX_CPUS as u64)
        .map(|cpu| cpu as u32)
}

pub fn pid(text: &[u8]) -> Option<u32> {
    number(text)
        .filter(|&pid| pid < MAX_PID)
        .map(|pid| pid as u32)
}

/// Kernel priority; a deadline task's -1 becomes 0, as `record` has it.
pub fn prio(text: &[u8]) -> Option<u8> {
    if text == b"-1" {
        return Some(0);
    }
    number(text)
        .filter(|&prio| prio <= 140)
        .map(|prio| prio as u8)
}

/// `SECONDS.FRACTION`, ns; one to nine digits behind the point.
pub fn time_ns(text: &[u8]) -> Option<u64> {
    let (seconds, fraction) = split(text, b".")?;
    if fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(9 - fraction.len() as u32);
    let ns = number(fraction)? * scale;
    number(seconds)?.checked_mul(1_000_000_000)?.checked_add(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let head =
            Head::parse(b" k [1] a/0:1-ev 12/-1 [003]  5.000001: sched:x: y", false).unwrap();
        assert_eq!(head.who, b"k [1] a/0:1-ev 12/-1");
        assert_eq!(
            (head.cpu, head.ts_ns, head.rest),
            (3, 5_000_001_000, &b"sched:x: y"[..])
        );
        for line in [
            &b"      <idle>-0     [000] d.h2. 27722.292017: sched_x: y"[..],
            b"      <idle>-0     (-----) [000] 27722.292017: sched_x: y",
            b"buf:  <idle>-0     [000] 27722.292017000: sched_x: y",
        ] {
            let head = Head::parse(line, true).unwrap();
            assert_eq!(
                (head.cpu, head.ts_ns, head.rest),
                (0, 27_722_292_017_000, &b"sched_x: y"[..])
            );
        }
        assert_eq!(
            Head::parse(b"a 1 [4096] 1.000000: x", false),
            Err(Wrong::Cpu)
        );
        assert_eq!(
            Head::parse(b"a 1 [0] 99999999999999.000000: x", false),
            Err(Wrong::Time)
        );
        assert_eq!(Head::parse(b"a 1 [0] 1.0", false), Err(Wrong::Foreign));
    }
}
