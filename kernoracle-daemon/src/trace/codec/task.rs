//! A task inside an event.

use super::{
    entity::entities,
    state::{Card, KnownTask, Layout, State},
    stream::{Role, Stream},
    wire::{Malformed, Wire},
};
use crate::trace::event::{Fair, Task};

/// Bits of a task's mask.
mod mask {
    /// A card follows.
    pub const CARD: u8 = 1 << 0;
    pub const ON_RQ: u8 = 1 << 1;
    pub const DELAYED: u8 = 1 << 2;
    pub const SUM_EXEC: u8 = 1 << 3;
    /// Three bits: a [`super::Vlag`].
    pub const VLAG_SHIFT: u32 = 4;
}

/// How a vlag relates to what is known.
#[derive(Clone, Copy)]
enum Vlag {
    /// As it was.
    Same = 0,
    /// What some kernels keep in the field while the entity runs.
    Deadline = 1,
    Zero = 2,
    /// Follows, from the deadline if the task is queued, else from zero.
    Explicit = 3,
    /// The kernel keeps something else in the field while the entity runs, or has none.
    Absent = 4,
}

/// Circumstances of a task in an event.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub role: Role,
    pub ts_ns: u64,
    pub cpu: u32,
    /// Whether it would be on a run queue, if its event alone had to say.
    pub on_rq: Option<bool>,
    /// It is [`Role::Prev`] and goes to sleep.
    pub sleeps: bool,
    /// ns that it has likely run since it was last seen.
    pub ran_ns: u64,
}

/// Says which task it is, by its slot; one without a slot gets the first free one.
pub fn who<W: Wire>(
    wire: &mut W,
    state: &mut State,
    stream: Stream,
    pid: u32,
    cpu: u32,
) -> Result<usize, Malformed> {
    let next = state.tasks.len();
    let mut slot = if W::WRITES {
        state.slot(pid, cpu).unwrap_or(next) as u64
    } else {
        0
    };
    wire.index(stream, &mut slot)?;
    usize::try_from(slot)
        .ok()
        .filter(|&slot| slot <= next)
        .ok_or(Malformed::Task)
}

/// The task in `slot`, which may be the first free one.
pub fn task<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: At,
    slot: usize,
    task: &mut Task,
) -> Result<(), Malformed> {
    let introduced = slot == state.tasks.len();
    if introduced {
        let mut card = Card::of(task);
        write_card(wire, &mut card)?;
        state.introduce(card.pid, at.cpu);
        state.tasks[slot].card = card;
    }
    let known = state.tasks[slot];
    let mut card = known.card;
    let on_rq = at.on_rq.unwrap_or(known.on_rq);

    let mut bits = if W::WRITES {
        mask_of(task, &known, at, on_rq)
    } else {
        0
    };
    wire.byte(at.role.mask(), &mut bits)?;
    if bits & mask::CARD != 0 {
        card = Card::of(task);
        write_card(wire, &mut card)?;
        state.tasks[slot].card = card;
    }
    // What the bits say, a task that is being written has.
    if !W::WRITES {
        card.apply(task);
        task.on_rq = on_rq ^ (bits & mask::ON_RQ != 0);
    }

    if let Some(fair) = &mut task.fair {
        if !W::WRITES {
            let delayed = guess_delayed(at, task.on_rq, &known) ^ (bits & mask::DELAYED != 0);
            fair.delayed = card.layout.has(Layout::DELAYED).then_some(delayed);
        }
        let guess = known.sum_exec_ns.wrapping_add(at.ran_ns);
        if bits & mask::SUM_EXEC != 0 {
            wire.delta(at.role.sum_exec(), &mut fair.sum_exec_ns, guess)?;
        } else {
            fair.sum_exec_ns = guess;
        }
        entities(wire, state, at, &known, card.layout, fair)?;
        vlag(wire, at.role, bits, &known, task.on_rq, fair)?;
    }
    state.tasks[slot].see(task.on_rq, task.fair.as_ref());
    Ok(())
}

fn write_card<W: Wire>(wire: &mut W, card: &mut Card) -> Result<(), Malformed> {
    let Card {
        pid,
        tgid,
        comm,
        prio,
        policy,
        depth,
        layout,
    } = card;
    let mut small = [
        *prio,
        *policy,
        *depth,
        layout.0 as u8,
        (layout.0 >> 8) as u8,
    ];
    for id in [pid, tgid] {
        let mut bytes = id.to_le_bytes();
        wire.bytes(Stream::CARD, &mut bytes)?;
        *id = u32::from_le_bytes(bytes);
    }
    wire.bytes(Stream::CARD, comm)?;
    wire.bytes(Stream::CARD, &mut small)?;
    [*prio, *policy, *depth, _, _] = small;
    *layout = Layout::checked(u16::from_le_bytes([small[3], small[4]]))
        .ok_or(Malformed::Range(Stream::CARD.0))?;
    Ok(())
}

fn guess_delayed(at: At, on_rq: bool, known: &KnownTask) -> bool {
    match at.role {
        // Sleeps and is still queued: that is what the flag means.
        Role::Prev => at.sleeps && on_rq,
        Role::Waking => known.delayed,
        Role::Next | Role::Wakeup | Role::Other => false,
    }
}

fn mask_of(task: &Task, known: &KnownTask, at: At, on_rq: bool) -> u8 {
    let mut bits = u8::from(Card::of(task) != known.card) * mask::CARD;
    bits |= u8::from(task.on_rq != on_rq) * mask::ON_RQ;
    if let Some(fair) = &task.fair {
        let delayed = fair
            .delayed
            .is_some_and(|delayed| delayed != guess_delayed(at, task.on_rq, known));
        bits |= u8::from(delayed) * mask::DELAYED;
        bits |= u8::from(fair.sum_exec_ns != known.sum_exec_ns.wrapping_add(at.ran_ns))
            * mask::SUM_EXEC;
        let vlag = match fair.vlag {
            None => Vlag::Absent,
            Some(vlag) if vlag == known.vlag => Vlag::Same,
            Some(vlag) if Some(vlag as u64) == fair.own.deadline => Vlag::Deadline,
            Some(0) => Vlag::Zero,
            Some(_) => Vlag::Explicit,
        };
        bits |= (vlag as u8) << mask::VLAG_SHIFT;
    }
    bits
}

fn vlag<W: Wire>(
    wire: &mut W,
    role: Role,
    bits: u8,
    known: &KnownTask,
    on_rq: bool,
    fair: &mut Fair,
) -> Result<(), Malformed> {
    let deadline = fair.own.deadline.unwrap_or(0);
    fair.vlag = match (bits >> mask::VLAG_SHIFT) & 7 {
        m if m == Vlag::Same as u8 => Some(known.vlag),
        m if m == Vlag::Deadline as u8 => Some(deadline as i64),
        m if m == Vlag::Zero as u8 => Some(0),
        m if m == Vlag::Absent as u8 => None,
        m if m == Vlag::Explicit as u8 => {
            let mut vlag = fair.vlag.unwrap_or(0) as u64;
            wire.delta(role.vlag(), &mut vlag, if on_rq { deadline } else { 0 })?;
            Some(vlag as i64)
        }
        _ => return Err(Malformed::Range(role.mask().0)),
    };
    Ok(())
}
