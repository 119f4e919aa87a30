//! Rows of numbers as vector units like them, and the products that inference is made of.
//!
//! Every function gives the same bits on every machine: additions have a fixed order, spread over [`LANES`] lanes where they would
//! otherwise wait for each other, and products are not fused with sums. What differs is how many lanes an instruction takes: the callers
//! choose that at run time.

#![expect(
    clippy::inline_always,
    reason = "compiled once for each set of vector instructions, with the function that it is part of"
)]

use std::ops::{Deref, DerefMut};

/// Partial sums of a product; the widest vector in use holds as many.
pub const LANES: usize = 16;

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

/// `sum + x[0] rows[0] + x[1] rows[1] + ...`
#[inline(always)]
pub fn add_rows<const N: usize>(
    mut sum: Vector<N>,
    inputs: &[f32],
    rows: &[Vector<N>],
) -> Vector<N> {
    for (&x, row) in inputs.iter().zip(rows) {
        for (sum, w) in sum.0.iter_mut().zip(&row.0) {
            *sum += x * w;
        }
    }
    sum
}

/// The same; inputs that are zero, of which there should be many, cost little.
#[inline(always)]
pub fn add_sparse_rows<const N: usize>(
    mut sum: Vector<N>,
    inputs: &[f32],
    rows: &[Vector<N>],
) -> Vector<N> {
    for (&x, row) in inputs.iter().zip(rows) {
        if x != 0.0 {
            for (sum, w) in sum.0.iter_mut().zip(&row.0) {
                *sum += x * w;
            }
        }
    }
    sum
}

/// The same for `N` numbers of which many are zero, in two sums that do not wait for each other: the even and the odd ones of those that
/// are not zero.
#[inline(always)]
pub fn add_chosen_rows<const N: usize, const OUT: usize>(
    sum: Vector<OUT>,
    inputs: &[f32; N],
    rows: &[Vector<OUT>],
) -> Vector<OUT> {
    let mut sums = [sum, Vector::ZERO];
    for (inputs, rows) in inputs.chunks(32).zip(rows.chunks(32)) {
        let mut chosen = 0_u32;
        for (i, x) in inputs.iter().enumerate() {
            chosen |= u32::from(*x != 0.0) << i;
        }
        while chosen != 0 {
            let first = chosen.trailing_zeros() as usize;
            chosen &= chosen - 1;
            for k in 0..OUT {
                sums[0][k] += inputs[first] * rows[first][k];
            }
            if chosen == 0 {
                break;
            }
            let second = chosen.trailing_zeros() as usize;
            chosen &= chosen - 1;
            for k in 0..OUT {
                sums[1][k] += inputs[second] * rows[second][k];
            }
        }
    }
    let [mut sum, other] = sums;
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
pub fn add_products(lanes: &mut [f32; LANES], a: &[f32], b: &[f32]) {
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_hand() {
        let rows = [
            Vector::<16>([1.0; 16]),
            Vector([2.0; 16]),
            Vector([4.0; 16]),
        ];
        let start = Vector::padded(&[0.5]);
        let dense = add_rows(start, &[1.0, 0.0, 3.0], &rows);
        assert!((dense[0] - 13.5).abs() < 1e-6 && (dense[15] - 13.0).abs() < 1e-6);
        assert_eq!(dense, add_sparse_rows(start, &[1.0, 0.0, 3.0], &rows));
        let chosen = add_chosen_rows(start, &[1.0, 0.0, 3.0], &rows);
        assert!((chosen[0] - 13.5).abs() < 1e-6 && (chosen[15] - 13.0).abs() < 1e-6);
        let mut lanes = [0.0; LANES];
        let numbers: [f32; 32] = std::array::from_fn(|i| i as f32);
        add_products(&mut lanes, &numbers, &[2.0; 32]);
        assert!((fold(lanes) - 992.0).abs() < 1e-3);
    }
}
