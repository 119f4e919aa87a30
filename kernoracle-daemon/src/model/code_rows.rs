//! What the codes of tasks add to the LSTM's gates.
//!
//! A code is 16 numbers, the same whenever the task comes: what they add together is worked out once and kept, as an embedding's row would
//! be, and a third of the LSTM's weights need not be read at most steps.

use super::vector::{Vector, add_rows};
use super::weights::{
    Weights,
    shape::{HIDDEN, INPUT},
};
use crate::runqueue::CODE;
use multiversion::multiversion;

/// Rows that are kept of each of the two codes in the input: 1 KiB each.
const KEPT: usize = 128;
/// Where the codes stand in the input: of the task that entered, and of the one that was woken last before.
pub(super) const PLACES: [usize; 2] = [0, INPUT - CODE];

/// What one code adds to each gate.
pub(super) type Sums = [Vector<HIDDEN>; 4];

#[derive(Clone, Debug)]
struct Row {
    /// Zeros: none is kept here, for a code of zeros adds nothing.
    code: [f32; CODE],
    sums: Sums,
}

/// The rows of the codes that came last.
#[derive(Clone, Debug)]
pub struct CodeRows {
    /// `[place][KEPT]`
    rows: [Vec<Row>; PLACES.len()],
}

impl Default for CodeRows {
    fn default() -> Self {
        let empty = Row {
            code: [0.0; CODE],
            sums: [Vector::ZERO; 4],
        };
        Self {
            rows: std::array::from_fn(|_| vec![empty.clone(); KEPT]),
        }
    }
}

impl CodeRows {
    /// The weights are others now.
    pub fn forget(&mut self) {
        for row in self.rows.iter_mut().flatten() {
            row.code = [0.0; CODE];
        }
    }

    /// What the code at each place of the input adds; `None` for one that is zero.
    pub(super) fn sums(&mut self, weights: &Weights, input: &[f32; INPUT]) -> [Option<&Sums>; 2] {
        let [entered, woken] = &mut self.rows;
        [
            sums(entered, weights, PLACES[0], input),
            sums(woken, weights, PLACES[1], input),
        ]
    }
}

fn sums<'a>(
    rows: &'a mut [Row],
    weights: &Weights,
    place: usize,
    input: &[f32; INPUT],
) -> Option<&'a Sums> {
    let code: &[f32; CODE] = input[place..].first_chunk()?;
    if code.iter().all(|x| *x == 0.0) {
        return None;
    }
    let signs = code
        .iter()
        .fold(0_usize, |bits, x| bits << 1 | usize::from(*x > 0.0));
    // Neighbouring instances differ in any of the bits.
    let row = &mut rows[(signs ^ signs >> 7 ^ signs >> 9) % KEPT];
    let bits = |code: &[f32; CODE]| code.map(f32::to_bits);
    if bits(&row.code) != bits(code) {
        row.code = *code;
        row.sums = of_code(&weights.lstm, code, place);
    }
    Some(&row.sums)
}

/// What `code` adds to each gate, from its place in the input.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2",
    "x86_64+avx2+bmi1+bmi2"
))]
fn of_code(rows: &[Vector<HIDDEN>], code: &[f32; CODE], place: usize) -> Sums {
    let mut sums = [Vector::ZERO; 4];
    for (sum, rows) in sums.iter_mut().zip(rows.chunks_exact(1 + INPUT + HIDDEN)) {
        *sum = add_rows::<false, _>(Vector::ZERO, code, &rows[1 + place..]);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::{forward::Lstm, running::RunningLstm};
    use super::*;
    use crate::model::tests::busy_weights;
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn steps_are_the_same_with_and_without_kept_rows() {
        let mut random = ChaCha8Rng::seed_from_u64(31);
        let mut kept = CodeRows::default();
        let (mut with, mut without) = (RunningLstm::default(), Lstm::default());
        let all = [busy_weights(1), busy_weights(2)];
        for step in 0..2_000 {
            if step % 500 == 0 {
                kept.forget();
                with.forget();
            }
            let weights = &all[step / 500 % 2];
            let mut input: [f32; INPUT] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
            for place in PLACES {
                // More codes than rows, and some that are absent.
                let drawn: u32 = random.random_range(0..400);
                for i in 0..CODE {
                    let set = drawn.wrapping_mul(0x9e37_79b9) >> i & 1 == 1;
                    input[place + i] = if set { 0.35 } else { -0.35 };
                }
                if drawn.is_multiple_of(5) {
                    input[place..place + CODE].fill(0.0);
                }
            }
            with.step(weights, &mut kept, &input);
            without.step(weights, &input);
            for (a, b) in with.state().hidden.iter().zip(&without.hidden) {
                assert!((a - b).abs() < 1e-5, "step {step}: {a} {b}");
            }
        }
    }
}
