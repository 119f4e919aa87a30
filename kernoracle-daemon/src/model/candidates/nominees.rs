//! Which tasks are listed besides those that wait in front: the counts, the wake-ups and the last runs nominate them, and those with
//! the most votes are elected.

use super::scene::Scene;
use crate::baseline::WIDTH;
use crate::model::counted::{Counted, log_p};
use crate::model::features::candidate as c;
use crate::model::frame::Candidate;
use crate::model::odds::NOBODY;
use crate::model::vector::LANES;
use crate::runqueue::{Standing, Status, Sym};
use arrayvec::ArrayVec;

/// Tasks that can be nominated; more are left out.
const MOST: usize = 64;
/// Votes of each way to be nominated. A row of counts gives the odds beyond those of a task that it does not name.
const WAITS: f32 = 3.0;
const LAST_WOKEN: f32 = 2.0;
const WAKEE: f32 = 1.0;
const WAKEE_LAST: f32 = 0.5;
const LIKELY: f32 = 1.5;
const RANKED: f32 = 2.0;
const RECENT: f32 = 0.2;
/// What the votes of a task count that waits, but not in front, at a switch: the scheduler's order speaks against it. After a wake-up that
/// of the sleepers does.
const BEHIND: f32 = 0.1;
/// For a sleeper that should wake before the current task leaves.
const DUE: f32 = 1.0;

/// Codes of a slot: none, a candidate's index and 1, a nominee's and [`NOMINEE`], the current task's.
type Code = u8;
const NONE: Code = 0;
const NOMINEE: Code = 64;
const CURRENT: Code = 255;
const _: () = assert!(NOMINEE as usize + MOST < CURRENT as usize);

#[derive(Clone, Copy, Debug)]
struct Nominee {
    sym: Sym,
    votes: f32,
    /// What each vote counts.
    weight: f32,
    /// Index among the candidates and 1; 0 before it is elected.
    candidate: Code,
}

/// Who is listed or may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Nominees {
    /// Code by slot. A slot may now belong to another task than the one that was counted, so symbols are compared too.
    places: Vec<Code>,
    /// Symbols of all slots with a code.
    listed: ArrayVec<Sym, MOST>,
    list: ArrayVec<Nominee, MOST>,
    /// `[place][row]`: the code of whom the counts name.
    named: [[Code; LANES]; WIDTH],
    /// Likewise of the back-off's ranking.
    ranked: ArrayVec<Code, MOST>,
    /// When the current task should leave.
    leaves_ns: u64,
    /// What each vote of a task counts that waits, but not in front.
    behind: f32,
}

impl Nominees {
    /// A new prediction: the current task is no candidate.
    pub(super) fn begin(&mut self, current: Sym) {
        self.list.clear();
        self.ranked.clear();
        self.mark(current, CURRENT);
    }

    fn mark(&mut self, sym: Sym, code: Code) {
        let slot = sym.slot();
        if slot >= self.places.len() {
            self.places.resize((slot + 1).next_power_of_two(), NONE);
        }
        self.places[slot] = code;
        self.listed.push(sym);
    }

    fn code(&self, sym: Sym) -> Code {
        self.places.get(sym.slot()).copied().unwrap_or(NONE)
    }

    /// `sym` is candidate `at`.
    pub(super) fn list(&mut self, sym: Sym, at: usize) {
        self.mark(sym, at as Code + 1);
    }

