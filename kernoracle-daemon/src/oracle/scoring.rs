//! What came of a prediction: hit, rank and bits, the model's and the baselines'.

use super::cpu::{CpuState, Pending};
use super::outcome::{Baseline, BaselineScored, Scored, TOP, TaskName};
use crate::baseline::{Ppm, Ranking};
use crate::model::{self, Linear};
use crate::runqueue::Sym;

/// Writes the answer into the last frame and lets the linear parts learn it. Returns whether the at-switch prediction was right and what it gave.
pub(super) fn settle_frame(
    state: &mut CpuState,
    linear: &mut Linear,
    (next, new_child): (Sym, bool),
    actual_ns: Option<u64>,
    learn: bool,
) -> (bool, f32) {
    if !state.refined_stands {
        state.window.unrefine();
    }
    let Some(frame) = state.window.last() else {
        return (false, 0.0);
    };
    frame.run_time = actual_ns.map(|ns| (ns.max(1) as f32).ln());
    let target = frame.at_switch.index_of(next, new_child);
    frame.at_switch.target = Some(target);
    let p = &state.at_switch.scores.p;
    let hit = (best(p) == Some(target), p[target]);
    if learn {
        let guard = &mut state.at_switch.guard;
        guard.judge(target);
        let adapted = guard.adapted();
        linear
            .candidates
            .learn(false, &frame.at_switch, adapted, target);
        if let Some(actual) = frame.run_time {
            linear
                .run
                .learn(&frame.at_switch, &state.at_switch.scores, actual);
        }
    }
    if let Some(refined) = &mut frame.refined {
        let target = refined.index_of(next, new_child);
        refined.target = Some(target);
        if learn {
            let guard = &mut state.refined.guard;
            guard.judge(target);
            let adapted = guard.adapted();
            linear.candidates.learn(true, refined, adapted, target);
        }
    }
    hit
}

fn best(p: &[f32]) -> Option<usize> {
    p.iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map(|(i, _)| i)
}

/// The model's outcome. The probability of the candidate for all others is shared by the living tasks that are not listed, and one that is new.
pub(super) fn scored(
    state: &CpuState,
    refined: bool,
    ts_ns: u64,
    (next, new_child): (Sym, bool),
    living: usize,
    names: &dyn Fn(Option<Sym>) -> TaskName,
) -> Scored {
    let pending: &Pending = if refined {
        &state.refined
    } else {
        &state.at_switch
    };
    let frame = state
        .window
        .frames
        .back()
        .expect("a prediction has its frame");
    let view = if refined {
        frame.refined.as_ref().expect("it stands")
    } else {
        &frame.at_switch
    };
    let p = &pending.scores.p;
    let target = view.index_of(next, new_child);
    let listed = view.candidates[target].names_one();
    // By falling probability, then by place. A probability is no negative number, so its bits are in its order; to sort numbers takes a
    // third of the time that comparing through the list takes.
    let mut order: arrayvec::ArrayVec<u64, { model::MAX_CANDIDATES }> = (0..p.len())
        .filter(|&i| view.candidates[i].names_one())
        .map(|i| u64::from(!p[i].to_bits()) << 32 | i as u64)
        .collect();
    order.sort_unstable();
    let order = order.iter().map(|&key| key as u32 as usize);
    let unlisted = living.saturating_sub(order.len()).max(1) as f32 + 1.0;
    let p_actual = if listed {
        p[target]
    } else {
        p[target] / unlisted
    };
    Scored {
        top: order
            .clone()
            .take(TOP)
            .map(|i| (names(view.candidates[i].sym), p[i]))
            .collect(),
        rank: listed.then(|| {
            order
                .clone()
                .position(|i| i == target)
                .map_or(0, |place| place as u32 + 1)
        }),
        bits: -p_actual.max(1e-9).log2(),
        candidates: order.len() as u32,
        lead_ns: pending.ready_ns.map(|ready| ts_ns as i64 - ready as i64),
        inference_ns: pending.inference_ns,
    }
}

pub(super) fn baselines(
    state: &CpuState,
    next: Sym,
    idle: Sym,
    names: &dyn Fn(Option<Sym>) -> TaskName,
) -> [BaselineScored; 3] {
    let counted = |ranking: &Ranking| BaselineScored {
        predicted: ranking.first().map(|sym| names(Some(Sym::from_raw(sym)))),
        rank: ranking
            .rank(next.raw())
            .filter(|rank| *rank as usize <= TOP),
        bits: Some(-ranking.p(next.raw()).max(1e-9).log2()),
    };
    Baseline::ALL.map(|baseline| match baseline {
        Baseline::Order1 => counted(&state.order1),
        Baseline::Backoff8 => counted(&state.backoff8),
        Baseline::Scheduler => {
            // With nothing to pick from, the idle task comes.
            let pick = state.picks.if_sleeps.unwrap_or(idle);
            BaselineScored {
                predicted: Some(names(Some(pick))),
                rank: (pick == next).then_some(1),
                bits: None,
            }
        }
    })
}

pub(super) fn ppm8(
    ppm: &Ppm,
    next: Sym,
    names: &dyn Fn(Option<Sym>) -> TaskName,
) -> BaselineScored {
    BaselineScored {
        predicted: ppm.first().map(|sym| names(Some(Sym::from_raw(sym)))),
        rank: ppm.rank(next.raw()).filter(|rank| *rank as usize <= TOP),
        bits: Some(-ppm.p(next.raw()).max(1e-9).log2() as f32),
    }
}
