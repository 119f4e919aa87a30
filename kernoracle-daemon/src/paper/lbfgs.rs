//! L-BFGS: Nocedal and Wright, Numerical Optimization, second edition, algorithms 7.4 and 7.5.
//!
//! The step along each direction satisfies the weak Wolfe conditions (equations 3.6), found by doubling and halving (Lewis and Overton 2013,
//! Nonsmooth optimization via quasi-Newton methods, section 3), so that every pair of steps and changes of gradient can be used. As in PyTorch's `LBFGS`, a call
//! makes at most 20 iterations, the first direction is shortened to a step of length 1 at most, and 100 pairs are kept.

use std::collections::VecDeque;

/// Pairs that are kept.
const PAIRS: usize = 100;
/// Iterations of a call.
const ITERATIONS: usize = 20;
/// Evaluations along one direction.
const TRIES: usize = 25;
/// Sufficient decrease and curvature.
const C1: f64 = 1e-4;
const C2: f64 = 0.9;
/// No number of the gradient is larger at the end.
const FLAT: f64 = 1e-9;

/// A step and how the gradient changed along it.
#[derive(Clone, Debug)]
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    /// `1 / (s . y)`
    rho: f64,
}

/// The optimiser and where it is.
#[derive(Debug)]
pub struct Lbfgs {
    x: Vec<f64>,
    /// Value and gradient at `x`, once known.
    here: Option<(f64, Vec<f64>)>,
    pairs: VecDeque<Pair>,
}

/// What a call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub iterations: usize,
    pub evaluations: usize,
    /// There is no way down any more that numbers can tell.
    pub converged: bool,
}

impl Lbfgs {
    pub fn new(x: Vec<f64>) -> Self {
        Self {
            x,
            here: None,
            pairs: VecDeque::new(),
        }
    }

    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// At most 20 iterations on `objective`, which gives value and gradient at a point.
    pub fn step(&mut self, mut objective: impl FnMut(&[f64]) -> (f64, Vec<f64>)) -> Report {
        let mut report = Report::default();
        let (mut value, mut gradient) = self.here.take().unwrap_or_else(|| {
            report.evaluations += 1;
            objective(&self.x)
        });
        while report.iterations < ITERATIONS && !report.converged {
            report.iterations += 1;
            if gradient.iter().all(|g| g.abs() <= FLAT) {
                report.converged = true;
                break;
            }
            let direction = self.direction(&gradient);
            let first = if self.pairs.is_empty() {
                (1.0 / gradient.iter().map(|g| g.abs()).sum::<f64>()).min(1.0)
            } else {
                1.0
            };
            let along = Along {
                x: &self.x,
                direction: &direction,
                value,
                slope: dot(&direction, &gradient),
            };
            match along.search(first, &mut objective, &mut report.evaluations) {
                Some((x, new_value, new_gradient)) => {
                    let s: Vec<f64> = x.iter().zip(&self.x).map(|(a, b)| a - b).collect();
                    let y: Vec<f64> = (new_gradient.iter().zip(&gradient))
                        .map(|(a, b)| a - b)
                        .collect();
                    self.remember(s, y);
                    (self.x, value, gradient) = (x, new_value, new_gradient);
                }
                // What is remembered may mislead: once more along the gradient alone.
                None if !self.pairs.is_empty() => self.pairs.clear(),
                None => report.converged = true,
            }
        }
        self.here = Some((value, gradient));
        report
    }

    fn remember(&mut self, s: Vec<f64>, y: Vec<f64>) {
        let curvature = dot(&s, &y);
        // Where the search ended early the condition may not hold; such a pair would make the matrix indefinite (section 7.2).
        if curvature <= 1e-10 * dot(&y, &y).max(f64::MIN_POSITIVE) {
            return;
        }
        if self.pairs.len() == PAIRS {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair {
            s,
            y,
            rho: 1.0 / curvature,
        });
    }

