//! Numbers for the events of each CPU, and gaps where some are missing.
//!
//! Each record carries how many of its CPU had been dropped when it was written. A program that runs
//! in an interrupt puts its record before or after that of the program it interrupts, and reads the
//! sum before or after, so the sums of neighbours may come in either order; but they never exceed what
//! was dropped, and a later record sees what was dropped before it. Hence, with the greatest sum so far:
//! a greater one is that many new losses (no loss is counted twice), a smaller or equal one is none (no
//! gap is made up), and after the end the kernel's own counter tells of losses behind the last record.

use crate::trace::event::{Body, Event};

/// What has come from one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stream {
    /// Events handed out, gaps not counted.
    seen: u64,
    /// Events lost, as gaps have told.
    lost: u64,
    last_ts_ns: u64,
}

impl Stream {
    fn next_seq(&self) -> u64 {
        self.seen + self.lost
    }
}

/// All CPUs.
#[derive(Clone, Debug)]
pub struct Streams(Vec<Stream>);

impl Streams {
    pub fn new(cpus: usize) -> Self {
        Self(vec![Stream::default(); cpus])
    }

    /// The gap that the sum of losses in a record's header shows, to be handed out before the record.
    ///
    /// Of the sum, a record has the low half: what looks like a rise by more than 2^31 is none.
    pub fn gap(&mut self, cpu: u32, ts_ns: u64, lost_sum: u32) -> Option<Event> {
        let stream = self.0.get_mut(cpu as usize)?;
        let rise = lost_sum.wrapping_sub(stream.lost as u32).cast_signed();
        let lost = u64::try_from(rise).ok().filter(|&lost| lost > 0)?;
        let seq = stream.next_seq();
        stream.lost += lost;
        Some(Event {
            ts_ns: stream.order(ts_ns),
            seq,
            cpu,
            body: Body::Gap { lost },
        })
    }

    /// Numbers a record; none if there is no such CPU.
    pub fn event(&mut self, cpu: u32, ts_ns: u64, body: Body) -> Option<Event> {
        let mut event = Event {
            ts_ns,
            seq: 0,
            cpu,
            body,
        };
        self.number(cpu, ts_ns, &mut event).then_some(event)
    }

    /// Gives a record its place; false if there is no such CPU.
    pub fn number(&mut self, cpu: u32, ts_ns: u64, event: &mut Event) -> bool {
        let Some(stream) = self.0.get_mut(cpu as usize) else {
            return false;
        };
        event.cpu = cpu;
        event.seq = stream.next_seq();
        event.ts_ns = stream.order(ts_ns);
        stream.seen += 1;
        true
    }

    /// After the end: what is missing of the `produced` records of a CPU.
    pub fn tail(&mut self, cpu: u32, produced: u64) -> Option<Event> {
        let stream = self.0.get_mut(cpu as usize)?;
        let missing = produced
            .checked_sub(stream.next_seq())
            .filter(|&missing| missing > 0)?;
        let seq = stream.next_seq();
        stream.lost += missing;
        Some(Event {
            ts_ns: stream.last_ts_ns,
            seq,
            cpu,
            body: Body::Gap { lost: missing },
        })
    }
}

impl Stream {
    /// Time never runs backwards on a CPU: a record that an interrupt overtook between taking its time
    /// and reserving its space takes the overtaker's.
    fn order(&mut self, ts_ns: u64) -> u64 {
        self.last_ts_ns = self.last_ts_ns.max(ts_ns);
        self.last_ts_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(pid: u32) -> Body {
        Body::Migrate {
            pid,
            from_cpu: 0,
            to_cpu: 1,
        }
    }

    /// Plays a CPU whose ring refuses some records; some of the others are overtaken by the next one,
    /// and read the sum of losses late.
    fn play(fates: &[u8]) -> (Vec<Event>, u64, u64) {
        let mut written: Vec<(u64, u32)> = Vec::new();
        let mut dropped = 0;
        let mut overtaken: Option<u64> = None;
        for (i, fate) in fates.iter().enumerate() {
            match fate % 4 {
                0 => dropped += 1,
                // Interrupted between its time and its reserve: goes in behind the next one.
                1 if overtaken.is_none() => overtaken = Some(i as u64),
                _ => {
                    written.push((i as u64, dropped));
                    if let Some(ts) = overtaken.take() {
                        written.push((ts, dropped));
                    }
                }
            }
        }
        // Interrupted between its reserve and reading the sum: neighbours out of order.
        for pair in written.chunks_exact_mut(2) {
            if pair[0].0 % 3 == 0 {
                (pair[0].1, pair[1].1) = (pair[1].1, pair[0].1);
            }
        }
        let mut streams = Streams::new(1);
        let mut events = Vec::new();
        for (ts, lost) in &written {
            events.extend(streams.gap(0, *ts, *lost));
            events.extend(streams.event(0, *ts, body(1)));
        }
        let produced = written.len() as u64 + u64::from(dropped);
        events.extend(streams.tail(0, produced));
        (events, produced, dropped.into())
    }

    proptest! {
        #[test]
        fn seen_and_lost_add_up(fates in prop::collection::vec(any::<u8>(), 0..300)) {
            let (events, produced, dropped) = play(&fates);
            let (mut seq, mut lost, mut ts) = (0, 0, 0);
            for event in &events {
                prop_assert_eq!(event.seq, seq);
                prop_assert!(event.ts_ns >= ts);
                ts = event.ts_ns;
                if let Body::Gap { lost: n } = event.body {
                    prop_assert!(n > 0);
                    lost += n;
                    seq += n;
                } else {
                    seq += 1;
                }
            }
            prop_assert_eq!(seq, produced);
            prop_assert_eq!(lost, dropped);
        }
    }

    #[test]
    fn the_sum_of_losses_goes_beyond_32_bits() {
        let mut streams = Streams::new(1);
        let mut sum = 0_u64;
        for lost in [1 << 30, (1 << 31) - 1, 1 << 30, 5] {
            sum += lost;
            let gap = streams.gap(0, 0, sum as u32).map(|event| event.body);
            assert_eq!(gap, Some(Body::Gap { lost }));
            // A nested program's, read before.
            assert_eq!(streams.gap(0, 0, (sum - 1) as u32), None);
        }
        assert!(sum > u64::from(u32::MAX) - (1 << 30));
        assert_eq!(streams.tail(0, sum), None);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused() {
        let mut streams = Streams::new(2);
        assert_eq!(streams.event(2, 0, body(1)), None);
        assert_eq!(streams.gap(2, 0, 1), None);
        assert_eq!(streams.tail(2, 1), None);
    }
}
