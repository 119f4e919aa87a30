//! The entities of a task: its own and those of the groups above it.

use super::{
    fair::virtual_ns,
    state::{KnownEntity, KnownTask, LEVELS, Layout, Queue, Running, State},
    stream::{Role, Stream},
    task::At,
    wire::{Malformed, Wire},
};
use crate::trace::event::{Entity, Fair};

/// Bits of an entity's mask.
mod mask {
    /// Two bits: a [`super::Vruntime`].
    pub const VRUNTIME_SHIFT: u32 = 0;
    /// Two bits: a [`super::Deadline`].
    pub const DEADLINE_SHIFT: u32 = 2;
    /// Queue, weight and slice follow.
    pub const REST: u8 = 1 << 4;
}

/// How a vruntime relates to what is known.
#[derive(Clone, Copy)]
enum Vruntime {
    Expected = 0,
    /// Follows, from the expected one.
    FromExpected = 1,
    /// Follows, from where the queue is.
    FromQueue = 2,
    /// As it was, although it was expected to move.
    Same = 3,
}

/// How a deadline relates to what is known.
#[derive(Clone, Copy)]
enum Deadline {
    /// As it was.
    Same = 0,
    /// One slice of virtual time behind the vruntime.
    Fresh = 1,
    /// Follows, from that.
    Explicit = 2,
    /// Moved along with the vruntime.
    Moved = 3,
}

/// The task's own entity and those above it, upwards.
pub fn entities<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: At,
    known: &KnownTask,
    layout: Layout,
    fair: &mut Fair,
) -> Result<(), Malformed> {
    let ran_ns = if known.own.seen {
        fair.sum_exec_ns.wrapping_sub(known.sum_exec_ns)
    } else {
        0
    };
    let mut child = None;
    for level in 0..LEVELS {
        let entity = match level {
            0 => &mut fair.own,
            _ => match fair.parents.get_mut(level - 1) {
                Some(entity) => entity,
                None => break,
            },
        };
        let (seen, expected) = match child {
            None => (
                known.own,
                known
                    .own
                    .vruntime
                    .wrapping_add(virtual_ns(ran_ns, known.own.weight)),
            ),
            Some(place) => {
                let queue: &Queue = &state.queues[place];
                (
                    queue.owner,
                    expect_group(at, queue.owner, queue.owner_running, ran_ns),
                )
            }
        };
        let place = one_entity(wire, state, at, level, layout, seen, expected, entity)?;

        let running = Running {
            from_vruntime: entity.vruntime,
            since_ns: at.ts_ns,
            weight: entity.weight,
        };
        if let Some(place) = child {
            let queue: &mut Queue = &mut state.queues[place];
            queue.owner = KnownEntity::of(entity);
            follow(at.role, &mut queue.owner_running, running);
        }
        let queue = &mut state.queues[place];
        queue.last_vruntime = entity.vruntime;
        follow(at.role, &mut queue.current, running);
        child = Some(place);
    }
    Ok(())
}

/// Who enters a CPU runs, who leaves it does not.
fn follow(role: Role, slot: &mut Option<Running>, running: Running) {
    match role {
        Role::Prev => *slot = None,
        Role::Next => *slot = Some(running),
        Role::Waking | Role::Wakeup | Role::Other => {}
    }
}

/// A group's vruntime moves while any of its tasks runs, and is brought up to date at a switch and at a
/// wake-up, but not yet at `sched_waking`.
fn expect_group(at: At, seen: KnownEntity, running: Option<Running>, ran_ns: u64) -> u64 {
    match (at.role, running) {
        (Role::Prev, Some(running)) => running.after(ran_ns),
        (Role::Wakeup, Some(running)) => running.at(at.ts_ns),
        _ => seen.vruntime,
    }
}

