//! Rows of numbers as bfloat16, two rows in the words of one: a product with them reads half of the memory, and that is what it waits for.
//!
//! A bfloat16 is the upper half of an `f32`: with a shift or a mask it is one again, on every machine.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use super::vector::{Vector, add_product};
use half::bf16;

const UPPER: u32 = 0xffff_0000;

/// The nearest number that is a bfloat16.
pub(super) fn rounded(x: f32) -> f32 {
    bf16::from_f32(x).to_f32()
}

/// Two rows: one in the lower halves of the words, the next one in the upper halves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Pair<const N: usize>([u32; N]);

impl<const N: usize> Pair<N> {
    /// Of rows whose numbers are [`rounded`].
    pub(super) fn new(first: &Vector<N>, second: &Vector<N>) -> Self {
        Self(std::array::from_fn(|i| {
            first[i].to_bits() >> 16 | second[i].to_bits() & UPPER
        }))
    }
}

/// `sum + x[0] rows[0] + x[1] rows[1] + ...`, in this order, with the rows in pairs.
#[inline(always)]
pub(super) fn add_pairs<const FUSED: bool, const N: usize>(
    mut sum: Vector<N>,
    inputs: &[f32],
    pairs: &[Pair<N>],
) -> Vector<N> {
    let (inputs, _) = inputs.as_chunks::<2>();
    for ([x, y], pair) in inputs.iter().zip(pairs) {
        for (sum, word) in sum.0.iter_mut().zip(pair.0) {
            *sum = add_product::<FUSED>(*sum, *x, f32::from_bits(word << 16));
            *sum = add_product::<FUSED>(*sum, *y, f32::from_bits(word & UPPER));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::vector::add_rows;
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<Vector<16>>> {
        let row = proptest::array::uniform16(-3.0_f32..3.0);
        proptest::collection::vec(row.prop_map(|row| Vector(row.map(rounded))), 8)
    }

    proptest! {
        /// The same bits as with the rows one by one.
        #[test]
        fn pairs_add_what_their_rows_do(rows in rows(), inputs in proptest::array::uniform8(-1.0_f32..1.0)) {
            let (couples, _) = rows.as_chunks::<2>();
            let pairs: Vec<Pair<16>> = couples.iter().map(|[a, b]| Pair::new(a, b)).collect();
            prop_assert_eq!(
                add_pairs::<false, _>(rows[0], &inputs, &pairs),
                add_rows::<false, _>(rows[0], &inputs, &rows)
            );
            prop_assert_eq!(
                add_pairs::<true, _>(rows[0], &inputs, &pairs),
                add_rows::<true, _>(rows[0], &inputs, &rows)
            );
        }
    }

    #[test]
    fn rounding_is_to_the_nearest() {
        // Seven bits behind the leading one; halfway to the even one.
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + 0.004, 1.007_812_5),
            (1.0 + 1.0 / 256.0, 1.0),
            (-0.3, -0.300_781_25),
        ] {
            assert_eq!(rounded(x).to_bits(), f32::to_bits(want), "{x}");
        }
    }
}
