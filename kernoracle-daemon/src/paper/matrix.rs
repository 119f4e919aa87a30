//! Products of matrices that lie row by row in slices.

use gemm::Parallelism;

/// A matrix of `rows x columns` numbers, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// # Panics
    ///
    /// If `values` are not `rows * columns`.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "the size of a matrix");
        Self {
            values,
            rows,
            columns,
            transposed: false,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    fn shape(&self) -> (usize, usize) {
        if self.transposed {
            (self.columns, self.rows)
        } else {
            (self.rows, self.columns)
        }
    }

    /// Steps to the next column and to the next row.
    fn strides(&self) -> (isize, isize) {
        let columns = isize::try_from(self.columns).expect("a slice fits");
        if self.transposed {
            (columns, 1)
        } else {
            (1, columns)
        }
    }
}

/// `out += a b`; `out` is row by row.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn add_product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    let ((rows, inner), (b_rows, columns)) = (a.shape(), b.shape());
    assert_eq!(inner, b_rows, "a has as many columns as b has rows");
    assert_eq!(out.len(), rows * columns, "the size of the product");
    let out_row = isize::try_from(columns).expect("a slice fits");
    let ((a_column, a_row), (b_column, b_row)) = (a.strides(), b.strides());
    // SAFETY: the shapes and strides describe exactly the slices, as asserted here and in `Matrix::new`; `out` is borrowed
    // exclusively, so it does not overlap the others.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            out_row,
            true,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(ours: &[f32], want: &[f32]) {
        assert_eq!(ours.len(), want.len());
        for (a, b) in ours.iter().zip(want) {
            assert!((a - b).abs() < 1e-6, "{ours:?} {want:?}");
        }
    }

    #[test]
    fn products_by_hand() {
        let (a, b) = (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [1.0, 0.0, -1.0, 2.0, 0.5, 1.0],
        );
        let mut out = [10.0; 4];
        add_product(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2));
        assert_close(&out, &[10.5, 17.0, 12.0, 26.0]);
        let mut out = [0.0; 9];
        add_product(
            &mut out,
            Matrix::new(&a, 2, 3).t(),
            Matrix::new(&b, 3, 2).t(),
        );
        assert_close(&out, &[1.0, 7.0, 4.5, 2.0, 8.0, 6.0, 3.0, 9.0, 7.5]);
    }
}