/// Returns where the entity's queue is.
#[expect(
    clippy::too_many_arguments,
    reason = "one entity's place, past and present"
)]
fn one_entity<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: At,
    level: usize,
    layout: Layout,
    seen: KnownEntity,
    expected: u64,
    entity: &mut Entity,
) -> Result<usize, Malformed> {
    let (role, level_id) = (at.role, level as u8);
    let mut bits = 0;
    let mut place = None;
    if W::WRITES {
        let queue = state.queue(entity.cfs_rq);
        place = Some(queue);
        bits = mask_of(&state.queues[queue], at, seen, expected, entity);
    }
    wire.byte(role.entity_mask(level_id), &mut bits)?;

    let has_slice = layout.slice(level);
    let mut slice = entity.slice.filter(|_| has_slice).unwrap_or(0);
    if bits & mask::REST != 0 {
        wire.delta32(Stream::ENTITY, &mut entity.cfs_rq, seen.cfs_rq)?;
        wire.delta32(Stream::ENTITY, &mut entity.weight, seen.weight)?;
        if has_slice {
            wire.delta32(Stream::ENTITY, &mut slice, seen.slice)?;
        }
    } else {
        (entity.cfs_rq, entity.weight) = (seen.cfs_rq, seen.weight);
        if has_slice {
            slice = seen.slice;
        }
    }
    entity.slice = has_slice.then_some(slice);
    let place = place.unwrap_or_else(|| state.queue(entity.cfs_rq));

    match (bits >> mask::VRUNTIME_SHIFT) & 3 {
        m if m == Vruntime::Expected as u8 => entity.vruntime = expected,
        m if m == Vruntime::FromExpected as u8 => {
            wire.delta(role.vruntime(level_id), &mut entity.vruntime, expected)?;
        }
        m if m == Vruntime::FromQueue as u8 => {
            let about = state.queues[place].about(at.ts_ns);
            wire.delta(role.vruntime(level_id), &mut entity.vruntime, about)?;
        }
        _ => entity.vruntime = seen.vruntime,
    }

    let mode = (bits >> mask::DEADLINE_SHIFT) & 3;
    if W::WRITES && mode != Deadline::Explicit as u8 {
        // The entity has it, if there is one.
        return Ok(place);
    }
    if !layout.deadline(level) {
        entity.deadline = None;
        return Ok(place);
    }
    let mut deadline = entity.deadline.unwrap_or(0);
    match mode {
        m if m == Deadline::Same as u8 => deadline = seen.deadline,
        m if m == Deadline::Moved as u8 => deadline = moved(seen, entity.vruntime),
        m => {
            let fresh = fresh(entity.vruntime, entity.weight, slice);
            if m == Deadline::Explicit as u8 {
                wire.delta(role.deadline(level_id), &mut deadline, fresh)?;
            } else {
                deadline = fresh;
            }
        }
    }
    entity.deadline = Some(deadline);
    Ok(place)
}

/// One slice of virtual time behind the vruntime.
fn fresh(vruntime: u64, weight: u32, slice: u32) -> u64 {
    vruntime.wrapping_add(virtual_ns(u64::from(slice), weight))
}

/// As far from the vruntime as it was.
fn moved(seen: KnownEntity, vruntime: u64) -> u64 {
    seen.deadline
        .wrapping_add(vruntime.wrapping_sub(seen.vruntime))
}

fn mask_of(queue: &Queue, at: At, seen: KnownEntity, expected: u64, entity: &Entity) -> u8 {
    let Entity {
        vruntime,
        deadline,
        slice,
        weight,
        cfs_rq,
    } = *entity;
    let rest = cfs_rq != seen.cfs_rq
        || weight != seen.weight
        || slice.is_some_and(|slice| slice != seen.slice);

    let distance = |from: u64| (vruntime.wrapping_sub(from) as i64).unsigned_abs();
    let vruntime_mode = if vruntime == expected {
        Vruntime::Expected
    } else if vruntime == seen.vruntime {
        Vruntime::Same
    } else if distance(queue.about(at.ts_ns)) < distance(expected) {
        Vruntime::FromQueue
    } else {
        Vruntime::FromExpected
    };

    let deadline_mode = match deadline {
        None => Deadline::Same,
        Some(deadline) if deadline == seen.deadline => Deadline::Same,
        Some(deadline) if deadline == fresh(vruntime, weight, slice.unwrap_or(0)) => {
            Deadline::Fresh
        }
        Some(deadline) if deadline == moved(seen, vruntime) => Deadline::Moved,
        Some(_) => Deadline::Explicit,
    };
    ((vruntime_mode as u8) << mask::VRUNTIME_SHIFT)
        | ((deadline_mode as u8) << mask::DEADLINE_SHIFT)
        | (u8::from(rest) * mask::REST)
}
