//! A record of a wake-up that tells of its `sched_waking` too.

use crate::trace::event::{Body, WakeKind};
use kernoracle_common::{Header, flags};

/// Makes the event of a wake-up that of the `sched_waking` before it, of which one record may tell too. What it
/// gives makes it the wake-up's again.
pub fn as_waking(header: &Header, body: &mut Body) -> Option<Wakeup> {
    let Body::Wake(wake) = body else { return None };
    if header.flags & flags::WITH_WAKING == 0 {
        return None;
    }
    let wakeup = Wakeup {
        kind: wake.kind,
        on_rq: wake.task.on_rq,
    };
    wake.kind = WakeKind::Waking;
    // It had yet to be queued.
    wake.task.on_rq = false;
    Some(wakeup)
}

/// What sets a wake-up apart from its `sched_waking`.
#[derive(Clone, Copy, Debug)]
pub struct Wakeup {
    kind: WakeKind,
    on_rq: bool,
}

impl Wakeup {
    pub fn restore(self, body: &mut Body) {
        if let Body::Wake(wake) = body {
            wake.kind = self.kind;
            wake.task.on_rq = self.on_rq;
        }
    }
}
