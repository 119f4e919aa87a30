//! What an event is, and what of it is not as expected: its head, one byte.

use super::wire::Malformed;
use crate::trace::event::{Body, Comm, Snapshot, Switch, Task, Wake, WakeKind};

/// What an event is, as its head says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Switch = 0,
    Waking = 1,
    Wakeup = 2,
    New = 3,
    Migrate = 4,
    Fork = 5,
    Exec = 6,
    Exit = 7,
    Rename = 8,
    Snapshot = 9,
    Gap = 10,
}

impl Kind {
    const MASK: u8 = 0x0f;

    pub fn of(body: &Body) -> Self {
        match body {
            Body::Switch(_) => Self::Switch,
            Body::Wake(Wake {
                kind: WakeKind::Waking,
                ..
            }) => Self::Waking,
            Body::Wake(Wake {
                kind: WakeKind::Wakeup,
                ..
            }) => Self::Wakeup,
            Body::Wake(Wake {
                kind: WakeKind::New,
                ..
            }) => Self::New,
            Body::Migrate { .. } => Self::Migrate,
            Body::Fork { .. } => Self::Fork,
            Body::Exec { .. } => Self::Exec,
            Body::Exit { .. } => Self::Exit,
            Body::Rename { .. } => Self::Rename,
            Body::Snapshot(_) => Self::Snapshot,
            Body::Gap { .. } => Self::Gap,
        }
    }

    pub fn from_head(head: u8) -> Result<Self, Malformed> {
        const ALL: [Kind; 11] = [
            Kind::Switch,
            Kind::Waking,
            Kind::Wakeup,
            Kind::New,
            Kind::Migrate,
            Kind::Fork,
            Kind::Exec,
            Kind::Exit,
            Kind::Rename,
            Kind::Snapshot,
            Kind::Gap,
        ];
        let kind = head & Self::MASK;
        ALL.get(usize::from(kind))
            .copied()
            .ok_or(Malformed::Kind(kind))
    }

    /// Gives a body this kind; one that has it already keeps its contents.
    pub fn shape(self, body: &mut Body) {
        if Self::of(body) == self {
            return;
        }
        match (body, self) {
            // Wake-ups of a task follow each other; their contents stay.
            (Body::Wake(wake), Self::Waking) => wake.kind = WakeKind::Waking,
            (Body::Wake(wake), Self::Wakeup) => wake.kind = WakeKind::Wakeup,
            (Body::Wake(wake), Self::New) => wake.kind = WakeKind::New,
            (body, _) => *body = self.blank(),
        }
    }

    /// A body of this kind, to be filled.
    fn blank(self) -> Body {
        let wake = |kind| {
            Body::Wake(Wake {
                kind,
                waker_pid: 0,
                target_cpu: 0,
                task: Task::default(),
            })
        };
        let comm = Comm::default();
        match self {
            Self::Switch => Body::Switch(Switch {
                prev: Task::default(),
                next: Task::default(),
                prev_state: 0,
                preempt: false,
                merged: false,
                hidden_ns: 0,
            }),
            Self::Waking => wake(WakeKind::Waking),
            Self::Wakeup => wake(WakeKind::Wakeup),
            Self::New => wake(WakeKind::New),
            Self::Migrate => Body::Migrate {
                pid: 0,
                from_cpu: 0,
                to_cpu: 0,
            },
            Self::Fork => Body::Fork {
                pid: 0,
                tgid: 0,
                parent_pid: 0,
                comm,
            },
            Self::Exec => Body::Exec {
                pid: 0,
                tgid: 0,
                old_pid: 0,
                comm,
            },
            Self::Exit => Body::Exit {
                pid: 0,
                tgid: 0,
                comm,
            },
            Self::Rename => Body::Rename {
                pid: 0,
                tgid: 0,
                comm,
            },
            Self::Snapshot => Body::Snapshot(Snapshot {
                task: Task::default(),
                state: 0,
                target_cpu: 0,
                on_cpu: false,
            }),
            Self::Gap => Body::Gap { lost: 0 },
        }
    }

    /// Which times are distributed alike.
    pub fn time_class(self) -> u8 {
        match self {
            Self::Switch => 0,
            Self::Waking => 1,
            Self::Wakeup | Self::New => 2,
            _ => 3,
        }
    }
}

/// Bits of the head besides the kind.
pub mod head {
    /// Another CPU than the event before.
    pub const CPU: u8 = 1 << 4;
    /// Not the number that follows on that CPU.
    pub const SEQ: u8 = 1 << 5;
    /// Switch: prev is not the task that entered last. Wakeup: not the task that was waking.
    /// Migrate: not the task that was waking.
    pub const WHO: u8 = 1 << 6;
    /// Switch: `hidden_ns` is not zero. Wake-ups: the waker is not what runs on that CPU.
    pub const MORE: u8 = 1 << 7;
}
