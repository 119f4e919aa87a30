//! What a switch takes while nothing disturbs the machine.
//!
//! A virtual machine shares its core: for seconds all takes half as long again, then not. What disturbs only adds, so the fastest runs are those that nothing
//! disturbed, provided that there are enough to have some of each way of watching.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::part::Spread;

/// So many of the runs are taken for undisturbed: the slowest of them stands for a way.
const UNDISTURBED: f64 = 0.1;
/// The spread is that of the middle 90 % of so many series, drawn from the rounds with replacement (percentile bootstrap, Efron 1979).
const DRAWS: usize = 1999;
const TAIL: f64 = 0.05;
const SEED: u64 = 1;

/// Runs of one round: the row that is watched, and those that are not.
pub struct Round<'a> {
    pub watched: &'a [f64],
    pub unwatched: Vec<&'a [f64]>,
}

/// How far the undisturbed runs of what is watched are above those of what is not; from where to where nine of ten repetitions would lie.
///
/// # Panics
///
/// Without rounds.
pub fn added(rounds: &[Round<'_>]) -> Spread {
    let of = |chosen: &[&Round<'_>]| {
        let watched: Vec<&[f64]> = chosen.iter().map(|round| round.watched).collect();
        let unwatched: Vec<&[f64]> = (chosen.iter())
            .flat_map(|round| round.unwatched.iter().copied())
            .collect();
        level(&watched) - level(&unwatched)
    };
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let draws = (0..DRAWS).map(|_| {
        let drawn = rounds
            .iter()
            .map(|_| &rounds[random.random_range(..rounds.len())]);
        of(&drawn.collect::<Vec<_>>())
    });
    let draws: Vec<f64> = draws.collect();
    Spread {
        middle: of(&rounds.iter().collect::<Vec<_>>()),
        low: quantile(draws.clone(), TAIL),
        high: quantile(draws, 1.0 - TAIL),
    }
}

/// What the undisturbed runs of all rows take.
///
/// # Panics
///
/// Without runs.
pub fn level(rows: &[&[f64]]) -> f64 {
    quantile(rows.concat(), UNDISTURBED)
}

/// The value below which that share of all lies.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(share * (values.len() - 1) as f64).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 rounds of a machine that is disturbed by turns of seven and three rounds, whatever is watched: `watched` ns more, and half as much again of all.
    fn rounds(watched: f64) -> Vec<[Vec<f64>; 2]> {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        (0..20)
            .map(|round| {
                [watched, 0.0].map(|added| {
                    let disturbed = round % 10 < 7;
                    let factor = if disturbed { 1.5 } else { 1.0 };
                    (0..12)
                        .map(|_| factor * (1000.0 + added) + random.random_range(0.0..40.0))
                        .collect()
                })
            })
            .collect()
    }

    fn added_to(rounds: &[[Vec<f64>; 2]]) -> Spread {
        let rounds: Vec<Round<'_>> = (rounds.iter())
            .map(|[watched, unwatched]| Round {
                watched,
                unwatched: vec![unwatched],
            })
            .collect();
        added(&rounds)
    }

    #[test]
    fn what_comes_and_goes_is_left_out() {
        let spread = added_to(&rounds(200.0));
        assert!((185.0..215.0).contains(&spread.middle), "{spread}");
        assert!(
            spread.low > 175.0 && spread.high < 225.0,
            "three rounds of ten say so: {spread}"
        );
    }

    #[test]
    fn a_way_that_was_always_disturbed_is_not_trusted() {
        let mut rounds = rounds(200.0);
        // All but the last quiet round of what is watched.
        for [watched, _] in &mut rounds[..19] {
            for run in watched {
                *run = run.max(1800.0);
            }
        }
        let spread = added_to(&rounds);
        assert!(spread.high > 750.0, "{spread}");
    }
}
