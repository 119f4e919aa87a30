//! Which tasks could come next, and what is known of each.

use super::features::{candidate as c, situation as s};
use super::frame::{Candidate, MAX_CANDIDATES, View};
use super::mixer::SELECTORS;
use super::numeric::{ln, log_time};
use crate::baseline::{Backoff, Matches, ORDERS, Ranking};
use crate::runqueue::{Picker, Picks, RunQueues, Standing, Status, Sym, TaskInfo};

/// Waiting tasks that are listed, the scheduler's first ones.
const WAITING_LISTED: usize = 16;
/// Tasks that ran last and are remembered as such.
const RECENT: usize = 8;
/// Expected run time of a task that has not run yet, ns.
const FIRST_RUN_NS: u64 = 100_000;

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
}

/// Gathers the candidates of a prediction. Keeps its scratch space.
#[derive(Debug, Default)]
pub struct Gatherer {
    picker: Picker,
    order: Vec<(u64, usize)>,
    recent: Recent,
}

/// The counts' view of the present context.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub matches: Matches,
    /// By back-off to order 12.
    pub ranking: Ranking,
}

impl Counted {
    /// What the counts say after the current task.
    pub fn new(matches: Matches, queues: &RunQueues, current: Option<Sym>) -> Self {
        let current = current.map(Sym::raw);
        let alive = |sym: u32| Some(sym) != current && queues.get(Sym::from_raw(sym)).is_some();
        let ranking = Backoff::new(12).rank(&matches, alive, queues.live());
        Self { matches, ranking }
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
        } = moment;
        view.clear();
        let (standings, picks) = self.picker.rank(queues, cpu);
        let scene = Scene {
            queues,
            counted,
            cpu,
            current: queues.task(current),
            now_ns,
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
        let woken = queues.cpu_ref(cpu).last_woken;
        let counted_syms = counted
            .ranking
            .ranked
            .iter()
            .map(|(sym, _)| Sym::from_raw(*sym));
        for sym in woken
            .into_iter()
            .chain(counted_syms)
            .chain(self.recent.syms.iter().copied())
        {
            if view.candidates.len() + 1 >= MAX_CANDIDATES {
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
        for (place, sym) in self.recent.syms.iter().enumerate() {
            if let Some(candidate) = view
                .candidates
                .iter_mut()
                .find(|candidate| candidate.sym == Some(*sym))
            {
                candidate.features[c::RECENT] = 1.0 / (1.0 + place as f32);
            }
        }
        let mut other = Candidate::other();
        other.features[c::LOG_P] = ln(counted.ranking.rest.max(1e-6)) / 4.0;
        view.candidates.push(other);
        picks
    }
}

/// What all candidates of one prediction share.
struct Scene<'a> {
    queues: &'a RunQueues,
    counted: &'a Counted,
    cpu: u32,
    current: &'a TaskInfo,
    now_ns: u64,
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
        let slice_left = current.fair.as_ref().and_then(|fair| {
            let deadline = fair.own.deadline?;
            Some((deadline.wrapping_sub(fair.own.vruntime) as i64).max(0) as u64)
        });
        if let Some(left) = slice_left {
            out[s::SLICE_LEFT] = log_time(left);
            out[s::RUN_AGAINST_SLICE] = (out[s::MEDIAN_RUN] - out[s::SLICE_LEFT]).clamp(-1.0, 1.0);
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
        view.selector = (waiting * 3 + leaver) * 2 + known;
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
        x[c::SAME_PROCESS] = flag(!idle && task.tgid == self.current.tgid);
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
        });
    }

    fn counts(&self, sym: Sym, x: &mut [f32; c::LEN]) {
        x[c::LOG_P] = ln(self.counted.ranking.p(sym.raw()).max(1e-6)) / 4.0;
        for (row, &order) in self.counted.matches.iter().zip(&ORDERS) {
            let Some(row) = row else { continue };
            let Some((_, count)) = row.successors().find(|(other, _)| *other == sym.raw()) else {
                continue;
            };
            let total = f32::from(row.total);
            let p = f32::from(count) / (total + 0.5);
            let sure = p * total / (total + 4.0);
            let (plain, weighted) = match order {
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
                x[i] = p;
            }
            if let Some(i) = weighted {
                x[i] = sure;
            }
        }
    }
}
