//! Which tasks could come next, and what is known of each.

mod kinds;
mod scene;

use super::counted::Counted;
use super::features::candidate as c;
use super::frame::{Candidate, MAX_CANDIDATES, View};
use super::numeric::log_time;
use super::wakes::Wakes;
use super::without::Without;
use crate::runqueue::{Expected, LISTED, Picker, Picks, RunQueues, Standing, Status, Sym};
use kinds::Kinds;
use scene::{Scene, flag};
use std::ops::ControlFlow;

/// Tasks that ran last and are remembered as such.
const RECENT: usize = 8;
/// Expected run time of a task that has not run yet, ns.
const FIRST_RUN_NS: u64 = 100_000;

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
    syms: arrayvec::ArrayVec<Sym, RECENT>,
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
    sleepers: Vec<Sleeper>,
    places: Places,
    kinds: Kinds,
}

/// In place of an index: the current task is no candidate.
const CURRENT: usize = 254;

/// Where a task stands among the candidates, by its slot.
#[derive(Clone, Debug, Default)]
struct Places(Vec<u8>);

impl Places {
    fn list(&mut self, sym: Sym, at: usize) {
        let slot = sym.slot();
        if slot >= self.0.len() {
            self.0.resize((slot + 1).next_power_of_two(), 0);
        }
        self.0[slot] = at as u8 + 1;
    }

    /// The index that the slot was listed under, if it was: its task may be another one.
    fn find(&self, sym: Sym) -> Option<usize> {
        let place = self.0.get(sym.slot()).copied().unwrap_or(0);
        usize::from(place).checked_sub(1)
    }

    fn lists(&self, sym: Sym) -> bool {
        self.find(sym).is_some()
    }

    /// Takes out all that was listed.
    fn clear(&mut self, candidates: &[Candidate], current: Sym) {
        for sym in candidates.iter().filter_map(|candidate| candidate.sym) {
            self.0[sym.slot()] = 0;
        }
        self.0[current.slot()] = 0;
    }
}

/// What orders the listed sleepers.
#[derive(Clone, Copy, Debug)]
struct Sleeper {
    /// Index among the candidates.
    at: usize,
    deep: bool,
    since_ns: u64,
    /// When it should wake, ns; far off where nothing tells.
    due_ns: u64,
    role: u32,
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

    /// Candidate `target` of the last at-switch prediction has come.
    pub fn came(&mut self, target: usize) {
        self.kinds.count(target);
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
        let (first, picks) = self.picker.rank(queues, cpu, &run);
        let mut front: arrayvec::ArrayVec<Standing, LISTED> = arrayvec::ArrayVec::new();
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
            unnamed: counted.unnamed(),
        };
        scene.situation(refined, view);

