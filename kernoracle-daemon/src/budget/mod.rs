//! How much of a CPU the reader may use, and when it has to let switches pass by to keep to that.
//!
//! A token bucket of CPU time. It fills at the rate that is allowed and empties by what the reader's thread
//! uses. When it is empty, recording pauses in the kernel, where a switch then costs a counter; when it holds
//! a burst again, recording goes on. Bursts are contiguous, for the model's recurrent state and its counts need
//! runs of switches, and long against what the start of one costs.
//!
//! The rate: of the idle time of the CPU that the reader is on it may take all up to the budget. Of a CPU that
//! is never idle it takes the [`BUSY`] part of the budget, for there every share that it takes is
//! taken from someone. The learner's use counts inside: it lowers the rate, and it learns only while some CPU has idle
//! time for it.

mod leisure;
mod usage;

pub use leisure::Leisure;
pub use usage::{Idle, IdleShare, Usage, mark_start, resident_bytes, since_start, thread_cpu_ns};

/// Part of the budget that may be taken from tasks which would run otherwise.
pub const BUSY: f64 = 0.2;

/// CPU time of a burst, ns: at most, and at least where the rate is tiny.
const BURST_NS: (f64, f64) = (2e6, 20e6);
/// A burst is what has gathered in this time, ns, between these limits.
const GATHER_NS: f64 = 2e9;
/// A burst takes so many times what the snapshot at its start takes.
const OVER_RESUME: f64 = 10.0;
/// Credit does not gather for longer, ns: what a quiet hour has saved is not for the busy minute after it.
const KEEP_NS: f64 = 1e9;
/// What is kept besides, in bursts: more than one, for what a pause itself takes must not keep it from ending.
const KEEP_BURSTS: f64 = 1.25;
/// In a pause the reader sleeps until it can use so many times what waking takes it: on a slow machine that is a good part of what it may use.
const OVER_LOOK: f64 = 10.0;
/// What one look in a pause weighs in the mean of what they take.
const LOOK_WEIGHT: f64 = 0.2;
/// Idle time and the learner's use are means over about so long, ns.
const MEAN_NS: f64 = 200e6;
/// Until it has been measured: CPU time for a byte of the ring, ns.
const FIRST_BYTE_NS: f64 = 50.0;
/// As many bytes may always be queued: what a few milliseconds bring.
const LEAST_QUEUE: f64 = 65_536.0;
/// A pause of this length, ns, must have brought the use below the rate.
const PATIENCE_NS: u64 = 2_000_000_000;

/// What is so at one moment. Sums since the start, which only grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// ns.
    pub wall_ns: u64,
    /// CPU time of the reader's thread, ns.
    pub reader_ns: u64,
    /// CPU time of the learner, ns.
    pub learner_ns: u64,
    /// Idle time since it was last known; `None` if not known.
    pub idle: Option<IdleShare>,
    /// Bytes in the ring.
    pub backlog_bytes: usize,
    /// Bytes that have been read from the ring.
    pub read_bytes: u64,
}

/// What the reader has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    GoOn,
    /// Let switches pass by from now on. What is in the ring belongs to the burst.
    Pause,
    /// Begin a burst.
    Resume,
}

/// Keeps the reader's CPU time to a share of one CPU.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    last: Option<Moment>,
    /// ns of CPU time that may be used; negative: a debt.
    credit_ns: f64,
    /// Mean of the idle time that the budget can use.
    idle: f64,
    /// There was less of it at the last look.
    busy: bool,
    leisure: Leisure,
    /// When that was last known.
    idle_wall_ns: Option<u64>,
    learner: f64,
    byte_ns: f64,
    resume_ns: f64,
    /// CPU time between two looks in a pause: what it takes to wake and to find that it goes on.
    look_ns: f64,
    paused_since: Option<Moment>,
    pauses: u64,
    paused_ns: u64,
    /// Of this pause: what it takes although it should not, and whether that has been told.
    overrun: Option<f64>,
    overrun_told: bool,
}

impl Budget {
    /// `share` of one CPU, above 0.
    pub fn new(share: f64) -> Self {
        let mut budget = Self {
            share,
            last: None,
            credit_ns: 0.0,
            idle: 0.0,
            busy: false,
            leisure: Leisure::new(share / 2.0),
            idle_wall_ns: None,
            learner: 0.0,
            byte_ns: FIRST_BYTE_NS,
            resume_ns: 0.0,
            look_ns: 0.0,
            paused_since: None,
            pauses: 0,
            paused_ns: 0,
            overrun: None,
            overrun_told: false,
        };
        budget.credit_ns = budget.burst_ns();
        budget
    }

    /// Share of one CPU that is allowed.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Share of a CPU without idle time that is allowed.
    pub fn busy_share(&self) -> f64 {
        self.share * BUSY
    }

    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// Time in pauses, ns.
    pub fn paused_ns(&self) -> u64 {
        self.paused_ns
    }

