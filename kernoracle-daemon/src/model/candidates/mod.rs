//! Which tasks could come next, and what is known of each.

mod depth;
mod kinds;
mod nominees;
mod scene;
mod sleepers;

use super::counted::Counted;
use super::features::candidate as c;
use super::frame::{MAX_CANDIDATES, MAX_REFINED, View};
use super::numeric::log_time;
use super::wakes::Wakes;
use super::without::Without;
use crate::runqueue::{Expected, LISTED, Picker, Picks, RunQueues, Standing, Status, Sym};
use arrayvec::ArrayVec;
use depth::Depth;
use kinds::Kinds;
use nominees::Nominees;
use scene::{Scene, flag};
use sleepers::{Sleeper, Sleepers};

/// Tasks that ran last and are remembered as such.
const RECENT: usize = 8;
/// Expected run time of a task that has not run yet, ns.
const FIRST_RUN_NS: u64 = 100_000;

/// Of the scheduler's first ones, so many are listed whatever else is.
const FRONT: usize = 2;
/// Place of those that wait behind the listed ones: exactly where matters little.
const BEHIND: usize = 16;

/// Factors of the choice of the mixer's weights: who leaves, and whether a long context is known.
const LEAVERS: usize = 3;
const KNOWN: usize = 2;

/// The choice of the mixer's weights by what a model without some parts knows.
pub(super) fn selector_without(selector: usize, without: Without) -> usize {
    let waiting = selector / (LEAVERS * KNOWN);
    let (leaver, known) = (selector / KNOWN % LEAVERS, selector % KNOWN);
    let kept = |value: usize, left_out: bool| if left_out { 0 } else { value };
    (kept(waiting, without.scheduler) * LEAVERS + leaver) * KNOWN + kept(known, without.counts)
}

/// The tasks that ran last on a CPU, the latest first.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    syms: ArrayVec<Sym, RECENT>,
}

impl Recent {
    /// `sym` runs now.
    pub fn push(&mut self, sym: Sym) {
        if let Some(i) = self.syms.iter().position(|other| *other == sym) {
            self.syms.remove(i);
        } else if self.syms.is_full() {
            self.syms.pop();
        }
        self.syms.insert(0, sym);
    }
}

/// When and where a prediction is made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub cpu: u32,
    /// The task that runs, and whose successor is predicted.
    pub current: Sym,
    /// Time of the last event that is known, ns.
    pub now_ns: u64,
    /// After a wake-up, not right after the switch.
    pub refined: bool,
    /// How long the current task should run.
    pub run: Expected,
}

/// Gathers the candidates of a prediction. Keeps its scratch space.
#[derive(Clone, Debug, Default)]
pub struct Gatherer {
    picker: Picker,
    recent: Recent,
    nominees: Nominees,
    sleepers: Sleepers,
    kinds: Kinds,
    depth: Depth,
}

impl Gatherer {
    /// `sym` has been switched in.
    pub fn ran(&mut self, sym: Sym) {
        self.recent.push(sym);
    }

    /// The tasks that ran last, the current one first.
    pub fn recent(&self) -> &[Sym] {
        &self.recent.syms
    }

    /// Forgets which tasks ran last.
    pub fn cut(&mut self) {
        self.recent = Recent::default();
        self.kinds.cut();
    }

    /// The last prediction of its kind is decided: `view.target` has come.
    pub fn came(&mut self, refined: bool, view: &View) {
        let Some(target) = view.target else { return };
        let named = view.candidates[target].sym.is_some();
        (self.depth).came(refined, view.role, named.then_some(target));
        if !refined {
            self.kinds.count(target);
        }
    }

    /// Fills `view` for a prediction. Returns the scheduler's picks.
    pub fn gather(
        &mut self,
        queues: &RunQueues,
        counted: &Counted,
        moment: Moment,
        view: &mut View,
    ) -> Picks {
        let Moment {
            cpu,
            current,
            now_ns,
            refined,
            run,
        } = moment;
        view.clear();
        view.common = counted.unnamed();
        let (first, picks) = self.picker.rank(queues, cpu, &run);
        let mut front: ArrayVec<Standing, LISTED> = ArrayVec::new();
        front.extend(first.iter().copied());
        let scene = Scene {
            queues,
            counted,
            cpu,
            current: queues.task(current),
            now_ns,
            run,
            picks,
            waiting: queues.cpu_ref(cpu).runnable.len(),
            unnamed: view.common,
            current_since_ns: queues.cpu_ref(cpu).current_since_ns,
            last_woken: queues.cpu_ref(cpu).last_woken,
        };
        if !refined {
            self.kinds.begin(&scene);
        }
        scene.situation(refined, view);

        let idle = queues.idle(cpu);
        let nominees = &mut self.nominees;
        nominees.begin(current);
        // Beside tasks that wait it comes only if another CPU takes them away: then it is one of the others.
        if current != idle && scene.waiting == 0 {
            nominees.list(idle, view.candidates.len());
            scene.add(idle, None, view);
        }
        let sure = front.len().min(FRONT);
        for (place, standing) in front[..sure].iter().enumerate() {
            nominees.list(standing.sym, view.candidates.len());
            scene.add(standing.sym, Some((place, *standing)), view);
        }
        nominees.vote(&scene, refined, &front[sure..], &self.recent.syms);
        let whole = if refined { MAX_REFINED } else { MAX_CANDIDATES };
        let run_ns = run.middle();
        let most = (self.depth).length(refined, scene.current.role, run_ns, whole);
        // Two places are for those that have no name.
        while view.candidates.len() + 2 < most
            && let Some(sym) = nominees.elect(view.candidates.len())
        {
            let task = queues.task(sym);
            let waits = task.status == Status::Runnable && task.cpu == cpu;
            let place = (front.iter().position(|standing| standing.sym == sym))
                .map(|place| (place, front[place]));
            let standing =
                place.or_else(|| waits.then(|| (BEHIND, self.picker.standing(queues, sym))));
            scene.add(sym, standing, view);
        }
        nominees.hand_out(counted, &mut view.candidates);
        for (place, sym) in self.recent.syms.iter().enumerate() {
            if let Some(candidate) = nominees.candidate(*sym, &mut view.candidates) {
                candidate.features[c::RECENT] = 1.0 / (1.0 + place as f32);
            }
        }
        nominees.end();
        self.relate(&scene, view);
        self.expect_wakes(&scene, view);
        scene.stand_ins(view);
        if !refined {
            self.kinds.look();
        }
        self.kinds.fill(&scene, refined, view);
        picks
    }

