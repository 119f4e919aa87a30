//! Which tasks are listed besides those that wait in front: the counts, the wake-ups and the last runs nominate them, and those with
//! the most votes are elected.

use super::scene::Scene;
use crate::baseline::WIDTH;
use crate::bits;
use crate::model::counted::{Counted, ROWS};
use crate::model::features::candidate as c;
use crate::model::frame::Candidate;
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

/// What a slot holds: 0, or the number of its entry and 1.
type Code = u8;
const NONE: Code = 0;
const _: () = assert!(MOST < Code::MAX as usize && ROWS * WIDTH <= u64::BITS as usize);

/// Of one that needs no votes, or cannot have any.
const NO_VOTES: f32 = f32::NEG_INFINITY;

/// A task that is listed or may be.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sym: Sym,
    votes: f32,
    /// What each vote counts.
    weight: f32,
    /// Index among the candidates, once it is one.
    candidate: Option<u8>,
    /// Bit `row * WIDTH + place`: that row of the counts names it in that place.
    named: u64,
    /// Its place in the back-off's ranking, if it is there.
    ranked: Option<u8>,
}

/// Who is listed or may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Nominees {
    /// Code by slot. A slot may now belong to another task than the one that was counted, so symbols are compared too.
    places: Vec<Code>,
    entries: ArrayVec<Entry, MOST>,
    /// Of each entry: its votes in the upper half, in an order of whole numbers, then its number, so that the earlier one of equals is the greater;
    /// 0 once it is a candidate, or if it cannot be one.
    order: ArrayVec<u64, MOST>,
    /// When the current task should leave.
    leaves_ns: u64,
    /// What each vote of a task counts that waits, but not in front.
    behind: f32,
}

impl Nominees {
    /// A new prediction: the current task is no candidate.
    pub(super) fn begin(&mut self, current: Sym) {
        self.enter(current, NO_VOTES, 0.0, None);
    }

    /// `sym` is candidate `at`.
    pub(super) fn list(&mut self, sym: Sym, at: usize) {
        self.enter(sym, NO_VOTES, 0.0, Some(at as u8));
    }

    /// From numbers and not from an entry: what is made elsewhere field by field and then copied whole waits for its fields to arrive in memory.
    fn enter(&mut self, sym: Sym, votes: f32, weight: f32, candidate: Option<u8>) -> usize {
        let slot = sym.slot();
        if slot >= self.places.len() {
            self.places.resize((slot + 1).next_power_of_two(), NONE);
        }
        let at = self.entries.len();
        self.entries.push(Entry {
            sym,
            votes,
            weight,
            candidate,
            named: 0,
            ranked: None,
        });
        self.places[slot] = at as Code + 1;
        at
    }

    /// A task's entry, if it has one.
    fn find(&self, sym: Sym) -> Found {
        let code = self.places.get(sym.slot()).copied().unwrap_or(NONE);
        match code.checked_sub(1).map(usize::from) {
            None => Found::Nobody,
            Some(at) if self.entries[at].sym == sym => Found::At(at),
            Some(_) => Found::Another,
        }
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
        let unnamed = odds.stretched_unnamed();
        for (row, place) in odds.all_named() {
            let sym = Sym::from_raw(odds.named[row][place]);
            let votes = odds.stretched(row, place) - unnamed[row];
            if let Some(entry) = self.nominate(scene, sym, votes) {
                entry.named |= 1 << (row * WIDTH + place);
            }
        }
        for (place, (sym, p)) in (0..).zip(&counted.ranking.ranked) {
            if let Some(entry) = self.nominate(scene, Sym::from_raw(*sym), RANKED * p) {
                entry.ranked = Some(place);
            }
        }
        for (place, sym) in recent.iter().enumerate() {
            self.nominate(scene, *sym, RECENT / (1.0 + place as f32));
        }
        self.order.clear();
        self.order
            .extend((self.entries.iter().enumerate()).map(|(at, entry)| entry.order(at as u32)));
    }

    /// Adds votes to a task's. Returns its entry; `None` if it cannot come.
    fn nominate(&mut self, scene: &Scene<'_>, sym: Sym, votes: f32) -> Option<&mut Entry> {
        match self.find(sym) {
            Found::At(at) => {
                let entry = &mut self.entries[at];
                entry.votes += entry.weight * votes;
                return Some(entry);
            }
            Found::Another => return None,
            Found::Nobody => {}
        }
        // Another CPU's idle task will not come here.
        let task = (scene.queues.get(sym))
            .filter(|task| task.pid != 0 || sym == scene.queues.idle(scene.cpu))?;
        if self.entries.is_full() {
            return None;
        }
        let waits = task.status == Status::Runnable && task.cpu == scene.cpu;
        let weight = if waits { self.behind } else { 1.0 };
        let due = task.status == Status::Sleeping
            && (task.sleeps.median())
                .is_some_and(|median| task.since_ns.saturating_add(median) <= self.leaves_ns);
        let votes = if due { votes + DUE } else { votes };
        let at = self.enter(sym, weight * votes, weight, None);
        Some(&mut self.entries[at])
    }

    /// The nominee with the most votes that is no candidate yet; it becomes candidate `at`.
    pub(super) fn elect(&mut self, at: usize) -> Option<Sym> {
        let most = self.order.iter().fold(0, |most, order| most.max(*order));
        if most == 0 {
            return None;
        }
        let number = !(most as u32) as usize;
        self.order[number] = 0;
        let entry = &mut self.entries[number];
        entry.candidate = Some(at as u8);
        Some(entry.sym)
    }

    /// A task's candidate.
    pub(super) fn candidate<'a>(
        &self,
        sym: Sym,
        candidates: &'a mut [Candidate],
    ) -> Option<&'a mut Candidate> {
        let Found::At(at) = self.find(sym) else {
            return None;
        };
        let candidate = self.entries[at].candidate?;
        Some(&mut candidates[usize::from(candidate)])
    }

    /// Gives each candidate what the counts say of it.
    pub(super) fn hand_out(&self, counted: &Counted, candidates: &mut [Candidate]) {
        for entry in &self.entries {
            let Some(at) = entry.candidate else { continue };
            let x = &mut candidates[usize::from(at)].features;
            for bit in bits::ones(entry.named) {
                counted.write(bit / WIDTH, bit % WIDTH, x);
            }
            if let Some(place) = entry.ranked {
                x[c::LOG_P] = counted.log_p(usize::from(place));
            }
        }
    }

    /// Takes back all codes.
    pub(super) fn end(&mut self) {
        for entry in self.entries.drain(..) {
            self.places[entry.sym.slot()] = NONE;
        }
    }
}

/// Who has the slot that a task would have.
enum Found {
    /// The task, whose entry this is.
    At(usize),
    /// A task that had it before, or has it now.
    Another,
    Nobody,
}

impl Entry {
    /// See [`Nominees::order`].
    fn order(&self, number: u32) -> u64 {
        if self.votes == NO_VOTES {
            return 0;
        }
        // As `f32::total_cmp` does, with the sign turned round: no number is less than 0.
        let bits = self.votes.to_bits();
        let bits = bits ^ ((bits as i32 >> 31) as u32 | 1 << 31);
        u64::from(bits) << 32 | u64::from(!number)
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
