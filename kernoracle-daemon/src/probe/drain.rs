//! From the ring to the events that are handed out.

use super::{Capture, End, ProbeError, decode, tasks};
use crate::trace::event::Event;
use kernoracle_common::Kind;
use std::ops::AddAssign;
use tracing::warn;

/// How a drain ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drained {
    /// Events handed out.
    pub events: u64,
    /// Bytes still in the ring: not zero if the budget ended the drain.
    pub backlog_bytes: usize,
    /// The events so far contain the whole snapshot that ends a pause. The drain has ended there.
    pub resumed: bool,
}

/// What [`Capture::discard`] has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    pub records: u64,
    /// Of the records.
    pub switches: u64,
    /// In the ring, where each record has a mark of eight bytes before it.
    pub bytes: u64,
}

impl AddAssign for Discarded {
    fn add_assign(&mut self, more: Self) {
        let Self {
            records,
            switches,
            bytes,
        } = more;
        self.records += records;
        self.switches += switches;
        self.bytes += bytes;
    }
}

impl Capture {
    /// Hands out at most `budget` events; losses come as [`crate::trace::event::Body::Gap`] events,
    /// which the budget does not count.
    ///
    /// An event is the capture's own, for it is large to copy: `each` may work on it, but must leave it as it was.
    pub fn drain(
        &mut self,
        budget: usize,
        each: &mut dyn FnMut(&mut Event),
    ) -> Result<Drained, ProbeError> {
        let mut events = 0;
        let mut left = budget;
        while left > 0 && self.drain_synthetic(&mut events, each) {
            left -= 1;
        }
        let mut resumed = self.has_resumed();
        while left > 0 && !resumed && self.drain_ring(&mut events, each) {
            left -= 1;
            resumed = self.has_resumed();
        }
        if left > 0 && !resumed && self.end == End::Stopped {
            self.tell_tails(&mut events, each)?;
            self.end = End::Told;
        }
        Ok(Drained {
            events,
            backlog_bytes: self.ring.backlog_bytes() as usize,
            resumed,
        })
    }

    /// Takes what is queued and looks at no more than the headers.
    pub fn discard(&mut self) -> Discarded {
        let before = self.ring.read_bytes();
        let mut discarded = Discarded::default();
        while let Some(record) = self.ring.next() {
            discarded.records += 1;
            if decode::header(record).is_ok_and(|header| header.kind == Kind::Switch as u8) {
                discarded.switches += 1;
            }
        }
        discarded.bytes = self.ring.read_bytes() - before;
        discarded
    }

    fn drain_synthetic(&mut self, events: &mut u64, each: &mut dyn FnMut(&mut Event)) -> bool {
        let Some(tasks::Listed { cpu, ts_ns, body }) = self.synthetic.pop_front() else {
            return false;
        };
        if let Some(mut event) = self.streams.event(cpu, ts_ns, body) {
            *events += 1;
            each(&mut event);
        }
        true
    }

    /// False when the ring is empty.
    fn drain_ring(&mut self, events: &mut u64, each: &mut dyn FnMut(&mut Event)) -> bool {
        let Self {
            ring,
            streams,
            known,
            scratch,
            present,
            malformed,
            ..
        } = self;
        let Some(record) = ring.next() else {
            return false;
        };
        let (header, event) = match decode::decode(record, *present, known, scratch) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return true,
            Err(error) => {
                *malformed += 1;
                if *malformed == 1 {
                    warn!(%error, "a record cannot be read; it counts as lost");
                }
                return true;
            }
        };
        let cpu = u32::from(header.cpu);
        if let Some(mut gap) = streams.gap(cpu, header.ts_ns, header.lost) {
            *events += 1;
            each(&mut gap);
        }
        let mut hand_out = |event: &mut Event| {
            if streams.number(cpu, header.ts_ns, event) {
                *events += 1;
                each(event);
            } else {
                *malformed += 1;
                warn!(
                    cpu,
                    "a record of a CPU that is not there; it counts as lost"
                );
            }
        };
        if let Some(wakeup) = decode::as_waking(&header, &mut event.body) {
            hand_out(event);
            wakeup.restore(&mut event.body);
        }
        hand_out(event);
        true
    }

    fn tell_tails(
        &mut self,
        events: &mut u64,
        each: &mut dyn FnMut(&mut Event),
    ) -> Result<(), ProbeError> {
        for (cpu, counters) in self.counters()?.into_iter().enumerate() {
            if let Some(mut gap) = self.streams.tail(cpu as u32, counters.produced()) {
                *events += 1;
                each(&mut gap);
            }
        }
        Ok(())
    }
}