    /// The two-loop recursion, algorithm 7.4, with the first matrix of equation 7.20.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let alpha = pair.rho * dot(&pair.s, &q);
            add(&mut q, -alpha, &pair.y);
            alphas.push(alpha);
        }
        if let Some(last) = self.pairs.back() {
            let scale = 1.0 / (last.rho * dot(&last.y, &last.y));
            for q in &mut q {
                *q *= scale;
            }
        }
        for (pair, alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = pair.rho * dot(&pair.y, &q);
            add(&mut q, alpha - beta, &pair.s);
        }
        for q in &mut q {
            *q = -*q;
        }
        q
    }
}

/// A direction from a point.
struct Along<'a> {
    x: &'a [f64],
    direction: &'a [f64],
    value: f64,
    slope: f64,
}

impl Along<'_> {
    /// Point, value and gradient where both conditions hold, or else, after 25 tries, where the value is least among those that decrease enough.
    fn search(
        &self,
        first: f64,
        objective: &mut impl FnMut(&[f64]) -> (f64, Vec<f64>),
        evaluations: &mut usize,
    ) -> Option<(Vec<f64>, f64, Vec<f64>)> {
        if self.slope >= 0.0 {
            return None;
        }
        let (mut low, mut high, mut t) = (0.0, f64::INFINITY, first);
        let mut best: Option<(Vec<f64>, f64, Vec<f64>)> = None;
        for _ in 0..TRIES {
            let mut x = self.x.to_vec();
            add(&mut x, t, self.direction);
            let (value, gradient) = objective(&x);
            *evaluations += 1;
            // Not a number counts as too far.
            if value <= self.value + C1 * t * self.slope {
                let steep = dot(&gradient, self.direction) < C2 * self.slope;
                if best.as_ref().is_none_or(|(_, least, _)| value < *least) {
                    best = Some((x, value, gradient));
                }
                if !steep {
                    break;
                }
                low = t;
            } else {
                high = t;
            }
            t = if high.is_finite() {
                f64::midpoint(low, high)
            } else {
                2.0 * low
            };
        }
        best
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `a += scale b`
fn add(a: &mut [f64], scale: f64, b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += scale * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of `(i + 1) (x_i - i)^2`: the least is at `x_i = i`.
    fn bowl(x: &[f64]) -> (f64, Vec<f64>) {
        let each = |i: usize| ((i + 1) as f64, x[i] - i as f64);
        let value = (0..x.len())
            .map(|i| each(i).0 * each(i).1 * each(i).1)
            .sum();
        let gradient = (0..x.len()).map(|i| 2.0 * each(i).0 * each(i).1).collect();
        (value, gradient)
    }

    /// Rosenbrock 1960; the least is at (1, 1).
    fn valley(x: &[f64]) -> (f64, Vec<f64>) {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        let gradient = vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b];
        (a * a + 100.0 * b * b, gradient)
    }

    #[test]
    fn finds_the_least_of_a_quadratic() {
        let mut optimiser = Lbfgs::new(vec![5.0; 30]);
        let mut evaluations = 0;
        for _ in 0..3 {
            evaluations += optimiser.step(bowl).evaluations;
        }
        for (i, x) in optimiser.x().iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-6, "{i}: {x}");
        }
        assert!(evaluations < 90, "{evaluations}");
    }

    #[test]
    fn follows_rosenbrocks_valley() {
        let mut optimiser = Lbfgs::new(vec![-1.2, 1.0]);
        let mut last = valley(optimiser.x()).0;
        let mut report = Report::default();
        for _ in 0..4 {
            report = optimiser.step(valley);
            let value = valley(optimiser.x()).0;
            assert!(value <= last, "{value} after {last}");
            last = value;
        }
        let [a, b] = optimiser.x() else { panic!("two") };
        assert!((a - 1.0).abs() < 1e-6 && (b - 1.0).abs() < 1e-6, "{a} {b}");
        assert!(report.converged);
    }

    #[test]
    fn what_is_not_a_number_is_not_entered() {
        // ln is not defined left of 0; the least of x - ln x is at 1.
        let objective = |x: &[f64]| (x[0] - x[0].ln(), vec![1.0 - 1.0 / x[0]]);
        let mut optimiser = Lbfgs::new(vec![9.0]);
        for _ in 0..3 {
            optimiser.step(objective);
        }
        assert!((optimiser.x()[0] - 1.0).abs() < 1e-6, "{:?}", optimiser.x());
    }
}
