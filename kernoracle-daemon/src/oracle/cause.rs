//! Why a prediction missed.

use super::cpu::CpuState;
use super::outcome::Cause;
use crate::model::features::candidate as c;
use crate::runqueue::{RunQueues, Sym};

/// How a switch came about.
pub(super) struct Turn {
    pub prev: Sym,
    pub next: Sym,
    /// prev is still runnable.
    pub stayed: bool,
    /// prev forked next while it ran.
    pub new_child: bool,
    /// When prev was switched in, ns.
    pub entered_ns: Option<u64>,
}

/// Looks at what stood when the at-switch prediction of `state` was made. `None` if it was right.
pub(super) fn cause(state: &CpuState, queues: &RunQueues, turn: &Turn) -> Option<Cause> {
    let view = &state.window.frames.back()?.at_switch;
    let p = &state.at_switch.scores.p;
    let best = view
        .candidates
        .iter()
        .zip(p)
        .filter(|(candidate, _)| candidate.names_one())
        // Of equals the first, as the outcome's order has it.
        .reduce(|best, other| if other.1 > best.1 { other } else { best })
        .map(|(candidate, _)| candidate)?;
    if best.sym == Some(turn.next) || turn.new_child && best.is_child() {
        return None;
    }
    let next = queues.task(turn.next);
    let picked = if turn.stayed {
        state.picks.if_stays
    } else {
        state.picks.if_sleeps
    };
    let woken_since = turn
        .entered_ns
        .zip(next.woken_ns)
        .is_some_and(|(entered, woken)| woken >= entered);
    if next.pid == 0 {
        // Nothing waits at the end: what was expected did not wake, or what waited has gone.
        return Some(Cause::Arrival);
    }
    if woken_since {
        return Some(if next.waker == Some(turn.prev) {
            Cause::WokenByCurrent
        } else {
            Cause::Arrival
        });
    }
    let listed = view
        .candidates
        .iter()
        .find(|candidate| candidate.sym == Some(turn.next));
    if listed.is_none_or(|candidate| candidate.features[c::UNKNOWN] > 0.0) {
        return Some(Cause::StateUnknown);
    }
    if picked == Some(turn.next) {
        let waited = best.features[c::RUNNABLE] > 0.0;
        let other = [state.picks.if_sleeps, state.picks.if_stays].contains(&best.sym);
        return Some(match (waited, other) {
            (true, true) => Cause::SleepOrStay,
            (true, false) => Cause::Model,
            // It was expected to wake.
            (false, _) => Cause::Arrival,
        });
    }
    Some(Cause::Order)
}
