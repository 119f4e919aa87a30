//! From the bytes of a record to an event. Pure: nothing here touches the kernel, and no bytes make it
//! panic.

use crate::trace::event::{self, Body, Comm, Fair, MAX_PARENTS, WakeKind};
use arrayvec::ArrayVec;
use kernoracle_common::{
    DEEP, Entity, Header, Kind, Life, Migrate, SHALLOW, Snapshot, Switch, Task, TaskHead, Wake,
    flags, task_flags,
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
}

/// A record that has been read.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub header: Header,
    pub body: Body,
}

impl Decoded {
    /// The `sched_waking` of which a wake-up's record tells too; it comes before.
    pub fn waking(&self) -> Option<Body> {
        match &self.body {
            Body::Wake(wakeup) if self.header.flags & flags::WITH_WAKING != 0 => {
                let mut waking = wakeup.clone();
                waking.kind = WakeKind::Waking;
                // It had yet to be queued.
                waking.task.on_rq = false;
                Some(Body::Wake(waking))
            }
            _ => None,
        }
    }
}

/// Small numbers for run queues, in order of first sight. Kernel addresses go no further.
#[derive(Debug, Default)]
pub struct Queues(HashMap<u64, u32, foldhash::fast::FixedState>);

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

/// The header, if there is one.
pub fn header(bytes: &[u8]) -> Result<Header, BadRecord> {
    let len = bytes.len();
    if len < size_of::<Header>() {
        return Err(BadRecord::Short { len });
    }
    // SAFETY: the length was checked; any bytes are a header.
    Ok(unsafe { bytes.as_ptr().cast::<Header>().read_unaligned() })
}

/// A record, whole.
pub fn decode(bytes: &[u8], present: Present, queues: &mut Queues) -> Result<Decoded, BadRecord> {
    let header = header(bytes)?;
    let reader = &mut Reader {
        bytes,
        header,
        present,
        queues,
    };
    let deep = header.flags & flags::DEEP != 0;
    let body = match kind(header.kind)? {
        Kind::Switch if deep => reader.switch::<DEEP>()?,
        Kind::Switch => reader.switch::<SHALLOW>()?,
        kind @ (Kind::Waking | Kind::Wakeup | Kind::WakeupNew) => {
            let wake_kind = match kind {
                Kind::Waking => WakeKind::Waking,
                Kind::Wakeup => WakeKind::Wakeup,
                _ => WakeKind::New,
            };
            if deep {
                reader.wake::<DEEP>(kind, wake_kind)?
            } else {
                reader.wake::<SHALLOW>(kind, wake_kind)?
            }
        }
        Kind::Snapshot if deep => reader.snapshot::<DEEP>()?,
        Kind::Snapshot => reader.snapshot::<SHALLOW>()?,
        Kind::Migrate => {
            let Migrate {
                header: _,
                pid,
                from_cpu,
                to_cpu,
                reserved: _,
            } = reader.plain(Kind::Migrate)?;
            Body::Migrate {
                pid,
                from_cpu,
                to_cpu,
            }
        }
        kind @ (Kind::Fork | Kind::Exec | Kind::Exit | Kind::Rename) => reader.life(kind)?,
    };
    Ok(Decoded { header, body })
}

fn kind(kind: u8) -> Result<Kind, BadRecord> {
    const KINDS: [Kind; 10] = [
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
    queues: &'a mut Queues,
}

impl Reader<'_> {
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

    fn switch<const N: usize>(&mut self) -> Result<Body, BadRecord> {
        let Switch::<N> {
            header: _,
            prev_state,
            hidden_ns,
            prev,
            next,
        } = self.plain(Kind::Switch)?;
        // At the trace point prev has left the queue if it sleeps, and next has been set up to run.
        let prev = self.task(&prev, prev_state != 0);
        let next = self.task(&next, false);
        Ok(Body::Switch(event::Switch {
            prev,
            next,
            prev_state: prev_state as u32,
            preempt: self.header.flags & flags::PREEMPT != 0,
            merged: self.header.flags & flags::MERGED != 0,
            hidden_ns,
        }))
    }

    fn wake<const N: usize>(&mut self, kind: Kind, wake: WakeKind) -> Result<Body, BadRecord> {
        let Wake::<N> {
            header: _,
            waker_pid,
            waker_tgid: _,
            task,
        } = self.plain(kind)?;
        let target_cpu = task.head.cpu;
        Ok(Body::Wake(event::Wake {
            kind: wake,
            waker_pid,
            target_cpu,
            task: self.task(&task, true),
        }))
    }

    fn snapshot<const N: usize>(&mut self) -> Result<Body, BadRecord> {
        let Snapshot::<N> {
            header: _,
            state,
            task,
        } = self.plain(Kind::Snapshot)?;
        let TaskHead {
            cpu: target_cpu,
            flags,
            ..
        } = task.head;
        Ok(Body::Snapshot(event::Snapshot {
            task: self.task(&task, flags & task_flags::ON_RQ == 0),
            state: state as u32,
            target_cpu,
            on_cpu: flags & task_flags::ON_CPU != 0,
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
        let comm = name(comm);
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

    /// `lagging`: a shared `vlag` is the lag here, not the protected run time.
    fn task<const N: usize>(&mut self, task: &Task<N>, lagging: bool) -> event::Task {
        let TaskHead {
            comm,
            pid,
            tgid,
            sum_exec_ns,
            vlag,
            prio,
            policy,
            depth,
            flags,
            cpu: _,
        } = task.head;
        let fair = (flags & task_flags::FAIR != 0).then(|| {
            let levels = (N - 1).min(usize::from(depth)).min(MAX_PARENTS);
            let own = self.entity(&task.entities[0]);
            let parents: ArrayVec<_, MAX_PARENTS> = task.entities[1..=levels]
                .iter()
                .map(|parent| self.entity(parent))
                .collect();
            Fair {
                own,
                sum_exec_ns,
                vlag: (self.present.vlag && (lagging || !self.present.vlag_shared)).then_some(vlag),
                delayed: self
                    .present
                    .delayed
                    .then_some(flags & task_flags::DELAYED != 0),
                depth,
                parents,
            }
        });
        event::Task {
            pid,
            tgid,
            comm: name(comm),
            prio,
            policy,
            kthread: flags & task_flags::KTHREAD != 0,
            on_rq: flags & task_flags::ON_RQ != 0,
            fair,
        }
    }

    fn entity(&mut self, entity: &Entity) -> event::Entity {
        let Entity {
            vruntime,
            deadline,
            cfs_rq,
            weight,
            slice,
        } = *entity;
        event::Entity {
            vruntime,
            deadline: self.present.deadline.then_some(deadline),
            slice: self.present.slice.then_some(slice),
            weight,
            cfs_rq: self.queues.id(cfs_rq),
        }
    }
}

/// Zeroes what lies behind the end: the kernel leaves an old name's rest there.
fn name(mut comm: [u8; 16]) -> Comm {
    // 15 bytes and a zero: a name that was read while it changed may lack the zero.
    let len = comm
        .iter()
        .take(15)
        .position(|&byte| byte == 0)
        .unwrap_or(15);
    comm[len..].fill(0);
    Comm(comm)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
