//! Rows of numbers as vector units like them, and the products that inference is made of.
//!
//! Additions have a fixed order, spread over [`LANES`] lanes where they would otherwise wait for each other. So how many lanes an
//! instruction takes, which the callers choose at run time, changes no bit. Whether it adds a product in one rounding (`FUSED`) does:
//! machines that can give the same bits among each other, and so do those that cannot.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use std::ops::{Deref, DerefMut};

/// Partial sums of a product; the widest vector in use holds as many.
pub const LANES: usize = 16;
/// Bits of a word that chooses among numbers.
pub const WORD: usize = u64::BITS as usize;

/// `N` numbers, aligned for the widest vector in use. `N` is a multiple of [`LANES`], or memory is wasted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Vector<const N: usize>(pub [f32; N]);

impl<const N: usize> Vector<N> {
    pub const ZERO: Self = Self([0.0; N]);

    /// A row that begins with `values`, and is zero beyond them.
    pub fn padded(values: &[f32]) -> Self {
        let mut row = Self::ZERO;
        row.0[..values.len()].copy_from_slice(values);
        row
    }
}

impl<const N: usize> Default for Vector<N> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<const N: usize> Deref for Vector<N> {
    type Target = [f32; N];

    fn deref(&self) -> &[f32; N] {
        &self.0
    }
}

impl<const N: usize> DerefMut for Vector<N> {
    fn deref_mut(&mut self) -> &mut [f32; N] {
        &mut self.0
    }
}

/// `sum + a b`. To fuse without the instruction for it would be slow.
#[inline(always)]
pub fn add_product<const FUSED: bool>(sum: f32, a: f32, b: f32) -> f32 {
    if FUSED {
        a.mul_add(b, sum)
    } else {
        sum + a * b
    }
}

/// `sum + x[0] rows[0] + x[1] rows[1] + ...`
#[inline(always)]
pub fn add_rows<const FUSED: bool, const N: usize>(
    mut sum: Vector<N>,
    inputs: &[f32],
    rows: &[Vector<N>],
) -> Vector<N> {
    for (&x, row) in inputs.iter().zip(rows) {
        for (sum, w) in sum.0.iter_mut().zip(&row.0) {
            *sum = add_product::<FUSED>(*sum, x, *w);
        }
    }
    sum
}

/// The same; inputs that are zero, of which there should be many, cost little.
#[inline(always)]
pub fn add_sparse_rows<const FUSED: bool, const N: usize>(
    mut sum: Vector<N>,
    inputs: &[f32],
    rows: &[Vector<N>],
) -> Vector<N> {
    for (&x, row) in inputs.iter().zip(rows) {
        if x != 0.0 {
            for (sum, w) in sum.0.iter_mut().zip(&row.0) {
                *sum = add_product::<FUSED>(*sum, x, *w);
            }
        }
    }
    sum
}

/// `sum + (x[i] - from[i]) rows[i] + ...` for the `i` of which `chosen` has the bit, bit `i % 64` of word `i / 64`: added up in two sums that do not
/// wait for each other, every second one of a word in each.
#[inline(always)]
pub fn add_chosen_rows<const FUSED: bool, const N: usize, const OUT: usize>(
    sum: Vector<OUT>,
    x: &[f32; N],
    from: &[f32; N],
    chosen: &[u64],
    rows: &[Vector<OUT>],
) -> Vector<OUT> {
    let (mut sum, mut other) = (sum, Vector::<OUT>::ZERO);
    for (word, &chosen) in chosen.iter().enumerate() {
        let mut chosen = chosen;
        while chosen != 0 {
            let i = word * WORD + chosen.trailing_zeros() as usize;
            chosen &= chosen - 1;
            let (apart, row) = (x[i] - from[i], &rows[i]);
            for k in 0..OUT {
                sum[k] = add_product::<FUSED>(sum[k], apart, row[k]);
            }
            if chosen == 0 {
                break;
            }
            let i = word * WORD + chosen.trailing_zeros() as usize;
            chosen &= chosen - 1;
            let (apart, row) = (x[i] - from[i], &rows[i]);
            for k in 0..OUT {
                other[k] = add_product::<FUSED>(other[k], apart, row[k]);
            }
        }
    }
    for k in 0..OUT {
        sum[k] += other[k];
    }
    sum
}

/// Sum of the lanes: neighbours at a distance of 8, then 4, 2, 1.
#[inline(always)]
pub fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Adds `a[i] b[i]` lane by lane.
#[inline(always)]
pub fn add_products<const FUSED: bool>(lanes: &mut [f32; LANES], a: &[f32], b: &[f32]) {
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for i in 0..LANES {
            lanes[i] = add_product::<FUSED>(lanes[i], a[i], b[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums_by_hand<const FUSED: bool>() {
        let rows = [
            Vector::<16>([1.0; 16]),
            Vector([2.0; 16]),
            Vector([4.0; 16]),
        ];
        let start = Vector::padded(&[0.5]);
        let dense = add_rows::<FUSED, _>(start, &[1.0, 0.0, 3.0], &rows);
        assert!((dense[0] - 13.5).abs() < 1e-6 && (dense[15] - 13.0).abs() < 1e-6);
        assert_eq!(
            dense,
            add_sparse_rows::<FUSED, _>(start, &[1.0, 0.0, 3.0], &rows)
        );
        let x = [5.0, 7.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let from = [4.0, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let differing = add_chosen_rows::<FUSED, _, _>(start, &x, &from, &[0b101], &rows);
        assert!((differing[0] - 13.5).abs() < 1e-6 && (differing[15] - 13.0).abs() < 1e-6);
        let mut lanes = [0.0; LANES];
        let numbers: [f32; 32] = std::array::from_fn(|i| i as f32);
        add_products::<FUSED>(&mut lanes, &numbers, &[2.0; 32]);
        assert!((fold(lanes) - 992.0).abs() < 1e-3);
    }

    #[test]
    fn sums_by_hand_in_either_way() {
        sums_by_hand::<false>();
        sums_by_hand::<true>();
    }
}
