//! An event.

use super::{
    kind::{Kind, head},
    state::State,
    stream::{Role, Stream},
    task::{At, task, who},
    wire::{Malformed, Wire},
};
use crate::trace::event::{Body, Comm, Event, Snapshot, Switch, Wake, WakeKind};

/// Takes events one after another, in either direction.
#[derive(Debug, Default)]
pub struct Codec {
    state: State,
}

impl Codec {
    /// As at the start of a block.
    pub fn clear(&mut self) {
        self.state.clear();
    }

    /// One event: written if the wire writes, else overwritten.
    pub fn event<W: Wire>(&mut self, wire: &mut W, event: &mut Event) -> Result<(), Malformed> {
        let state = &mut self.state;
        let mut bits = if W::WRITES { head_of(state, event) } else { 0 };
        wire.byte(Stream::HEAD, &mut bits)?;
        let kind = Kind::from_head(bits)?;
        kind.shape(&mut event.body);

        if bits & head::CPU != 0 {
            wire.index32(Stream::CPU, &mut event.cpu)?;
        } else {
            event.cpu = state.last_cpu;
        }
        let expected = state.cpu(event.cpu).seq;
        if bits & head::SEQ != 0 {
            wire.delta(Stream::SEQ, &mut event.seq, expected)?;
        } else {
            event.seq = expected;
        }
        let time = Stream::time(state.last_kind, kind.time_class());
        wire.delta(time, &mut event.ts_ns, state.last_ts_ns)?;

        let at = Place {
            ts_ns: event.ts_ns,
            cpu: event.cpu,
            bits,
        };
        match &mut event.body {
            Body::Switch(switch) => walk_switch(wire, state, at, switch)?,
            Body::Wake(wake) => walk_wake(wire, state, at, wake)?,
            Body::Migrate {
                pid,
                from_cpu,
                to_cpu,
            } => walk_migrate(wire, state, at, pid, from_cpu, to_cpu)?,
            Body::Fork {
                pid,
                tgid,
                parent_pid: other,
                comm,
            }
            | Body::Exec {
                pid,
                tgid,
                old_pid: other,
                comm,
            } => {
                walk_life(wire, pid, tgid, comm)?;
                wire.delta32(Stream::LIFE, other, *pid)?;
            }
            Body::Exit { pid, tgid, comm } | Body::Rename { pid, tgid, comm } => {
                walk_life(wire, pid, tgid, comm)?;
            }
            Body::Snapshot(snapshot) => walk_snapshot(wire, state, at, snapshot)?,
            Body::Gap { lost } => wire.index(Stream::LIFE, lost)?,
        }

        state.last_ts_ns = event.ts_ns;
        state.last_cpu = event.cpu;
        state.last_kind = kind.time_class();
        state.cpu(event.cpu).seq = next_seq(event);
        Ok(())
    }
}

/// The number of the next event on the CPU of `event`.
pub fn next_seq(event: &Event) -> u64 {
    match event.body {
        Body::Gap { lost } => event.seq.wrapping_add(lost),
        _ => event.seq.wrapping_add(1),
    }
}

#[derive(Clone, Copy)]
struct Place {
    ts_ns: u64,
    cpu: u32,
    bits: u8,
}

impl Place {
    fn has(self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    fn task(self, role: Role) -> At {
        At {
            role,
            ts_ns: self.ts_ns,
            cpu: self.cpu,
            on_rq: None,
            sleeps: false,
            ran_ns: 0,
        }
    }
}

fn head_of(state: &mut State, event: &Event) -> u8 {
    let last_cpu = state.last_cpu;
    let cpu = *state.cpu(event.cpu);
    let is = |slot: Option<usize>, pid| slot.is_some() && slot == state.slot(pid, event.cpu);
    let (who, more) = match &event.body {
        Body::Switch(switch) => (
            !is(cpu.current.map(|(slot, _)| slot), switch.prev.pid),
            switch.hidden_ns != 0,
        ),
        Body::Wake(wake) => (
            wake.kind == WakeKind::Waking || !is(cpu.waking, wake.task.pid),
            wake.waker_pid != running_pid(state, cpu.current),
        ),
        Body::Migrate { pid, .. } => (
            cpu.waking
                .is_none_or(|slot| state.tasks[slot].card.pid != *pid),
            false,
        ),
        _ => (false, false),
    };
    Kind::of(&event.body) as u8
        | (u8::from(event.cpu != last_cpu) * head::CPU)
        | (u8::from(event.seq != cpu.seq) * head::SEQ)
        | (u8::from(who) * head::WHO)
        | (u8::from(more) * head::MORE)
}

fn running_pid(state: &State, current: Option<(usize, u64)>) -> u32 {
    current.map_or(0, |(slot, _)| state.tasks[slot].card.pid)
}

fn walk_switch<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: Place,
    switch: &mut Switch,
) -> Result<(), Malformed> {
    let Switch {
        prev,
        next,
        prev_state,
        preempt,
        merged,
        hidden_ns,
    } = switch;
    let mut why = u64::from(*prev_state) << 2 | u64::from(*preempt) << 1 | u64::from(*merged);
    wire.index(Stream::SWITCH, &mut why)?;
    *prev_state = u32::try_from(why >> 2).map_err(|_| Malformed::Range(Stream::SWITCH.0))?;
    (*preempt, *merged) = (why & 2 != 0, why & 1 != 0);
    if at.has(head::MORE) {
        let mut hidden = *hidden_ns as i64;
        wire.number(Stream::HIDDEN, &mut hidden)?;
        *hidden_ns = hidden as u64;
    } else {
        *hidden_ns = 0;
    }

    let current = state.cpu(at.cpu).current;
    let (slot, ran_ns) = match current {
        Some((slot, since)) if !at.has(head::WHO) => {
            (slot, at.ts_ns.wrapping_sub(since).wrapping_sub(*hidden_ns))
        }
        _ if at.has(head::WHO) => (who(wire, state, Stream::WHO_PREV, prev.pid, at.cpu)?, 0),
        _ => return Err(Malformed::Task),
    };
    // A preempted task stays queued whatever its state says.
    let sleeps = *prev_state != 0 && !*preempt;
    task(
        wire,
        state,
        At {
            on_rq: Some(!sleeps),
            sleeps,
            ran_ns,
            ..at.task(Role::Prev)
        },
        slot,
        prev,
    )?;

    let slot = who(wire, state, Stream::WHO_NEXT, next.pid, at.cpu)?;
    task(
        wire,
        state,
        At {
            on_rq: Some(true),
            ..at.task(Role::Next)
        },
        slot,
        next,
    )?;
    state.tasks[slot].cpu = at.cpu;
    state.cpu(at.cpu).current = Some((slot, at.ts_ns));
    Ok(())
}