    /// Share of one CPU that the reader may use now.
    pub fn rate(&self) -> f64 {
        let busy = self.busy_share();
        (busy + self.idle).min(self.share - self.learner).max(busy)
    }

    /// Some CPU has idle time for the learner.
    pub fn may_learn(&self) -> bool {
        self.leisure.may_learn()
    }

    /// Takes note of what was used since the last call, and says what to do.
    pub fn pass(&mut self, now: Moment) -> Order {
        let last = self.last.replace(now).unwrap_or(now);
        let wall_ns = now.wall_ns.saturating_sub(last.wall_ns) as f64;
        let used_ns = now.reader_ns.saturating_sub(last.reader_ns) as f64;
        if let Some(idle) = now.idle {
            let since = self
                .idle_wall_ns
                .replace(now.wall_ns)
                .unwrap_or(last.wall_ns);
            let passed_ns = now.wall_ns.saturating_sub(since) as f64;
            // Idle time beyond the budget is of no use, and must not outweigh the busy time behind it.
            let usable = idle.here.clamp(0.0, self.share);
            self.idle += (usable - self.idle) * share_of_mean(passed_ns);
            self.busy = idle.here < self.share;
            self.leisure.look(idle, passed_ns);
        }
        if wall_ns > 0.0 {
            let learner = now.learner_ns.saturating_sub(last.learner_ns) as f64 / wall_ns;
            // Its use comes in steps, and is told behind each: a longer mean.
            self.learner += (learner - self.learner) * share_of_mean(wall_ns / 10.0);
        }
        let read = now.read_bytes.saturating_sub(last.read_bytes) as f64;
        if self.paused_since.is_none() && read > 0.0 {
            // By bytes, for many small drains cost more a byte than they matter.
            let weight = 1.0 - (-read / 1e5).exp();
            self.byte_ns += (used_ns / read - self.byte_ns) * weight;
        }
        let rate = self.rate();
        // What idle time has saved is not taken from those who run now.
        let saved_ns = if self.busy { 0.0 } else { rate * KEEP_NS };
        let most = (KEEP_BURSTS * self.burst_ns()).max(saved_ns);
        self.credit_ns = (self.credit_ns + rate * wall_ns).min(most) - used_ns;

        let Some(since) = self.paused_since else {
            let queued_ns = now.backlog_bytes as f64 * self.byte_ns;
            return if self.credit_ns <= queued_ns {
                Order::Pause
            } else {
                Order::GoOn
            };
        };
        self.look_ns += (used_ns - self.look_ns) * LOOK_WEIGHT;
        self.paused_ns += wall_ns as u64;
        let paused_ns = now.wall_ns.saturating_sub(since.wall_ns);
        if paused_ns >= PATIENCE_NS && !self.overrun_told {
            let used = now.reader_ns.saturating_sub(since.reader_ns) as f64 / paused_ns as f64;
            self.overrun = (used > rate).then_some(used);
        }
        if self.credit_ns >= self.burst_ns() {
            Order::Resume
        } else {
            Order::GoOn
        }
    }

    /// A pause has begun, and what was recorded before it has been read.
    pub fn pausing(&mut self) {
        self.pauses += 1;
        self.paused_since = self.last;
    }

    /// The pause is over; its end has taken so much CPU time, ns.
    pub fn resumed(&mut self, cost_ns: u64) {
        self.paused_since = None;
        self.overrun_told = false;
        self.resume_ns = cost_ns as f64;
    }

    /// Share of one CPU that even a pause takes, if that is more than is allowed; told once a pause.
    pub fn overrun(&mut self) -> Option<f64> {
        let overrun = self.overrun.take();
        self.overrun_told |= overrun.is_some();
        overrun
    }

    /// How long to sleep in a pause, ns: until a burst can be paid for, as far as can be told, and the next look with it. Without that the credit
    /// is short of a burst by what the last look took, at every look.
    pub fn pause_ns(&self) -> u64 {
        let missing_ns = self.burst_ns() + self.look_ns - self.credit_ns;
        (missing_ns.max(OVER_LOOK * self.look_ns) / self.rate()) as u64
    }

    /// Bytes whose events the credit pays for.
    pub fn queue_bytes(&self) -> u64 {
        (self.credit_ns / self.byte_ns).max(LEAST_QUEUE) as u64
    }

    /// CPU time that a burst begins with, ns.
    fn burst_ns(&self) -> f64 {
        (self.rate() * GATHER_NS)
            .clamp(BURST_NS.0, BURST_NS.1)
            .max(self.resume_ns * OVER_RESUME)
    }
}

/// What so much time weighs in a mean over [`MEAN_NS`].
fn share_of_mean(ns: f64) -> f64 {
    1.0 - (-ns / MEAN_NS).exp()
}

#[cfg(test)]
mod tests;
