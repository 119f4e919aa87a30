//! Which tasks could come next, and what is known of each.

use super::features::{candidate as c, situation as s};
use super::frame::{Candidate, MAX_CANDIDATES, View};
use super::mixer::SELECTORS;
use super::numeric::{ln, log_time};
use super::wakes::Wakes;
use super::without::Without;
use crate::baseline::{Backoff, Matches, ORDERS, Ranking, Row, SITUATIONS, SituationMatches};
use crate::runqueue::{Expected, Picker, Picks, RunQueues, Standing, Status, Sym, TaskInfo};
use crate::trace::event::Task;

/// Waiting tasks that are listed, the scheduler's first ones.
const WAITING_LISTED: usize = 16;
/// Tasks that ran last and are remembered as such.
const RECENT: usize = 8;
/// Expected run time of a task that has not run yet, ns.
const FIRST_RUN_NS: u64 = 100_000;

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
    order: Vec<(u64, usize)>,
    recent: Recent,
    sleepers: Vec<Sleeper>,
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

/// The counts' view of the present context.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub matches: Matches,
    /// By back-off to order 12.
    pub ranking: Ranking,
    /// In the order of [`super::situations`].
    pub situations: SituationMatches,
    pub wakes: Wakes,
}

impl Counted {
    /// What the counts say after the current task.
    pub fn new(
        matches: Matches,
        situations: SituationMatches,
        wakes: Wakes,
        queues: &RunQueues,
        current: Option<Sym>,
    ) -> Self {
        let current = current.map(Sym::raw);
        let alive = |sym: u32| Some(sym) != current && queues.get(Sym::from_raw(sym)).is_some();
        let ranking = Backoff::new(12).rank(&matches, alive, queues.live());
        Self {
            matches,
            ranking,
            situations,
            wakes,
        }
    }

    fn longest(&self) -> usize {
        self.matches
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |i| ORDERS[i])
    }
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
        let (standings, picks) = self.picker.rank(queues, cpu, &run);
        let scene = Scene {
            queues,
            counted,
            cpu,
            current: queues.task(current),
            now_ns,
            run,
            picks,
            waiting: standings.len(),
        };
        scene.situation(refined, view);

        self.order.clear();
        self.order.extend(
            standings
                .iter()
                .enumerate()
                .map(|(i, standing)| (standing.key, i)),
        );
        if self.order.len() > WAITING_LISTED {
            self.order.select_nth_unstable(WAITING_LISTED);
        }
        let front = self.order.len().min(WAITING_LISTED);
        self.order[..front].sort_unstable();

        let idle = queues.idle(cpu);
        if current != idle {
            scene.add(idle, None, view);
        }
        for (place, &(_, i)) in self.order[..front].iter().enumerate() {
            scene.add(standings[i].sym, Some((place, standings[i])), view);
        }
        let late = |sym: Sym| {
            // Beyond the listed ones the exact place matters little.
            standings
                .iter()
                .find(|standing| standing.sym == sym)
                .map(|standing| (WAITING_LISTED, *standing))
        };
        for sym in scene.others().chain(self.recent.syms.iter().copied()) {
            if view.candidates.len() + 2 >= MAX_CANDIDATES {
                break;
            }
            let listed = view
                .candidates
                .iter()
                .any(|candidate| candidate.sym == Some(sym));
            if !listed
                && sym != current
                && queues
                    .get(sym)
                    .is_some_and(|task| task.pid != 0 || sym == idle)
            {
                let standing = (queues.task(sym).status == Status::Runnable)
                    .then(|| late(sym))
                    .flatten();
                scene.add(sym, standing, view);
            }
        }
        self.relate(&scene, view);
        self.expect_wakes(&scene, view);
        scene.stand_ins(view);
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
            ..
        } = self;
        let queues = scene.queues;
        let leaves_ns = scene.leaves_ns();
        for (place, sym) in recent.syms.iter().enumerate() {
            if let Some(candidate) = view
                .candidates
                .iter_mut()
                .find(|candidate| candidate.sym == Some(*sym))
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
        for sleeper in sleepers.iter() {
            let x = &mut view.candidates[sleeper.at].features;
            let place = |before: &dyn Fn(&Sleeper) -> bool| {
                1.0 / (1.0 + sleepers.iter().filter(|other| before(other)).count() as f32)
            };
            if let Some(left) = scene
                .current
                .left_ns
                .filter(|left| sleeper.since_ns >= *left)
            {
                x[c::SLEPT_SINCE_PLACE] =
                    place(&|other| other.since_ns >= left && other.since_ns < sleeper.since_ns);
            }
            if sleeper.deep {
                x[c::DEEP_PLACE] = place(&|other| other.deep && other.since_ns < sleeper.since_ns);
            }
            x[c::DUE_PLACE] = place(&|other| other.due_ns < sleeper.due_ns);
            let same = |other: &&Sleeper| other.role == sleeper.role && other.at != sleeper.at;
            if sleepers.iter().any(|other| same(&other)) {
                let mut peers = sleepers.iter().filter(same);
                x[c::FIRST_OF_ROLE] = flag(peers.all(|other| other.since_ns > sleeper.since_ns));
                let mut peers = sleepers.iter().filter(same);
                x[c::LAST_OF_ROLE] = flag(peers.all(|other| other.since_ns < sleeper.since_ns));
            }
        }
    }
}

