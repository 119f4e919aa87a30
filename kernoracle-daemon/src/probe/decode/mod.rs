//! From the bytes of a record to an event. Pure: nothing here touches the kernel, and no bytes make it
//! panic.

mod bytes;
mod queues;
mod task;
mod wakeup;

pub use bytes::header;
pub use wakeup::as_waking;

use super::introduced::Introduced;
use crate::trace::event::{self, Body, Comm, Event, WakeKind};
use bytes::{plain, with_above};
use kernoracle_common::{
    DEEP, Entity, Header, Introduction, Kind, Life, Migrate, SHALLOW, Snapshot, Switch, Task, Wake,
    flags, task_flags,
};
use queues::Queues;
pub(super) use task::name;
use task::task;

/// Which of the optional fields the kernel has.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one fact a field, none excludes another"
)]
#[derive(Clone, Copy, Debug)]
pub struct Present {
    pub deadline: bool,
    pub slice: bool,
    pub vlag: bool,
    /// `vlag` holds something else while the task runs, and until it next leaves the queue.
    pub vlag_shared: bool,
    pub delayed: bool,
}

/// A record that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    #[error("a record of {len} bytes, shorter than a header")]
    Short { len: usize },
    #[error("a record of unknown kind {kind}")]
    Kind { kind: u8 },
    #[error("a record of kind {kind:?} with {len} bytes instead of {expected}")]
    Length {
        kind: Kind,
        len: usize,
        expected: usize,
    },
    /// No card of that pid is known that has the record's check.
    #[error("a record of pid {pid}, which was not introduced as it is now")]
    Stranger { pid: u32 },
}

/// An event of each frequent shape, which records are read into: bodies are large, and to move one costs more than to read it.
#[derive(Debug)]
pub struct Scratch {
    switch: Event,
    wake: Event,
    other: Event,
}

impl Default for Scratch {
    fn default() -> Self {
        let event = |body| Event {
            ts_ns: 0,
            seq: 0,
            cpu: 0,
            body,
        };
        Self {
            switch: event(Body::Switch(event::Switch {
                prev: event::Task::default(),
                next: event::Task::default(),
                prev_state: 0,
                preempt: false,
                merged: false,
                hidden_ns: 0,
            })),
            wake: event(Body::Wake(event::Wake {
                kind: WakeKind::Waking,
                waker_pid: 0,
                target_cpu: 0,
                task: event::Task::default(),
            })),
            other: event(Body::Gap { lost: 0 }),
        }
    }
}

/// What records rely on that came before them.
#[derive(Debug, Default)]
pub struct Known {
    queues: Queues,
    introduced: Introduced,
}

/// A record, whole, with its body in the event; nothing if it is an introduction, which is known from now on.
pub fn decode<'a>(
    bytes: &[u8],
    present: Present,
    known: &mut Known,
    scratch: &'a mut Scratch,
) -> Result<Option<(Header, &'a mut Event)>, BadRecord> {
    let header = header(bytes)?;
    let reader = &mut Reader {
        bytes,
        header,
        present,
        known,
    };
    let event = match kind(header.kind)? {
        Kind::Switch => {
            if let Body::Switch(switch) = &mut scratch.switch.body {
                reader.switch(switch)?;
            }
            &mut scratch.switch
        }
        kind @ (Kind::Waking | Kind::Wakeup | Kind::WakeupNew) => {
            if let Body::Wake(wake) = &mut scratch.wake.body {
                reader.wake(kind, wake)?;
            }
            &mut scratch.wake
        }
        Kind::Snapshot => {
            scratch.other.body = reader.snapshot()?;
            &mut scratch.other
        }
        Kind::Migrate => {
            let Migrate {
                header: _,
                pid,
                from_cpu,
                to_cpu,
                reserved: _,
            } = plain(bytes, Kind::Migrate)?;
            scratch.other.body = Body::Migrate {
                pid,
                from_cpu,
                to_cpu,
            };
            &mut scratch.other
        }
        kind @ (Kind::Fork | Kind::Exec | Kind::Exit | Kind::Rename) => {
            scratch.other.body = reader.life(kind)?;
            &mut scratch.other
        }
        Kind::Introduction => {
            let Introduction { header: _, card } = plain(bytes, Kind::Introduction)?;
            reader.known.introduced.add(card);
            return Ok(None);
        }
    };
    Ok(Some((header, event)))
}

