//! Products with data of uneven length, as candle operations.
//!
//! Views have different numbers of candidates. Padding all to the most would double the work, and candle's own product would also compute the
//! gradient of the data, which nobody asks for.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};

/// `data [M, D] x argument^T [D, O]`, with a gradient for the argument `[O, D]` alone.
pub(super) struct DataProduct {
    pub data: Tensor,
}

/// For each row `m` of `data [M, D]` its product with row `owner[m]` of the argument `[N, D]`: `[M]`, with a gradient for the argument alone.
pub(super) struct RowProduct {
    pub data: Tensor,
    /// `[M]`, u32
    pub owner: Tensor,
}

impl CustomOp1 for DataProduct {
    fn name(&self) -> &'static str {
        "data-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let argument = Tensor::from_slice(
            contiguous(storage, layout)?,
            layout.shape().clone(),
            self.data.device(),
        )?;
        let product = self.data.matmul(&argument.t()?)?;
        let shape = product.shape().clone();
        let values = product.flatten_all()?.to_vec1::<f32>()?;
        Ok((CpuStorage::F32(values), shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.t()?.matmul(&self.data)?))
    }
}

impl CustomOp1 for RowProduct {
    fn name(&self) -> &'static str {
        "row-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let rows = contiguous(storage, layout)?;
        let products: Vec<f32> = self.each(width, |pairs| {
            pairs
                .map(|(data, owner)| {
                    let row = &rows[owner * width..(owner + 1) * width];
                    data.iter().zip(row).map(|(x, w)| x * w).sum()
                })
                .collect()
        })?;
        let len = products.len();
        Ok((CpuStorage::F32(products), Shape::from(len)))
    }

    fn bwd(&self, argument: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (n, width) = argument.dims2()?;
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let mut out = vec![0.0_f32; n * width];
        self.each(width, |pairs| {
            for ((data, owner), g) in pairs.zip(&gradient) {
                let row = &mut out[owner * width..(owner + 1) * width];
                for (out, x) in row.iter_mut().zip(data) {
                    *out += g * x;
                }
            }
        })?;
        Ok(Some(Tensor::from_vec(out, (n, width), argument.device())?))
    }
}

impl RowProduct {
    /// Calls `f` with each row of the data and the number of its owner.
    fn each<T>(
        &self,
        width: usize,
        f: impl FnOnce(&mut dyn Iterator<Item = (&[f32], usize)>) -> T,
    ) -> Result<T> {
        let (data, data_layout) = self.data.storage_and_layout();
        let (owner, owner_layout) = self.owner.storage_and_layout();
        let (Storage::Cpu(data), Storage::Cpu(owner)) = (&*data, &*owner) else {
            bail!("the data must be on the CPU");
        };
        let data = contiguous(data, data_layout)?;
        let Some((from, to)) = owner_layout.contiguous_offsets() else {
            bail!("the owners must be contiguous");
        };
        let owner = &owner.as_slice::<u32>()?[from..to];
        let mut pairs = data
            .chunks_exact(width)
            .zip(owner.iter().map(|owner| *owner as usize));
        Ok(f(&mut pairs))
    }
}

/// The values of a tensor without gaps.
pub(super) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        bail!("the argument must be contiguous");
    };
    Ok(&storage.as_slice::<f32>()?[from..to])
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn random(dims: &[usize]) -> Tensor {
        Tensor::randn(0.0_f32, 1.0, dims, &Device::Cpu).expect("a tensor")
    }

    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        (a - b)
            .and_then(|d| d.abs()?.max_all()?.to_scalar())
            .expect("equal shapes")
    }

    /// Values and gradients of `ours` equal those of `candles`.
    fn same(
        var: &Var,
        ours: &dyn Fn(&Tensor) -> Result<Tensor>,
        candles: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) {
        let run = |f: &dyn Fn(&Tensor) -> Result<Tensor>| {
            let out = f(var.as_tensor()).expect("computed");
            let loss = out.sqr().and_then(|out| out.sum_all()).expect("a loss");
            let gradients = loss.backward().expect("gradients");
            (out, gradients.get(var).expect("depends on it").clone())
        };
        let ((a, da), (b, db)) = (run(ours), run(candles));
        assert!(apart(&a, &b) < 1e-4, "{a} {b}");
        assert!(apart(&da, &db) < 1e-3, "{da} {db}");
    }

    #[test]
    fn products_equal_candles_own() {
        let data = random(&[7, 5]);
        let owner = Tensor::new(&[0_u32, 0, 1, 2, 2, 2, 1], &Device::Cpu).expect("owners");
        let var = Var::from_tensor(&random(&[3, 5])).expect("a variable");
        same(
            &var,
            &|w| w.apply_op1(DataProduct { data: data.clone() }),
            &|w| data.matmul(&w.t()?),
        );
        same(
            &var,
            &|w| {
                w.apply_op1(RowProduct {
                    data: data.clone(),
                    owner: owner.clone(),
                })
            },
            &|w| (w.index_select(&owner, 0)? * &data)?.sum(1),
        );
    }
}
