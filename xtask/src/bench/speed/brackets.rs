//! Ways of watching, each between two runs that nobody watches.
//!
//! A virtual machine's share of its core changes within seconds, and by more than what is to be found: what lies half a minute apart cannot be
//! compared.

use anyhow::Result;

use super::way::{WAYS, Way};

/// What the runs of all rounds gave.
pub struct Brackets<T> {
    runs: [Vec<T>; WAYS.len()],
    /// Who watches in a round, one after another.
    order: Vec<Way>,
}

impl<T> Brackets<T> {
    /// In each round the ways of `order` one after another, and nothing before, between and behind them. What is to be known best may be there several
    /// times.
    pub fn measure(
        rounds: usize,
        order: Vec<Way>,
        mut run: impl FnMut(usize, Way) -> Result<T>,
    ) -> Result<Self> {
        let mut runs: [Vec<T>; WAYS.len()] = std::array::from_fn(|_| Vec::new());
        for round in 0..rounds {
            for way in &order {
                runs[Way::Nothing.index()].push(run(round, Way::Nothing)?);
                runs[way.index()].push(run(round, *way)?);
            }
            runs[Way::Nothing.index()].push(run(round, Way::Nothing)?);
        }
        Ok(Self { runs, order })
    }

    pub fn runs(&self, way: Way) -> &[T] {
        &self.runs[way.index()]
    }

    /// A figure of each run of a way, in order.
    pub fn figures(&self, way: Way, figure: impl Fn(&T) -> f64) -> Vec<f64> {
        self.runs(way).iter().map(figure).collect()
    }

    /// The same of what ran unwatched right before and right behind each, their mean; of the unwatched ones, themselves.
    pub fn unwatched(&self, way: Way, figure: impl Fn(&T) -> f64) -> Vec<f64> {
        let nothing = self.figures(Way::Nothing, figure);
        if way == Way::Nothing {
            return nothing;
        }
        let places = || (0..self.order.len()).filter(|at| self.order[*at] == way);
        nothing
            .chunks(self.order.len() + 1)
            .flat_map(|round| places().map(|at| f64::midpoint(round[at], round[at + 1])))
            .collect()
    }

    /// Each run of a way, and all of its round that nobody watched.
    pub fn rounds(&self, way: Way) -> impl Iterator<Item = (&T, &[T])> {
        let times = self.order.iter().filter(|other| **other == way).count();
        let unwatched = self.runs(Way::Nothing).chunks(self.order.len() + 1);
        let unwatched = unwatched.flat_map(move |round| std::iter::repeat_n(round, times));
        self.runs(way).iter().zip(unwatched)
    }
}

/// All ways that watch, in the order of the tables.
pub fn watched() -> Vec<Way> {
    let watch = |way: &Way| *way != Way::Nothing;
    WAYS.into_iter().filter(watch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rounds in which each run takes a unit of time, and what was run.
    fn two_rounds(order: Vec<Way>) -> (Brackets<f64>, Vec<Way>) {
        let (mut clock, mut ran) = (0.0, Vec::new());
        let brackets = Brackets::measure(2, order, |_, way| {
            ran.push(way);
            clock += 1.0;
            Ok(clock)
        });
        (brackets.expect("no run fails"), ran)
    }

    #[test]
    fn each_stands_between_two_that_nobody_watches() {
        let (brackets, ran) = two_rounds(watched());
        assert!(ran.windows(2).all(|pair| {
            (pair[0] == Way::Nothing) != (pair[1] == Way::Nothing)
                || pair == [Way::Nothing, Way::Nothing]
        }));
        for way in watched() {
            let time = brackets.figures(way, |time| *time);
            assert_eq!(time.len(), 2);
            // Time passes evenly, so the mean of the neighbours is that of the run itself.
            assert_eq!(
                time,
                brackets.unwatched(way, |time| *time),
                "{}",
                way.name()
            );
        }
        let rounds: Vec<_> = brackets.rounds(Way::Record).collect();
        assert_eq!(rounds.len(), 2);
        assert!(rounds.iter().all(|(watched, unwatched)| {
            unwatched.len() == WAYS.len()
                && unwatched[0] < **watched
                && **watched < unwatched[WAYS.len() - 1]
        }));
        let nothing = brackets.figures(Way::Nothing, |time| *time);
        assert_eq!(nothing.len(), 2 * WAYS.len());
        assert_eq!(nothing, brackets.unwatched(Way::Nothing, |time| *time));
    }

    #[test]
    fn what_is_there_more_than_once_is_compared_with_its_own_neighbours() {
        let (brackets, ran) = two_rounds(vec![Way::RunSame, Way::Record, Way::RunSame]);
        assert_eq!(ran.len(), 2 * 7);
        for (way, times) in [(Way::RunSame, 2), (Way::Record, 1)] {
            let time = brackets.figures(way, |time| *time);
            assert_eq!(time.len(), 2 * times);
            assert_eq!(time, brackets.unwatched(way, |time| *time));
            let rounds: Vec<_> = brackets.rounds(way).collect();
            assert_eq!(rounds.len(), 2 * times);
            assert!(rounds.iter().all(|(watched, unwatched)| {
                unwatched.len() == 4 && unwatched[0] < **watched && **watched < unwatched[3]
            }));
        }
    }
}
