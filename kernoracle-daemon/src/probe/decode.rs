//! From the bytes of a record to an event. Pure: nothing here touches the kernel, and no bytes make it
//! panic.

use super::introduced::Introduced;
use crate::trace::event::{self, Body, Comm, Event, Fair, MAX_PARENTS, WakeKind};
use kernoracle_common::{
    Card, DEEP, Entity, Header, Introduction, Kind, Life, Migrate, SHALLOW, Snapshot, Switch, Task,
    Wake, card_flags, flags, task_flags,
};
use std::collections::HashMap;

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
    #[error("a record of pid {pid}, which was not introduced")]
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

/// What records rely on that came before them.
#[derive(Debug, Default)]
pub struct Known {
    queues: Queues,
    introduced: Introduced,
}

/// Small numbers for run queues, in order of first sight. Kernel addresses go no further.
#[derive(Debug, Default)]
struct Queues(HashMap<u64, u32, foldhash::fast::FixedState>);

impl Queues {
    /// 0 for none.
    fn id(&mut self, address: u64) -> u32 {
        if address == 0 {
            return 0;
        }
        let next = self.0.len() as u32 + 1;
        *self.0.entry(address).or_insert(next)
    }
}

/// Structures that any bytes are a value of.
///
/// # Safety
///
/// `repr(C)`, integers only, no padding.
unsafe trait Plain: Copy {}

// SAFETY: the records of kernoracle-common are such, by its rule.
unsafe impl Plain for Header {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Switch<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Wake<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Snapshot<N> {}
// SAFETY: as above.
unsafe impl Plain for Migrate {}
// SAFETY: as above.
unsafe impl Plain for Life {}
// SAFETY: as above.
unsafe impl Plain for Introduction {}

/// The header, if there is one.
pub fn header(bytes: &[u8]) -> Result<Header, BadRecord> {
    let len = bytes.len();
    if len < size_of::<Header>() {
        return Err(BadRecord::Short { len });
    }
    // SAFETY: the length was checked; any bytes are a header.
    Ok(unsafe { bytes.as_ptr().cast::<Header>().read_unaligned() })
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
            } = reader.plain(Kind::Migrate)?;
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
            let Introduction { header: _, card } = reader.plain(Kind::Introduction)?;
            reader.known.introduced.add(Card {
                comm: name(card.comm),
                ..card
            });
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

impl<'a> Reader<'a> {
    fn plain<T: Plain>(&self, kind: Kind) -> Result<T, BadRecord> {
        let (len, expected) = (self.bytes.len(), size_of::<T>());
        if len != expected {
            return Err(BadRecord::Length {
                kind,
                len,
                expected,
            });
        }
        // SAFETY: the length was checked; any bytes are a value of a plain type.
        Ok(unsafe { self.bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    /// A `T` at the start, and so many entities at the end, of which there may be more than are read.
    ///
    /// `count` says how many; the record has no other length than with those.
    fn with_above<T: Plain>(
        &self,
        kind: Kind,
        count: impl FnOnce(&T) -> usize,
    ) -> Result<(T, &'a [u8]), BadRecord> {
        let len = self.bytes.len();
        let wrong = |expected| BadRecord::Length {
            kind,
            len,
            expected,
        };
        let (start, above) = self
            .bytes
            .split_at_checked(size_of::<T>())
            .ok_or(wrong(size_of::<T>()))?;
        // SAFETY: the length was checked; any bytes are a value of a plain type.
        let record = unsafe { start.as_ptr().cast::<T>().read_unaligned() };
        let expected = count(&record) * size_of::<Entity>();
        if above.len() != expected {
            return Err(wrong(size_of::<T>() + expected));
        }
        Ok((record, above))
    }

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
        let (record, above) = self.with_above::<Switch<0>>(Kind::Switch, |record| {
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
            self.with_above::<Wake<0>>(kind, |record| self.levels_of(&record.task))?;
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
        let (record, above) =
            self.with_above::<Snapshot<0>>(Kind::Snapshot, |record| self.levels_of(&record.task))?;
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
        } = self.plain(kind)?;
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

/// A task and the entities above it. `lagging`: a shared `vlag` is the lag here, not the protected run time.
fn task(
    known: &mut Known,
    present: Present,
    task: &Task,
    above: &[u8],
    lagging: bool,
    into: &mut event::Task,
) -> Result<(), BadRecord> {
    let Task {
        pid,
        cpu,
        flags,
        reserved: _,
        sum_exec_ns,
        vlag,
        vruntime,
        deadline,
        cfs_rq,
    } = *task;
    let Known { queues, introduced } = known;
    let Card {
        comm,
        pid: _,
        tgid,
        weight,
        slice,
        prio,
        policy,
        depth,
        flags: card,
        idle_cpu: _,
    } = *introduced
        .get(pid, cpu.into())
        .ok_or(BadRecord::Stranger { pid })?;
    // To the last field: what lies there is of another task.
    let event::Task {
        pid: into_pid,
        tgid: into_tgid,
        comm: into_comm,
        prio: into_prio,
        policy: into_policy,
        kthread,
        on_rq,
        fair,
    } = into;
    *into_pid = pid;
    *into_tgid = tgid;
    *into_comm = Comm(comm);
    *into_prio = prio;
    *into_policy = policy;
    *kthread = card & card_flags::KTHREAD != 0;
    *on_rq = flags & task_flags::ON_RQ != 0;
    if card & card_flags::FAIR == 0 {
        *fair = None;
        return Ok(());
    }
    let Fair {
        own,
        sum_exec_ns: into_sum_exec,
        vlag: into_vlag,
        delayed,
        depth: into_depth,
        parents,
    } = fair.get_or_insert_default();
    *own = entity(
        queues,
        present,
        Entity {
            vruntime,
            deadline,
            cfs_rq,
            weight,
            slice,
        },
    );
    *into_sum_exec = sum_exec_ns;
    *into_vlag = (present.vlag && (lagging || !present.vlag_shared)).then_some(vlag);
    *delayed = present.delayed.then_some(flags & task_flags::DELAYED != 0);
    *into_depth = depth;
    parents.clear();
    let levels = usize::from(depth).min(MAX_PARENTS);
    for bytes in above.chunks_exact(size_of::<Entity>()).take(levels) {
        // SAFETY: the chunk is that long; any bytes are an entity.
        let parent = unsafe { bytes.as_ptr().cast::<Entity>().read_unaligned() };
        parents.push(entity(queues, present, parent));
    }
    Ok(())
}

fn entity(queues: &mut Queues, present: Present, entity: Entity) -> event::Entity {
    let Entity {
        vruntime,
        deadline,
        cfs_rq,
        weight,
        slice,
    } = entity;
    event::Entity {
        vruntime,
        deadline: present.deadline.then_some(deadline),
        slice: present.slice.then_some(slice),
        weight,
        cfs_rq: queues.id(cfs_rq),
    }
}

/// Zeroes what lies behind the end: the kernel leaves an old name's rest there.
fn name(mut comm: [u8; 16]) -> [u8; 16] {
    // 15 bytes and a zero: a name that was read while it changed may lack the zero.
    let len = comm
        .iter()
        .take(15)
        .position(|&byte| byte == 0)
        .unwrap_or(15);
    comm[len..].fill(0);
    comm
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