fn kind(kind: u8) -> Result<Kind, BadRecord> {
    const KINDS: [Kind; 11] = [
        Kind::Switch,
        Kind::Waking,
        Kind::Wakeup,
        Kind::WakeupNew,
        Kind::Migrate,
        Kind::Fork,
        Kind::Exec,
        Kind::Exit,
        Kind::Rename,
        Kind::Snapshot,
        Kind::Introduction,
    ];
    KINDS
        .into_iter()
        .find(|&known| known as u8 == kind)
        .ok_or(BadRecord::Kind { kind })
}

struct Reader<'a> {
    bytes: &'a [u8],
    header: Header,
    present: Present,
    known: &'a mut Known,
}

impl Reader<'_> {
    /// Entities above a task that has some.
    fn levels(&self) -> usize {
        if self.header.flags & flags::DEEP != 0 {
            DEEP
        } else {
            SHALLOW
        }
    }

    /// Those above this task.
    fn levels_of(&self, task: &Task) -> usize {
        if task.flags & task_flags::ABOVE != 0 {
            self.levels()
        } else {
            0
        }
    }

    fn switch(&mut self, into: &mut event::Switch) -> Result<(), BadRecord> {
        let shared = self.header.flags & flags::SHARED != 0;
        let (record, above) = with_above::<Switch<0>>(self.bytes, Kind::Switch, |record| {
            if shared {
                self.levels()
            } else {
                self.levels_of(&record.prev) + self.levels_of(&record.next)
            }
        })?;
        let Switch {
            header: _,
            hidden_ns,
            prev_state,
            reserved: _,
            prev,
            next,
            above: [],
        } = record;
        let own = self.levels_of(&prev) * size_of::<Entity>();
        let (above_prev, above_next) = if shared {
            (above, above)
        } else {
            above.split_at(own)
        };
        let event::Switch {
            prev: into_prev,
            next: into_next,
            prev_state: into_state,
            preempt,
            merged,
            hidden_ns: into_hidden,
        } = into;
        let (known, present) = (&mut *self.known, self.present);
        // At the trace point prev has left the queue if it sleeps, and next has been set up to run.
        task(
            known,
            present,
            &prev,
            above_prev,
            prev_state != 0,
            into_prev,
        )?;
        task(known, present, &next, above_next, false, into_next)?;
        *into_state = prev_state;
        *preempt = self.header.flags & flags::PREEMPT != 0;
        *merged = self.header.flags & flags::MERGED != 0;
        *into_hidden = hidden_ns;
        Ok(())
    }

    fn wake(&mut self, kind: Kind, into: &mut event::Wake) -> Result<(), BadRecord> {
        let (record, above) =
            with_above::<Wake<0>>(self.bytes, kind, |record| self.levels_of(&record.task))?;
        let Wake {
            header: _,
            waker_pid,
            reserved: _,
            task: woken,
            above: [],
        } = record;
        let event::Wake {
            kind: into_kind,
            waker_pid: into_waker,
            target_cpu,
            task: into_task,
        } = into;
        task(self.known, self.present, &woken, above, true, into_task)?;
        *into_kind = match kind {
            Kind::Waking => WakeKind::Waking,
            Kind::Wakeup => WakeKind::Wakeup,
            _ => WakeKind::New,
        };
        *into_waker = waker_pid;
        *target_cpu = woken.cpu.into();
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Body, BadRecord> {
        let (record, above) = with_above::<Snapshot<0>>(self.bytes, Kind::Snapshot, |record| {
            self.levels_of(&record.task)
        })?;
        let Snapshot {
            header: _,
            state,
            reserved: _,
            task: seen,
            above: [],
        } = record;
        let off_queue = seen.flags & task_flags::ON_RQ == 0;
        let mut shown = event::Task::default();
        task(
            self.known,
            self.present,
            &seen,
            above,
            off_queue,
            &mut shown,
        )?;
        Ok(Body::Snapshot(event::Snapshot {
            task: shown,
            state,
            target_cpu: seen.cpu.into(),
            on_cpu: seen.flags & task_flags::ON_CPU != 0,
        }))
    }

    fn life(&self, kind: Kind) -> Result<Body, BadRecord> {
        let Life {
            header: _,
            pid,
            tgid,
            other_pid,
            reserved: _,
            comm,
        } = plain(self.bytes, kind)?;
        let comm = Comm(name(comm));
        Ok(match kind {
            Kind::Fork => Body::Fork {
                pid,
                tgid,
                parent_pid: other_pid,
                comm,
            },
            Kind::Exec => Body::Exec {
                pid,
                tgid,
                old_pid: other_pid,
                comm,
            },
            Kind::Exit => Body::Exit { pid, tgid, comm },
            _ => Body::Rename { pid, tgid, comm },
        })
    }
}

#[cfg(test)]
mod tests;