    /// Lets the scheduler's order, counts, wake-ups and the last runs nominate.
    pub(super) fn vote(
        &mut self,
        scene: &Scene<'_>,
        refined: bool,
        front: &[Standing],
        recent: &[Sym],
    ) {
        let counted = scene.counted;
        self.behind = if refined { 1.0 } else { BEHIND };
        self.leaves_ns = scene.leaves_ns();
        for standing in front {
            self.nominate(scene, standing.sym, WAITS);
        }
        if let Some(sym) = scene.last_woken {
            self.nominate(scene, sym, LAST_WOKEN);
        }
        for wakee in scene.current.wakees.iter() {
            let last = if wakee.last { WAKEE_LAST } else { 0.0 };
            self.nominate(scene, wakee.sym, WAKEE * wakee.share + last);
        }
        if let Some(row) = &counted.wakes.own {
            for (sym, count) in row.successors() {
                let p = row.share(f32::from(count));
                self.nominate(scene, Sym::from_raw(sym), LIKELY * p);
            }
        }
        let odds = &counted.odds;
        for lane in odds.lanes() {
            let unnamed = odds.stretched[WIDTH][lane];
            for place in 0..WIDTH {
                let sym = odds.named[place][lane];
                self.named[place][lane] = if sym == NOBODY {
                    NONE
                } else {
                    let votes = odds.stretched[place][lane] - unnamed;
                    self.nominate(scene, Sym::from_raw(sym), votes)
                };
            }
        }
        for (sym, p) in &counted.ranking.ranked {
            let code = self.nominate(scene, Sym::from_raw(*sym), RANKED * p);
            self.ranked.push(code);
        }
        for (place, sym) in recent.iter().enumerate() {
            self.nominate(scene, *sym, RECENT / (1.0 + place as f32));
        }
    }

    fn nominate(&mut self, scene: &Scene<'_>, sym: Sym, votes: f32) -> Code {
        let code = self.code(sym);
        if let Some(nominee) = code.checked_sub(NOMINEE).filter(|_| code != CURRENT) {
            let nominee = &mut self.list[usize::from(nominee)];
            if nominee.sym != sym {
                return NONE;
            }
            nominee.votes += nominee.weight * votes;
            return code;
        }
        if code != NONE {
            return code;
        }
        // Another CPU's idle task will not come here.
        let task = scene.queues.get(sym);
        let may_come = task.filter(|task| task.pid != 0 || sym == scene.queues.idle(scene.cpu));
        let Some(task) = may_come else { return NONE };
        if self.list.is_full() || self.listed.is_full() {
            return NONE;
        }
        let waits = task.status == Status::Runnable && task.cpu == scene.cpu;
        let weight = if waits { self.behind } else { 1.0 };
        let due = task.status == Status::Sleeping
            && (task.sleeps.median())
                .is_some_and(|median| task.since_ns.saturating_add(median) <= self.leaves_ns);
        let votes = if due { votes + DUE } else { votes };
        let code = NOMINEE + self.list.len() as Code;
        self.list.push(Nominee {
            sym,
            votes: weight * votes,
            weight,
            candidate: 0,
        });
        self.mark(sym, code);
        code
    }

    /// The nominee with the most votes that is no candidate yet; it becomes candidate `at`.
    pub(super) fn elect(&mut self, at: usize) -> Option<Sym> {
        let mut best: Option<&mut Nominee> = None;
        for nominee in &mut self.list {
            if nominee.candidate == 0 && best.as_ref().is_none_or(|best| nominee.votes > best.votes)
            {
                best = Some(nominee);
            }
        }
        let best = best?;
        best.candidate = at as Code + 1;
        Some(best.sym)
    }

    /// The index of the candidate that a code stands for, if it was elected.
    fn index(&self, code: Code) -> Option<usize> {
        let code = match code.checked_sub(NOMINEE) {
            _ if code == CURRENT => return None,
            Some(nominee) => self.list[usize::from(nominee)].candidate,
            None => code,
        };
        usize::from(code).checked_sub(1)
    }

