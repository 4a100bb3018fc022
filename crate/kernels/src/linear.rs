//! Linear layers, a block of rows at a time: the bias is added while the product is still in the cache, so the output
//! is written to memory once.
//! Appendix B of the paper; the products themselves are Burn's.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, numbers, stretch, sum, tensor};
use marscope_simd::math::{load, store};
use marscope_simd::parallel::each;

/// Numbers in a block: it fits a second-level cache.
const BLOCK: usize = 1 << 18;
/// Fewest rows in a block: with fewer, packing the weights for the product costs more than it saves.
const TALLEST: usize = 512;

/// `x W + b`, of x `[rows, d_in]`, W `[d_in, d_out]` and b `[d_out]`.
#[derive(Clone, Debug)]
pub struct Linear;

impl Kernel<3> for Linear {
    const HEAVY: bool = true;

    fn reads(&self) -> [bool; 3] {
        [true, true, false]
    }

    fn forward(&self, [x, weight, bias]: [FlexTensor; 3]) -> FlexTensor {
        let bias = contiguous(bias);
        let bias = numbers(&bias);
        let add = |rows: &mut [f32]| Arch::new().dispatch(Add { rows, bias });
        product(&x, &weight, add)
    }

    fn backward(
        &self,
        [x, weight, _]: [Option<FlexTensor>; 3],
        gradient: FlexTensor,
        [x_wanted, weight_wanted, bias_wanted]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let (x, weight, gradient) = (x.expect("read"), weight.expect("read"), contiguous(gradient));
        let to_bias = bias_wanted.then(|| {
            let (all, width) = (numbers(&gradient), weight.layout().shape()[1]);
            let size = stretch(all.len() / width, width) * width;
            let mut parts: Vec<_> = all.chunks(size).map(|rows| (rows, vec![0.0; width])).collect();
            each(&mut parts, |(rows, sums)| Arch::new().dispatch(Sum { rows, sums }));
            tensor(sum(parts.iter().map(|(_, sums)| &**sums), width), [width].into())
        });
        let to_x = x_wanted.then(|| product(&gradient, &weight.transpose(0, 1), |_| ()));
        let to_weight = weight_wanted.then(|| Flex::float_matmul(x.transpose(0, 1), gradient));
        [to_x, to_weight, to_bias]
    }
}

/// `a b`, of `[rows, n]` and `[n, width]`; `then` changes each block of the product in place.
fn product(a: &FlexTensor, b: &FlexTensor, then: impl Fn(&mut [f32]) + Sync) -> FlexTensor {
    let (rows, width) = (a.layout().shape()[0], b.layout().shape()[1]);
    let height = (BLOCK / width).max(TALLEST);
    let block = |rows: Range<usize>| {
        let mut block = Flex::float_matmul(a.narrow(0, rows.start, rows.len()), b.clone());
        then(block.storage_mut::<f32>());
        block
    };
    if rows <= height {
        return block(0..rows);
    }
    let size = stretch(rows, width);
    let blocks = |rows: Range<usize>| {
        let end = rows.end;
        rows.step_by(height).map(move |first| block(first..(first + height).min(end)))
    };
    let mut out;
    if size >= rows {
        // Appending writes memory once. Filling it in parallel, below, needs it zeroed first.
        out = Vec::with_capacity(rows * width);
        blocks(0..rows).for_each(|block| out.extend_from_slice(numbers(&block)));
    } else {
        out = vec![0.0; rows * width];
        let mut parts: Vec<_> = out.chunks_mut(size * width).enumerate().collect();
        each(&mut parts, |(i, part)| {
            let first = *i * size;
            let places = part.chunks_mut(height * width);
            for (to, block) in places.zip(blocks(first..(first + size).min(rows))) {
                to.copy_from_slice(numbers(&block));
            }
        });
    }
    tensor(out, [rows, width].into())
}

/// Adds the bias to every row.
struct Add<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            for (x, bias) in row.chunks_mut(S::F32_LANES).zip(self.bias.chunks(S::F32_LANES)) {
                store(simd, x, simd.add_f32s(load(simd, x), load(simd, bias)));
            }
        }
    }
}

/// Adds all rows to `sums`.
struct Sum<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            for (sum, x) in self.sums.chunks_mut(S::F32_LANES).zip(row.chunks(S::F32_LANES)) {
                store(simd, sum, simd.add_f32s(load(simd, sum), load(simd, x)));
            }
        }
    }
}
