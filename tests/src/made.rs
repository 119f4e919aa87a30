//! Trace files that a test makes up, of one CPU.

use kernoracle::trace::{
    TraceWriter,
    event::{Body, Comm, Event, Snapshot, Switch, Task, Wake, WakeKind},
    origin::Origin,
};
use std::path::Path;

/// A task by its number alone; 0 is idle.
pub fn task(pid: u32) -> Task {
    let (comm, prio) = match pid {
        0 => ("swapper/0".to_owned(), 140),
        pid => (format!("task-{pid}"), 120),
    };
    Task {
        pid,
        tgid: pid,
        comm: Comm::new(&comm),
        prio,
        on_rq: pid != 0,
        ..Task::default()
    }
}

pub fn wake(kind: WakeKind, waker_pid: u32, woken: u32) -> Body {
    Body::Wake(Wake {
        kind,
        waker_pid,
        target_cpu: 0,
        task: task(woken),
    })
}

/// A switch after which `prev` sleeps.
pub fn switch(prev: u32, next: u32) -> Body {
    Body::Switch(Switch {
        prev: task(prev),
        next: task(next),
        prev_state: u32::from(prev != 0),
        preempt: false,
        merged: false,
        hidden_ns: 0,
    })
}

/// Writes a trace file and numbers its events.
pub struct Maker {
    writer: TraceWriter,
    seq: u64,
    ts_ns: u64,
}

impl Maker {
    /// # Panics
    ///
    /// If the file cannot be created.
    pub fn create(path: &Path, start_ns: u64) -> Self {
        let origin = Origin {
            cpus: 1,
            ..Origin::default()
        };
        Self {
            writer: TraceWriter::create(path, &origin).unwrap_or_else(|error| panic!("{error}")),
            seq: 0,
            ts_ns: start_ns,
        }
    }

    /// Adds an event, so long after the last one.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn write(&mut self, ns_later: u64, body: Body) {
        self.ts_ns += ns_later;
        let numbers = match &body {
            Body::Gap { lost } => *lost,
            _ => 1,
        };
        let event = Event {
            ts_ns: self.ts_ns,
            seq: self.seq,
            cpu: 0,
            body,
        };
        self.writer
            .write(&event)
            .unwrap_or_else(|error| panic!("{error}"));
        self.seq += numbers;
    }

    /// Adds an event at a time that is not before the last one's.
    ///
    /// # Panics
    ///
    /// If it is before, or cannot be written.
    pub fn write_at(&mut self, ts_ns: u64, body: Body) {
        assert!(ts_ns >= self.ts_ns, "{ts_ns} is before {}", self.ts_ns);
        self.write(ts_ns - self.ts_ns, body);
    }

    /// # Panics
    ///
    /// If the rest of the file cannot be written.
    pub fn finish(self) {
        self.writer
            .finish()
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

const PERIOD_NS: u64 = 1_000_000;

/// A trace of tasks that come in turn: 1, 2, 3, idle; each for its pid in units of 100 us, idle until the
/// period of 1 ms ends. A gap of seven events in the middle. Returns how many switches it has.
///
/// # Panics
///
/// If it cannot be written.
pub fn in_turn(path: &Path, rounds: u64) -> u64 {
    let start_ns = 5_000_000_000;
    let turns = [(0, 1), (1, 2), (2, 3), (3, 0)];
    let mut trace = Maker::create(path, start_ns);
    for pid in [1, 2, 3] {
        let snapshot = Snapshot {
            task: task(pid),
            state: 1,
            target_cpu: 0,
            on_cpu: false,
        };
        trace.write(0, Body::Snapshot(snapshot));
    }
    for round in 0..rounds {
        let period_ns = start_ns + (round + 1) * PERIOD_NS;
        if round == rounds / 2 {
            trace.write_at(period_ns, Body::Gap { lost: 7 });
        }
        for pid in [1, 2, 3] {
            trace.write_at(period_ns, wake(WakeKind::Waking, 0, pid));
            trace.write(0, wake(WakeKind::Wakeup, 0, pid));
        }
        for (prev, next) in turns {
            trace.write(1000 + u64::from(prev) * 100_000, switch(prev, next));
        }
    }
    trace.finish();
    rounds * turns.len() as u64
}