    /// A task's candidate.
    pub(super) fn candidate<'a>(
        &self,
        sym: Sym,
        candidates: &'a mut [Candidate],
    ) -> Option<&'a mut Candidate> {
        let candidate = &mut candidates[self.index(self.code(sym))?];
        (candidate.sym == Some(sym)).then_some(candidate)
    }

    /// Gives each candidate what the counts say of it.
    pub(super) fn hand_out(&self, counted: &Counted, candidates: &mut [Candidate]) {
        for lane in counted.odds.lanes() {
            for place in 0..WIDTH {
                let Some(at) = self.index(self.named[place][lane]) else {
                    continue;
                };
                let candidate = &mut candidates[at];
                if candidate.sym == Some(Sym::from_raw(counted.odds.named[place][lane])) {
                    counted.write(place, lane, &mut candidate.features);
                }
            }
        }
        for (code, (sym, p)) in self.ranked.iter().zip(&counted.ranking.ranked) {
            if let Some(at) = self.index(*code)
                && candidates[at].sym == Some(Sym::from_raw(*sym))
            {
                candidates[at].features[c::LOG_P] = log_p(*p);
            }
        }
    }

    /// Takes back all codes.
    pub(super) fn end(&mut self) {
        for sym in self.listed.drain(..) {
            self.places[sym.slot()] = NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Table;
    use crate::model::candidates::tests::{scene, woken};
    use crate::model::frame::View;
    use crate::model::vector::Vector;
    use crate::runqueue::RunQueues;

    /// Tasks 1 to `count`, all woken.
    fn tasks(count: u32) -> (RunQueues, Vec<Sym>) {
        let mut queues = RunQueues::new();
        let syms = (1..=count).map(|pid| woken(&mut queues, pid, "a"));
        let syms = syms.collect();
        (queues, syms)
    }

    #[test]
    fn those_with_the_most_votes_are_elected_and_get_what_the_counts_say_of_them() {
        let (queues, syms) = tasks(5);
        let [current, often, once, ran, other] = syms[..] else {
            unreachable!("five were made")
        };
        let mut table = Table::new(4);
        for _ in 0..9 {
            table.add(1, often.raw());
        }
        table.add(1, once.raw());
        // Of a task that is gone; its slot is another's now.
        let stale = Sym::from_raw(other.raw() + (1 << 20));
        table.add(1, stale.raw());
        let mut counted = Counted::default();
        counted.odds.set(0, table.get(1));
        counted.odds.work_out();
        let scene = scene(&queues, &counted, current);

        let mut nominees = Nominees::default();
        nominees.begin(current);
        nominees.vote(&scene, true, &[], &[current, ran, other]);
        let mut view = View::default();
        while let Some(sym) = nominees.elect(view.candidates.len()) {
            view.push(Some(sym), &Vector::ZERO, &[0.0; 16], 0);
        }
        let elected: Vec<Sym> = view.candidates.iter().filter_map(|c| c.sym).collect();
        assert_eq!(
            elected,
            [often, once, ran, other],
            "the current one cannot come"
        );

        nominees.hand_out(&counted, &mut view.candidates);
        let p1: Vec<f32> = view
            .candidates
            .iter()
            .map(|it| it.features[c::P1])
            .collect();
        for (p, want) in p1.iter().zip([9.0 / 11.5, 1.0 / 11.5, 0.0, 0.0]) {
            assert!((p - want).abs() < 1e-6, "{p1:?}");
        }
        assert_eq!(
            nominees
                .candidate(ran, &mut view.candidates)
                .map(|it| it.sym),
            Some(Some(ran))
        );
        assert!(nominees.candidate(stale, &mut view.candidates).is_none());

        nominees.end();
        assert!(nominees.places.iter().all(|code| *code == NONE));
    }

    #[test]
    fn more_nominees_than_fit_are_left_out() {
        let (queues, syms) = tasks(200);
        let counted = Counted::default();
        let scene = scene(&queues, &counted, syms[0]);
        let mut nominees = Nominees::default();
        for _ in 0..2 {
            nominees.begin(syms[0]);
            for (at, sym) in syms[1..6].iter().enumerate() {
                nominees.list(*sym, at);
            }
            nominees.vote(&scene, true, &[], &syms[1..]);
            let elected = std::iter::from_fn(|| nominees.elect(0)).count();
            // The current task and the five that are listed take their places too.
            assert_eq!(elected, MOST - 6);
            nominees.end();
            assert!(nominees.places.iter().all(|code| *code == NONE));
        }
    }
}
