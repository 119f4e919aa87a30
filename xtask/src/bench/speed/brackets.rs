//! Ways of watching, each between two runs that nobody watches.
//!
//! A virtual machine's share of its core changes within seconds, and by more than what is to be found: what lies half a minute apart cannot be
//! compared.

use anyhow::Result;

use super::way::{WAYS, Way};

/// What the runs of all rounds gave.
pub struct Brackets<T> {
    runs: [Vec<T>; WAYS.len()],
}

impl<T> Brackets<T> {
    /// In each round all ways one after another, and nothing before, between and behind them.
    pub fn measure(rounds: usize, mut run: impl FnMut(usize, Way) -> Result<T>) -> Result<Self> {
        let mut runs: [Vec<T>; WAYS.len()] = std::array::from_fn(|_| Vec::new());
        for round in 0..rounds {
            for way in watched() {
                runs[Way::Nothing.index()].push(run(round, Way::Nothing)?);
                runs[way.index()].push(run(round, way)?);
            }
            runs[Way::Nothing.index()].push(run(round, Way::Nothing)?);
        }
        Ok(Self { runs })
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
        let Some(at) = watched().position(|other| other == way) else {
            return nothing;
        };
        nothing
            .chunks(watched().count() + 1)
            .map(|round| f64::midpoint(round[at], round[at + 1]))
            .collect()
    }

    /// Of each round the run of a way, and all that nobody watched.
    pub fn rounds(&self, way: Way) -> impl Iterator<Item = (&T, &[T])> {
        let unwatched = self.runs(Way::Nothing).chunks(watched().count() + 1);
        self.runs(way).iter().zip(unwatched)
    }
}

fn watched() -> impl Iterator<Item = Way> {
    WAYS.into_iter().filter(|way| *way != Way::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_between_two_that_nobody_watches() {
        let mut clock = 0.0;
        let mut order = Vec::new();
        let brackets = Brackets::measure(2, |_, way| {
            order.push(way);
            clock += 1.0;
            Ok(clock)
        })
        .expect("no run fails");
        assert!(order.windows(2).all(|pair| {
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
}