        let idle = queues.idle(cpu);
        let places = &mut self.places;
        places.list(current, CURRENT);
        if current != idle {
            places.list(idle, view.candidates.len());
            scene.add(idle, None, view);
        }
        for (place, standing) in front.iter().enumerate() {
            places.list(standing.sym, view.candidates.len());
            scene.add(standing.sym, Some((place, *standing)), view);
        }
        // Not a `for` loop: a long chain goes faster from inside.
        let others = scene.others().chain(self.recent.syms.iter().copied());
        _ = { others }.try_for_each(|sym| {
            if view.candidates.len() + 2 >= MAX_CANDIDATES {
                return ControlFlow::Break(());
            }
            if !places.lists(sym)
                && let Some(task) = queues.get(sym)
                && (task.pid != 0 || sym == idle)
            {
                let waits = task.status == Status::Runnable && task.cpu == cpu;
                let standing = waits.then(|| (BEHIND, self.picker.standing(queues, sym)));
                places.list(sym, view.candidates.len());
                scene.add(sym, standing, view);
            }
            ControlFlow::Continue(())
        });
        // Each row is handed out by a loop over plain indexes: a slot may now belong to another task than the one that was counted.
        let candidates = &mut view.candidates;
        counted.name(|raw, write| {
            let sym = Sym::from_raw(raw);
            if let Some(candidate) = places.find(sym).and_then(|i| candidates.get_mut(i))
                && candidate.sym == Some(sym)
            {
                write(&mut candidate.features);
            }
        });
        self.relate(&scene, view);
        self.expect_wakes(&scene, view);
        self.places.clear(&view.candidates, current);
        scene.stand_ins(view);
        if !refined {
            self.kinds.begin(&scene);
        }
        self.kinds.fill(&scene, refined, &mut view.candidates);
        picks
    }

    /// Marks the scheduler's choice after the wake-ups that are to be expected of the current task.
    fn expect_wakes(&mut self, scene: &Scene<'_>, view: &mut View) {
        let mut expected: arrayvec::ArrayVec<(f32, Sym), MAX_CANDIDATES> =
            arrayvec::ArrayVec::new();
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
        let sleepers: arrayvec::ArrayVec<Sym, MAX_CANDIDATES> =
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
            picker,
            sleepers,
            recent,
            places,
            ..
        } = self;
        let queues = scene.queues;
        let leaves_ns = scene.leaves_ns();
        for (place, sym) in recent.syms.iter().enumerate() {
            if let Some(candidate) = places.find(*sym).and_then(|i| view.candidates.get_mut(i))
                && candidate.sym == Some(*sym)
            {
                candidate.features[c::RECENT] = 1.0 / (1.0 + place as f32);
            }
        }
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
            let wins = picker.would_win(queues, scene.cpu, sym);
            x[c::WOULD_WIN] = flag(wins);
            if let Some(wakee) = scene.current.wakees.get(sym) {
                x[c::WAKEE] = wakee.share;
                x[c::WAKEE_LAST] = flag(wakee.last);
                x[c::WAKEE_WINS] = wakee.share * flag(wins);
            }
            x[c::DEEP] = flag(task.deep_sleep);
            let Wakes { own, role } = &scene.counted.wakes;
            if let Some(row) = own {
                x[c::P_WAKES] = row.p(sym.raw());
                x[c::P_WAKES_WINS] = x[c::P_WAKES] * flag(wins);
            }
            if let Some(row) = role {
                x[c::P_WAKES_ROLE] = row.p(task.role);
                x[c::P_WAKES_ROLE_WINS] = x[c::P_WAKES_ROLE] * flag(wins);
            }
            let left_ns = scene.current.left_ns;
            if left_ns.is_some_and(|left| task.since_ns >= left) {
                x[c::SLEPT_SINCE] = 1.0;
            }
            let due = task
                .sleeps
                .median()
                .map(|median| task.since_ns.saturating_add(median));
            if let Some(due) = due {
                x[c::DUE_BEFORE] = sooner(due, leaves_ns, scene.now_ns);
            }
            if let (Some(woken), Some(median), Some((quartile1, quartile3))) = (
                task.woken_ns,
                task.periods.median(),
                task.periods.quartiles(),
            ) {
                let spread = (quartile3 - quartile1) as f32 / median.max(1) as f32;
                let regular = 1.0 / (1.0 + 8.0 * spread);
                let due = woken.saturating_add(median);
                x[c::PERIOD_BEFORE] = regular * sooner(due, leaves_ns, scene.now_ns);
            }
            sleepers.push(Sleeper {
                at,
                deep: task.deep_sleep,
                since_ns: task.since_ns,
                due_ns: due.unwrap_or(u64::MAX),
                role: task.role,
            });
        }
        let left = scene.current.left_ns;
        for sleeper in sleepers.iter() {
            // How many of the others come before it, in each order.
            let (mut slept, mut deep, mut due) = (0, 0, 0);
            let (mut peers, mut older, mut younger) = (0, 0, 0);
            for other in sleepers.iter() {
                let before = other.since_ns < sleeper.since_ns;
                slept += u32::from(before && left.is_some_and(|left| other.since_ns >= left));
                deep += u32::from(before && other.deep);
                due += u32::from(other.due_ns < sleeper.due_ns);
                let peer = other.role == sleeper.role && other.at != sleeper.at;
                peers += u32::from(peer);
                older += u32::from(peer && before);
                younger += u32::from(peer && other.since_ns > sleeper.since_ns);
            }
            let place = |before: u32| 1.0 / (1.0 + before as f32);
            let x = &mut view.candidates[sleeper.at].features;
            if left.is_some_and(|left| sleeper.since_ns >= left) {
                x[c::SLEPT_SINCE_PLACE] = place(slept);
            }
            if sleeper.deep {
                x[c::DEEP_PLACE] = place(deep);
            }
            x[c::DUE_PLACE] = place(due);
            if peers > 0 {
                x[c::FIRST_OF_ROLE] = flag(younger == peers);
                x[c::LAST_OF_ROLE] = flag(older == peers);
            }
        }
    }
}

/// How surely `due` comes before `leaves`: the difference of their distances from now, on the scale of `log_time`, between -1 and 1.
fn sooner(due_ns: u64, leaves_ns: u64, now_ns: u64) -> f32 {
    let from_now = |ns: u64| log_time(ns.saturating_sub(now_ns));
    (3.0 * (from_now(leaves_ns) - from_now(due_ns))).clamp(-1.0, 1.0)
}
