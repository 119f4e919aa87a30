//! The order among the candidates that sleep: who fell asleep first, who is due first.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::scene::flag;
use crate::model::features::candidate as c;
use crate::model::frame::{Candidate, MAX_CANDIDATES};
use crate::model::vector::LANES;
use multiversion::multiversion;

const _: () = assert!(MAX_CANDIDATES <= 2 * LANES);
const MOST: usize = MAX_CANDIDATES.next_multiple_of(LANES);

/// What orders a listed sleeper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sleeper {
    /// Index among the candidates.
    pub at: usize,
    pub deep: bool,
    /// It fell asleep after the current task had left.
    pub slept_since: bool,
    pub since_ns: u64,
    /// When it should wake, ns; far off where nothing tells.
    pub due_ns: u64,
    pub role: u32,
}

/// The listed sleepers, a lane for each.
#[derive(Clone, Debug)]
pub(super) struct Sleepers {
    len: usize,
    at: [usize; MOST],
    since_ns: [u64; MOST],
    due_ns: [u64; MOST],
    role: [u32; MOST],
    deep: [u32; MOST],
    slept_since: [u32; MOST],
}

impl Default for Sleepers {
    fn default() -> Self {
        Self {
            len: 0,
            at: [0; MOST],
            since_ns: [0; MOST],
            due_ns: [0; MOST],
            role: [0; MOST],
            deep: [0; MOST],
            slept_since: [0; MOST],
        }
    }
}

/// How many of the others come before each, in each order; among its like, how many are older and younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Before {
    slept: [u32; MOST],
    deep: [u32; MOST],
    due: [u32; MOST],
    peers: [u32; MOST],
    older: [u32; MOST],
    younger: [u32; MOST],
}

impl Sleepers {
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn push(&mut self, sleeper: &Sleeper) {
        let Sleeper {
            at,
            deep,
            slept_since,
            since_ns,
            due_ns,
            role,
        } = *sleeper;
        let lane = self.len;
        self.len += 1;
        self.at[lane] = at;
        self.since_ns[lane] = since_ns;
        self.due_ns[lane] = due_ns;
        self.role[lane] = role;
        self.deep[lane] = u32::from(deep);
        self.slept_since[lane] = u32::from(slept_since);
    }

    /// Fills in where each stands among the others.
    pub(super) fn order(&self, candidates: &mut [Candidate]) {
        if self.len == 0 {
            return;
        }
        let before = before(self);
        let place = |before: u32| 1.0 / (1.0 + before as f32);
        for lane in 0..self.len {
            let x = &mut candidates[self.at[lane]].features;
            if self.slept_since[lane] != 0 {
                x[c::SLEPT_SINCE_PLACE] = place(before.slept[lane]);
            }
            if self.deep[lane] != 0 {
                x[c::DEEP_PLACE] = place(before.deep[lane]);
            }
            x[c::DUE_PLACE] = place(before.due[lane]);
            let peers = before.peers[lane];
            if peers > 0 {
                x[c::FIRST_OF_ROLE] = flag(before.younger[lane] == peers);
                x[c::LAST_OF_ROLE] = flag(before.older[lane] == peers);
            }
        }
    }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2",
    "x86_64+avx2+bmi1+bmi2"
))]
fn before(sleepers: &Sleepers) -> Before {
    any_before(sleepers)
}

/// [`before`], with the vector instructions of the caller. Integers: every version gives the same.
#[inline(always)]
fn any_before(sleepers: &Sleepers) -> Before {
    let mut out = Before {
        slept: [0; MOST],
        deep: [0; MOST],
        due: [0; MOST],
        peers: [0; MOST],
        older: [0; MOST],
        younger: [0; MOST],
    };
    for other in 0..sleepers.len {
        let (since_ns, due_ns) = (sleepers.since_ns[other], sleepers.due_ns[other]);
        let role = sleepers.role[other];
        let (deep, slept_since) = (sleepers.deep[other], sleepers.slept_since[other]);
        for lane in 0..MOST {
            let earlier = u32::from(since_ns < sleepers.since_ns[lane]);
            let later = u32::from(since_ns > sleepers.since_ns[lane]);
            let like = u32::from(role == sleepers.role[lane]);
            out.slept[lane] += earlier & slept_since;
            out.deep[lane] += earlier & deep;
            out.due[lane] += u32::from(due_ns < sleepers.due_ns[lane]);
            out.peers[lane] += like;
            out.older[lane] += like & earlier;
            out.younger[lane] += like & later;
        }
    }
    // Nobody is its own like.
    for peers in &mut out.peers {
        *peers = peers.saturating_sub(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn places_the_plain_way() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        for count in 1..=MAX_CANDIDATES {
            let list: Vec<Sleeper> = (0..count)
                .map(|at| Sleeper {
                    at,
                    deep: random.random(),
                    slept_since: random.random(),
                    since_ns: random.random_range(0..6),
                    due_ns: random.random_range(0..6),
                    role: random.random_range(0..3),
                })
                .collect();
            let mut sleepers = Sleepers::default();
            for sleeper in &list {
                sleepers.push(sleeper);
            }
            let mut candidates = vec![Candidate::other(); count];
            sleepers.order(&mut candidates);
            for one in &list {
                let x = &candidates[one.at].features;
                let place = |is_before: &dyn Fn(&Sleeper) -> bool| {
                    1.0 / (1.0 + list.iter().filter(|other| is_before(other)).count() as f32)
                };
                let slept = place(&|other| other.slept_since && other.since_ns < one.since_ns);
                let want = if one.slept_since { slept } else { 0.0 };
                assert!((x[c::SLEPT_SINCE_PLACE] - want).abs() < 1e-6);
                let deep = place(&|other| other.deep && other.since_ns < one.since_ns);
                assert!((x[c::DEEP_PLACE] - if one.deep { deep } else { 0.0 }).abs() < 1e-6);
                let due = place(&|other| other.due_ns < one.due_ns);
                assert!((x[c::DUE_PLACE] - due).abs() < 1e-6);
                let like = || {
                    list.iter()
                        .filter(|other| other.role == one.role && other.at != one.at)
                };
                let some = like().count() > 0;
                let first = some && like().all(|other| other.since_ns > one.since_ns);
                let last = some && like().all(|other| other.since_ns < one.since_ns);
                assert_eq!(x[c::FIRST_OF_ROLE] > 0.0, first);
                assert_eq!(x[c::LAST_OF_ROLE] > 0.0, last);
            }
        }
    }
}
