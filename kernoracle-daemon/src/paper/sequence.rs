//! The switches of one CPU as the paper sees them: who entered, and how long after the switch before.

use crate::trace::{
    ReadError, TraceReader,
    event::{Body, Comm, Event},
};
use foldhash::{HashMap, HashMapExt as _};
use std::fmt;
use std::path::{Path, PathBuf};

/// One task of a sequence. Pids tell tasks apart; the name is the one that was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub pid: u32,
    pub comm: Comm,
}

/// `nginx/812`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.comm, self.pid)
    }
}

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Who entered: an index into [`Sequence::names`].
    pub task: u32,
    /// ns since the switch before, that is, how long the task before this one ran. Nothing if [`Self::cut`].
    pub diff_ns: u64,
    /// The switch before is not known: events were lost, or this is the first one.
    pub cut: bool,
}

/// The switches of one CPU, in order.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    pub cpu: u32,
    pub names: Vec<Name>,
    pub samples: Vec<Sample>,
    /// What the file does not give back, in a line.
    pub lost: Option<String>,
}

/// Why a file gives no sequence.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{}: no switch is in it; record a load", path.display())]
    NoSwitch { path: PathBuf },
    #[error("{}: no switch of CPU {cpu} is in it; CPU {busiest} has {switches}", path.display())]
    NoSwitchOn {
        path: PathBuf,
        cpu: u32,
        busiest: u32,
        switches: usize,
    },
}

/// Builds a sequence switch by switch.
#[derive(Debug, Default)]
pub struct Builder {
    sequence: Sequence,
    indices: HashMap<u32, u32>,
    /// Who entered last, and when, ns.
    last: Option<(u32, u64)>,
}

impl Builder {
    pub fn new(cpu: u32) -> Self {
        Self {
            sequence: Sequence {
                cpu,
                ..Sequence::default()
            },
            indices: HashMap::new(),
            last: None,
        }
    }

    /// Takes an event of the sequence's CPU; others are passed over. What it became, if it was a switch.
    pub fn event(&mut self, event: &Event) -> Option<Sample> {
        if event.cpu != self.sequence.cpu {
            return None;
        }
        match &event.body {
            Body::Gap { .. } => {
                self.last = None;
                None
            }
            Body::Switch(switch) => {
                let names = &mut self.sequence.names;
                let pid = switch.next.pid;
                let task = *self.indices.entry(pid).or_insert_with(|| {
                    names.push(Name {
                        pid,
                        comm: switch.next.comm,
                    });
                    names.len() as u32 - 1
                });
                let before = self.last.filter(|(pid, _)| *pid == switch.prev.pid);
                let diff_ns = before.map(|(_, since)| {
                    let diff = event.ts_ns.saturating_sub(since);
                    diff.saturating_sub(switch.hidden_ns)
                });
                let sample = Sample {
                    task,
                    diff_ns: diff_ns.unwrap_or(0),
                    cut: diff_ns.is_none(),
                };
                self.sequence.samples.push(sample);
                self.last = Some((pid, event.ts_ns));
                Some(sample)
            }
            _ => None,
        }
    }

    /// Index of the task with a pid, if it has entered before.
    pub fn task_of(&self, pid: u32) -> Option<u32> {
        self.indices.get(&pid).copied()
    }

    pub fn finish(self) -> Sequence {
        self.sequence
    }
}

impl Sequence {
    /// The switches of `cpu`, or of the CPU that has most.
    pub fn read(path: &Path, cpu: Option<u32>) -> Result<Self, SequenceError> {
        let mut reader = TraceReader::open(path)?;
        let mut builders: Vec<Builder> = Vec::new();
        while let Some(event) = reader.next_event()? {
            let cpu = event.cpu as usize;
            while builders.len() <= cpu {
                builders.push(Builder::new(builders.len() as u32));
            }
            builders[cpu].event(event);
        }
        let switches = |builder: &Builder| builder.sequence.samples.len();
        // Of equals the first.
        let busiest = (0..builders.len())
            .rev()
            .max_by_key(|i| switches(&builders[*i]));
        let Some(busiest) = busiest.filter(|i| switches(&builders[*i]) > 0) else {
            return Err(SequenceError::NoSwitch {
                path: path.to_owned(),
            });
        };
        let most = switches(&builders[busiest]);
        let chosen = cpu.map_or(busiest, |cpu| cpu as usize);
        if chosen >= builders.len() || switches(&builders[chosen]) == 0 {
            return Err(SequenceError::NoSwitchOn {
                path: path.to_owned(),
                cpu: chosen as u32,
                busiest: busiest as u32,
                switches: most,
            });
        }
        let mut sequence = builders.swap_remove(chosen).finish();
        sequence.lost = reader.lost().map(ToString::to_string);
        Ok(sequence)
    }

    /// Index of the first switch of the test part, the last `test` (0 to 1) of all.
    pub fn test_from(&self, test: f64) -> usize {
        let len = self.samples.len();
        len - ((len as f64 * test).round() as usize).min(len)
    }

    /// No switch of `range`, its first one included, follows an unknown one.
    pub fn whole(&self, range: std::ops::Range<usize>) -> bool {
        self.samples
            .get(range)
            .is_some_and(|samples| samples.iter().all(|sample| !sample.cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::{Switch, Task};

    fn switch(ts_ns: u64, cpu: u32, prev: u32, next: u32) -> Event {
        let task = |pid| Task {
            pid,
            comm: Comm::new("t"),
            ..Task::default()
        };
        Event {
            ts_ns,
            seq: 0,
            cpu,
            body: Body::Switch(Switch {
                prev: task(prev),
                next: task(next),
                prev_state: 1,
                preempt: false,
                merged: false,
                hidden_ns: 5,
            }),
        }
    }

    #[test]
    fn gaps_and_broken_chains_are_cuts() {
        let mut builder = Builder::new(0);
        let gap = Event {
            body: Body::Gap { lost: 3 },
            ..switch(30, 0, 0, 0)
        };
        let events = [
            switch(10, 0, 0, 7),
            switch(15, 1, 3, 4),
            switch(25, 0, 7, 8),
            gap,
            switch(40, 0, 8, 7),
            switch(50, 0, 7, 8),
            switch(60, 0, 7, 0),
        ];
        let taken: Vec<bool> = (events.iter())
            .map(|event| builder.event(event).is_some())
            .collect();
        assert_eq!(taken, [true, false, true, false, true, true, true]);
        let sequence = builder.finish();
        let samples: Vec<_> = (sequence.samples.iter())
            .map(|s| (sequence.names[s.task as usize].pid, s.diff_ns, s.cut))
            .collect();
        let want = [
            (7, 0, true),
            (8, 10, false),
            (7, 0, true),
            (8, 5, false),
            (0, 0, true),
        ];
        assert_eq!(samples, want);
        assert!(sequence.whole(1..2) && !sequence.whole(1..3) && !sequence.whole(3..9));
        assert_eq!(sequence.test_from(0.3), 3);
    }
}