fn walk_wake<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: Place,
    wake: &mut Wake,
) -> Result<(), Malformed> {
    let Wake {
        kind,
        waker_pid,
        target_cpu,
        task: woken,
    } = wake;
    let cpu = *state.cpu(at.cpu);
    if at.has(head::MORE) {
        wire.index32(Stream::WAKER, waker_pid)?;
    } else {
        *waker_pid = running_pid(state, cpu.current);
    }
    let waking = *kind == WakeKind::Waking;
    let slot = if at.has(head::WHO) {
        who(
            wire,
            state,
            if waking {
                Stream::WHO_WAKING
            } else {
                Stream::WHO_OTHER
            },
            woken.pid,
            at.cpu,
        )?
    } else {
        cpu.waking.ok_or(Malformed::Task)?
    };
    let role = if waking { Role::Waking } else { Role::Wakeup };
    task(
        wire,
        state,
        At {
            on_rq: (!waking).then_some(true),
            ..at.task(role)
        },
        slot,
        woken,
    )?;
    wire.delta32(Stream::TARGET, target_cpu, state.tasks[slot].cpu)?;
    state.tasks[slot].cpu = *target_cpu;
    state.cpu(at.cpu).waking = waking.then_some(slot);
    Ok(())
}

fn walk_migrate<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: Place,
    pid: &mut u32,
    from_cpu: &mut u32,
    to_cpu: &mut u32,
) -> Result<(), Malformed> {
    if at.has(head::WHO) {
        wire.index32(Stream::WAKER, pid)?;
    } else {
        let slot = state.cpu(at.cpu).waking.ok_or(Malformed::Task)?;
        *pid = state.tasks[slot].card.pid;
    }
    let slot = state.slot(*pid, at.cpu);
    wire.delta32(
        Stream::TARGET,
        from_cpu,
        slot.map_or(0, |slot| state.tasks[slot].cpu),
    )?;
    wire.index32(Stream::TARGET, to_cpu)?;
    if let Some(slot) = slot {
        state.tasks[slot].cpu = *to_cpu;
    }
    Ok(())
}

fn walk_life<W: Wire>(
    wire: &mut W,
    pid: &mut u32,
    tgid: &mut u32,
    comm: &mut Comm,
) -> Result<(), Malformed> {
    wire.index32(Stream::LIFE, pid)?;
    wire.delta32(Stream::LIFE, tgid, *pid)?;
    wire.bytes(Stream::LIFE, &mut comm.0)
}

fn walk_snapshot<W: Wire>(
    wire: &mut W,
    state: &mut State,
    at: Place,
    snapshot: &mut Snapshot,
) -> Result<(), Malformed> {
    let Snapshot {
        task: shown,
        state: run_state,
        target_cpu,
        on_cpu,
    } = snapshot;
    let slot = who(wire, state, Stream::WHO_OTHER, shown.pid, at.cpu)?;
    task(wire, state, at.task(Role::Other), slot, shown)?;
    let mut how = u64::from(*run_state) << 1 | u64::from(*on_cpu);
    wire.index(Stream::LIFE, &mut how)?;
    *run_state = u32::try_from(how >> 1).map_err(|_| Malformed::Range(Stream::LIFE.0))?;
    *on_cpu = how & 1 != 0;
    wire.index32(Stream::TARGET, target_cpu)?;
    state.tasks[slot].cpu = *target_cpu;
    Ok(())
}