    /// Marks the scheduler's choice after the wake-ups that are to be expected of the current task.
    fn expect_wakes(&mut self, scene: &Scene<'_>, view: &mut View) {
        let mut expected: ArrayVec<(f32, Sym), MAX_CANDIDATES> = ArrayVec::new();
        for candidate in &view.candidates {
            let Some(sym) = candidate.sym else { continue };
            let x = &candidate.features;
            let p = if scene.counted.wakes.own.is_some() {
                x[c::P_WAKES]
            } else {
                x[c::WAKEE]
            };
            if p >= 0.5 {
                expected.push((p, sym));
            }
        }
        if expected.is_empty() {
            return;
        }
        expected.sort_by(|a, b| b.0.total_cmp(&a.0));
        let sleepers: ArrayVec<Sym, MAX_CANDIDATES> =
            expected.iter().map(|(_, sym)| *sym).collect();
        let pick = self.picker.if_woken(scene.queues, scene.cpu, &sleepers);
        if let Some(candidate) = view
            .candidates
            .iter_mut()
            .find(|candidate| pick.is_some() && candidate.sym == pick)
        {
            candidate.features[c::PICK_IF_WAKES] = expected[0].0;
        }
    }

    /// Fills in what a candidate is only in relation to the others.
    fn relate(&mut self, scene: &Scene<'_>, view: &mut View) {
        let Self {
            picker, sleepers, ..
        } = self;
        let queues = scene.queues;
        let leaves = log_from_now(scene.leaves_ns(), scene.now_ns);
        let left_ns = scene.current.left_ns.unwrap_or(u64::MAX);
        sleepers.clear();
        for (at, candidate) in view.candidates.iter_mut().enumerate() {
            let Some(sym) = candidate.sym else { continue };
            let task = queues.task(sym);
            let x = &mut candidate.features;
            x[c::PICK_EARLY] = flag(scene.picks.if_sleeps_early == Some(sym));
            x[c::PICK_LATE] = flag(scene.picks.if_sleeps_late == Some(sym));
            if x[c::ASLEEP_ALONE] + x[c::ASLEEP_BUSY] == 0.0 {
                continue;
            }
            let wins = flag(picker.would_win(queues, scene.cpu, sym));
            x[c::WOULD_WIN] = wins;
            if let Some(wakee) = scene.current.wakees.get(sym) {
                x[c::WAKEE] = wakee.share;
                x[c::WAKEE_LAST] = flag(wakee.last);
                x[c::WAKEE_WINS] = wakee.share * wins;
            }
            x[c::DEEP] = flag(task.deep_sleep);
            let Wakes { own, role } = &scene.counted.wakes;
            if let Some(row) = own {
                x[c::P_WAKES] = row.p(sym.raw());
                x[c::P_WAKES_WINS] = x[c::P_WAKES] * wins;
            }
            if let Some(row) = role {
                x[c::P_WAKES_ROLE] = row.p(task.role);
                x[c::P_WAKES_ROLE_WINS] = x[c::P_WAKES_ROLE] * wins;
            }
            let slept_since = task.since_ns >= left_ns;
            x[c::SLEPT_SINCE] = flag(slept_since);
            let due = task
                .sleeps
                .median()
                .map(|median| task.since_ns.saturating_add(median));
            if let Some(due) = due {
                x[c::DUE_BEFORE] = sooner(due, leaves, scene.now_ns);
            }
            if let (Some(woken), Some(median), Some(regular)) =
                (task.woken_ns, task.periods.median(), task.periods.regular())
            {
                let due = woken.saturating_add(median);
                x[c::PERIOD_BEFORE] = regular * sooner(due, leaves, scene.now_ns);
            }
            sleepers.push(&Sleeper {
                at,
                deep: task.deep_sleep,
                slept_since,
                since_ns: task.since_ns,
                due_ns: due.unwrap_or(u64::MAX),
                role: task.role,
            });
        }
        sleepers.order(&mut view.candidates);
    }
}

/// The distance of a time from now, on the scale of `log_time`.
fn log_from_now(ns: u64, now_ns: u64) -> f32 {
    log_time(ns.saturating_sub(now_ns))
}

/// How surely `due` comes before the current task leaves, at the distance `leaves` from now: the difference of their distances, between -1 and 1.
fn sooner(due_ns: u64, leaves: f32, now_ns: u64) -> f32 {
    (3.0 * (leaves - log_from_now(due_ns, now_ns))).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests;