/// How surely `due` comes before `leaves`: the difference of their distances from now, on the scale of `log_time`, between -1 and 1.
fn sooner(due_ns: u64, leaves_ns: u64, now_ns: u64) -> f32 {
    let from_now = |ns: u64| log_time(ns.saturating_sub(now_ns));
    (3.0 * (from_now(leaves_ns) - from_now(due_ns))).clamp(-1.0, 1.0)
}

/// What all candidates of one prediction share.
struct Scene<'a> {
    queues: &'a RunQueues,
    counted: &'a Counted,
    cpu: u32,
    current: &'a TaskInfo,
    now_ns: u64,
    run: Expected,
    picks: Picks,
    waiting: usize,
}

fn flag(condition: bool) -> f32 {
    f32::from(u8::from(condition))
}

impl Scene<'_> {
    fn since(&self, then_ns: Option<u64>) -> f32 {
        log_time(then_ns.map_or(10_000_000_000, |then| self.now_ns.saturating_sub(then)))
    }

    /// Tasks that may come though they do not wait in front, the likeliest first; some more than once.
    fn others(&self) -> impl Iterator<Item = Sym> {
        let counted = self.counted;
        let sym = |(sym, _): (u32, u16)| Sym::from_raw(sym);
        let woken = self.queues.cpu_ref(self.cpu).last_woken;
        let wakees = self.current.wakees.iter().map(|wakee| wakee.sym);
        let likely = counted.wakes.own.iter().flat_map(Row::successors).map(sym);
        let situations = counted.situations.iter().flatten();
        let expected = situations.flat_map(Row::successors).map(sym);
        let ranked = counted.ranking.ranked.iter();
        woken
            .into_iter()
            .chain(wakees)
            .chain(likely)
            .chain(expected)
            .chain(ranked.map(|(sym, _)| Sym::from_raw(*sym)))
    }

    /// The candidates that are no task yet, or none in particular.
    fn stand_ins(&self, view: &mut View) {
        let rest = ln(self.counted.ranking.rest.max(1e-6)) / 4.0;
        let mut child = Candidate::other();
        child.features[c::OTHER] = 0.0;
        child.features[c::CHILD] = 1.0;
        child.features[c::FORKS] = self.current.forks.min(1.0);
        child.features[c::LOG_P] = rest;
        child.code = self.current.code;
        view.candidates.push(child);
        let mut other = Candidate::other();
        other.features[c::LOG_P] = rest;
        view.candidates.push(other);
    }

    /// When the current task should leave, by its run times so far.
    fn leaves_ns(&self) -> u64 {
        let entered = self
            .queues
            .cpu_ref(self.cpu)
            .current_since_ns
            .unwrap_or(self.now_ns);
        entered.saturating_add(self.run.middle().max(1))
    }

    fn situation(&self, refined: bool, view: &mut View) {
        let cpu = self.queues.cpu_ref(self.cpu);
        let current = self.current;
        let entered = cpu.current_since_ns.unwrap_or(self.now_ns);
        let out = &mut view.situation;
        let median = current.runs.median();
        out[s::ONE] = 1.0;
        out[s::WAITING] = ln(1.0 + self.waiting as f32) / 4.0;
        out[s::NONE_WAITS] = flag(self.waiting == 0);
        out[s::ONE_WAITS] = flag(self.waiting == 1);
        out[s::CURRENT_IDLE] = flag(current.pid == 0);
        out[s::CURRENT_KTHREAD] = flag(current.kthread);
        out[s::CURRENT_REAL_TIME] = flag(current.prio < 100);
        out[s::CURRENT_VOLUNTARY] = current.voluntary;
        out[s::NEW] = flag(median.is_none());
        out[s::MEDIAN_RUN] = log_time(median.unwrap_or(FIRST_RUN_NS));
        out[s::LAST_RUN] = log_time(current.runs.last().unwrap_or(FIRST_RUN_NS));
        let (quartile1, quartile3) = current
            .runs
            .quartiles()
            .unwrap_or((FIRST_RUN_NS, FIRST_RUN_NS));
        out[s::QUARTILE1_RUN] = log_time(quartile1);
        out[s::QUARTILE3_RUN] = log_time(quartile3);
        let expected = log_time(self.run.middle());
        out[s::EXPECTED_RUN] = expected;
        out[s::EXPECTED_SPREAD] = log_time(self.run.run_ns[2]) - log_time(self.run.run_ns[0]);
        let slice_left = current.fair.as_ref().and_then(|fair| {
            let deadline = fair.own.deadline?;
            Some((deadline.wrapping_sub(fair.own.vruntime) as i64).max(0) as u64)
        });
        if let Some(left) = slice_left {
            out[s::SLICE_LEFT] = log_time(left);
            out[s::RUN_AGAINST_SLICE] = (expected - out[s::SLICE_LEFT]).clamp(-1.0, 1.0);
        }
        out[s::MATCH] = self.counted.longest() as f32 / 12.0;
        out[s::TOP_P] = self.counted.ranking.ranked.first().map_or(0.0, |(_, p)| *p);
        out[s::REFINED] = flag(refined);
        out[s::ELAPSED] = log_time(self.now_ns.saturating_sub(entered));
        out[s::WAKES] = ln(1.0 + cpu.wakes as f32) / 4.0;

        let waiting = match self.waiting {
            0 => 0,
            1 => 1,
            2..=5 => 2,
            _ => 3,
        };
        let leaver = if current.pid == 0 {
            0
        } else {
            1 + usize::from(current.voluntary > 0.5)
        };
        let known = usize::from(self.counted.longest() >= 4);
        view.selector = (waiting * LEAVERS + leaver) * KNOWN + known;
        view.role = current.role;
        debug_assert!(view.selector < SELECTORS);
    }

    fn add(&self, sym: Sym, standing: Option<(usize, Standing)>, view: &mut View) {
        let task = self.queues.task(sym);
        let mut x = [0.0; c::LEN];
        let busy = self.waiting > 0;
        let idle = task.pid == 0;
        let runnable = standing.is_some();
        let asleep = !idle && !runnable && task.status == Status::Sleeping;
        x[c::IDLE] = flag(idle);
        x[c::IDLE_ALONE] = flag(idle && !busy);
        x[c::IDLE_BUSY] = flag(idle && busy);
        x[c::RUNNABLE] = flag(runnable);
        x[c::ASLEEP_ALONE] = flag(asleep && !busy);
        x[c::ASLEEP_BUSY] = flag(asleep && busy);
        x[c::UNKNOWN] = flag(!idle && !runnable && !asleep);
        x[c::KTHREAD] = flag(task.kthread && !idle);
        x[c::SAME_PROCESS] =
            flag(!idle && task.tgid != Task::UNKNOWN_TGID && task.tgid == self.current.tgid);
        x[c::REAL_TIME] = flag(!idle && task.prio < 100);
        if let (Some(own), Some(current)) = (&task.fair, &self.current.fair) {
            x[c::SAME_GROUP] = flag(own.own.cfs_rq == current.own.cfs_rq);
            x[c::DELAYED] = flag(asleep && own.delayed == Some(true));
        }
        self.counts(sym, &mut x);
        if let Some((place, standing)) = standing {
            let place = place as f32;
            x[c::PLACE] = 1.0 / (1.0 + place);
            x[c::LOG_PLACE] = ln(1.0 + place) / 4.0;
            x[c::VRUNTIME_ABOVE] = log_time(standing.vruntime_above_ns);
            x[c::DEADLINE_ABOVE] = log_time(standing.deadline_above_ns);
            x[c::ELIGIBLE] = flag(standing.eligible);
            x[c::GROUP_PICKED] = flag(standing.group_picked);
            x[c::SINCE_WOKEN] = self.since(task.woken_ns);
            let entered = self
                .queues
                .cpu_ref(self.cpu)
                .current_since_ns
                .unwrap_or(self.now_ns);
            x[c::WOKEN_NOW] = flag(
                task.woken_ns.is_some_and(|woken| woken >= entered) && task.since_ns >= entered,
            );
            x[c::WOKEN_LAST] = flag(self.queues.cpu_ref(self.cpu).last_woken == Some(sym));
        }
        if self.picks.if_sleeps == Some(sym) {
            x[c::PICK_IF_SLEEPS] = 1.0;
            x[c::PICK_IF_SLEEPS_LIKELY] = self.current.voluntary;
        }
        if self.picks.if_stays == Some(sym) {
            x[c::PICK_IF_STAYS] = 1.0;
            x[c::PICK_IF_STAYS_LIKELY] = 1.0 - self.current.voluntary;
        }
        if !idle {
            x[c::SINCE_LEFT] = self.since(task.left_ns);
            x[c::JUST_LEFT] = flag(
                task.left_ns.is_some()
                    && task.left_ns == self.queues.cpu_ref(self.cpu).current_since_ns,
            );
            x[c::LEFT_RUNNABLE] = flag(task.last_left_runnable);
            x[c::WOKEN_BY_CURRENT] = flag(task.waker == Some(self.current.sym));
            x[c::WOKE_CURRENT] = flag(self.current.waker == Some(sym));
            x[c::VOLUNTARY] = task.voluntary;
            x[c::MEDIAN_RUN] = log_time(task.runs.median().unwrap_or(FIRST_RUN_NS));
            x[c::NEVER_RAN] = flag(task.switches == 0);
            if let (true, Some(median)) = (asleep, task.sleeps.median()) {
                let slept = self.now_ns.saturating_sub(task.since_ns);
                x[c::OVERDUE] = (3.0 * (log_time(slept) - log_time(median))).clamp(-1.0, 1.0);
            }
        }
        view.candidates.push(Candidate {
            sym: Some(sym),
            features: x,
            code: task.code,
            role: task.role,
        });
    }

    fn counts(&self, sym: Sym, x: &mut [f32; c::LEN]) {
        x[c::LOG_P] = ln(self.counted.ranking.p(sym.raw()).max(1e-6)) / 4.0;
        for (row, &order) in self.counted.matches.iter().zip(&ORDERS) {
            let Some(row) = row else { continue };
            let (plain, stretched) = match order {
                1 => (Some(c::P1), Some(c::SURE1)),
                2 => (Some(c::P2), Some(c::SURE2)),
                3 => (Some(c::P3), None),
                4 => (Some(c::P4), Some(c::SURE4)),
                6 => (Some(c::P6), None),
                8 => (Some(c::P8), Some(c::SURE8)),
                12 => (Some(c::P12), Some(c::SURE12)),
                _ => (None, None),
            };
            if let Some(i) = plain {
                x[i] = row.p(sym.raw());
            }
            if let Some(i) = stretched {
                x[i] = row.stretched(sym.raw());
            }
        }
        for (row, (plain, stretched)) in self.counted.situations.iter().zip(BY_SITUATION) {
            if let Some(row) = row {
                x[plain] = row.p(sym.raw());
                x[stretched] = row.stretched(sym.raw());
            }
        }
    }
}

/// The features that each situation's counts give, in the order of [`super::situations`].
const BY_SITUATION: [(usize, usize); SITUATIONS] = [
    (c::P_WAITING, c::SURE_WAITING),
    (c::P_WAITING2, c::SURE_WAITING2),
    (c::P_ASLEEP, c::SURE_ASLEEP),
    (c::P_RUNS1, c::SURE_RUNS1),
    (c::P_RUNS3, c::SURE_RUNS3),
    (c::P_RUNS6, c::SURE_RUNS6),
    (c::P_FOLLOWED, c::SURE_FOLLOWED),
    (c::P_WOKE, c::SURE_WOKE),
    (c::P_RAN, c::SURE_RAN),
    (c::P_ROLE_RAN, c::SURE_ROLE_RAN),
    (c::P_WOKEN, c::SURE_WOKEN),
];
