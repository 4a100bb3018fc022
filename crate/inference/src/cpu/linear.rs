//! Linear layers: weights packed once, in the order in which the kernel reads them; activations are applied in registers.
//! Appendix B of the paper lists the layers; [`super::tile`] multiplies.

use std::cell::Cell;

use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
use super::tile::{RowBlocks, VECTORS, columns, for_row_blocks, tile, transpose};
use marscope_simd::math::{gelu, load, silu, store};

thread_local! {
    /// The rows of a layer, transposed for [`tile`]. A cell, so that the kernel is inlined into the function that is
    /// compiled for the machine, which a closure would prevent.
    static TRANSPOSED: Cell<Buffer> = Cell::default();
}

/// `x W + b`, the columns in panels.
pub struct Linear {
    /// Numbers a row of x has.
    d_in: usize,
    /// Numbers a row of the output has.
    d_out: usize,
    /// Columns of a panel.
    columns: usize,
    /// `[panels, d_in, columns]`, zeros beyond `d_out`.
    weight: Buffer,
    /// `[panels, columns]`.
    bias: Buffer,
}

impl Linear {
    /// A layer of `[in, out]` zeros, in panels of `columns`.
    pub fn zeros([d_in, d_out]: [usize; 2], columns: usize) -> Self {
        let panels = d_out.div_ceil(columns);
        let (mut weight, mut bias) = (Buffer::default(), Buffer::default());
        weight.of(panels * d_in * columns);
        bias.of(panels * columns);
        Self { d_in, d_out, columns, weight, bias }
    }

    /// Packs the `weight` `[in]` and the `bias` of one output.
    pub fn set(&mut self, output: usize, weight: &[f32], bias: f32) {
        let Self { d_in, columns, .. } = *self;
        let panels = self.weight.of(self.d_out.div_ceil(columns) * d_in * columns);
        let first = output / columns * d_in * columns + output % columns;
        for (to, &value) in panels[first..].iter_mut().step_by(columns).zip(weight) {
            *to = value;
        }
        self.bias.of(output + 1)[output] = bias;
    }

    /// Numbers a row of x has.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Numbers a row of the output has.
    pub fn d_out(&self) -> usize {
        self.d_out
    }
}

/// The operation on a sum before it is written.
pub trait RowEpilogue: Copy {
    /// What to write for `sum`, which belongs to `row`, from `column` on; `old` reads the value there.
    fn finish<S: Simd>(
        self,
        simd: S,
        sum: S::f32s,
        old: impl FnOnce() -> S::f32s,
        row: usize,
        column: usize,
    ) -> S::f32s;
}

/// Writes it.
#[derive(Clone, Copy)]
pub struct Write;

/// Applies the exact `GELU`.
#[derive(Clone, Copy)]
pub struct Gelu;

/// Applies `SiLU`.
#[derive(Clone, Copy)]
pub struct Silu;

/// Adds it to the old value.
#[derive(Clone, Copy)]
pub struct Add;

/// Adds it, times a gate, to the old value.
#[derive(Clone, Copy)]
pub struct Gated<'a> {
    /// From the first row's gate on.
    pub gates: &'a [f32],
    /// From one row's gate to the next.
    pub stride: usize,
}

impl RowEpilogue for Write {
    #[inline(always)]
    fn finish<S: Simd>(self, _: S, sum: S::f32s, _: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        sum
    }
}

impl RowEpilogue for Gelu {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::f32s, _: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        gelu(simd, sum)
    }
}

impl RowEpilogue for Silu {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::f32s, _: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        silu(simd, sum)
    }
}

impl RowEpilogue for Add {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::f32s, old: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        simd.add_f32s(old(), sum)
    }
}

impl RowEpilogue for Gated<'_> {
    #[inline(always)]
    fn finish<S: Simd>(
        self,
        simd: S,
        sum: S::f32s,
        old: impl FnOnce() -> S::f32s,
        row: usize,
        column: usize,
    ) -> S::f32s {
        simd.mul_add_e_f32s(load(simd, &self.gates[row * self.stride + column..]), sum, old())
    }
}

/// `out = finish(x W + b)`.
pub struct Apply<'a, F> {
    /// The layer.
    pub layer: &'a Linear,
    /// `[rows, d_in]`.
    pub x: &'a [f32],
    /// `[rows, d_out]`.
    pub out: &'a mut [f32],
    /// The operation on the sums.
    pub epilogue: F,
}

impl<F: RowEpilogue> WithSimd for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, out, epilogue } = self;
        let rows = x.len() / layer.d_in;
        let (weight, _) = S::as_simd_f32s(layer.weight.get());
        let (bias, _) = S::as_simd_f32s(layer.bias.get());
        let (bias, _) = bias.as_chunks::<VECTORS>();
        let panels = weight.chunks_exact(layer.d_in * VECTORS).zip(bias);
        let mut buffer = TRANSPOSED.take();
        let transposed = buffer.of(x.len());
        for_row_blocks(simd, rows, &mut Transpose { x, d_in: layer.d_in, to: &mut *transposed });
        // A panel stays in the first-level cache for all rows, so every weight is fetched once.
        for (first, (weights, &bias)) in (0..layer.d_out).step_by(columns::<S>()).zip(panels) {
            let mut panel = Panel {
                x: transposed,
                d_in: layer.d_in,
                weights,
                bias,
                out: &mut *out,
                d_out: layer.d_out,
                columns: first..layer.d_out.min(first + columns::<S>()),
                epilogue,
            };
            for_row_blocks(simd, rows, &mut panel);
        }
        TRANSPOSED.set(buffer);
    }
}

/// Writes the rows of each block as [`tile`] reads them, at the block's offset.
struct Transpose<'a> {
    x: &'a [f32],
    d_in: usize,
    to: &'a mut [f32],
}

impl<S: Simd> RowBlocks<S> for Transpose<'_> {
    #[inline(always)]
    fn block<const MR: usize>(&mut self, _: S, row: usize) {
        let rows = std::array::from_fn(|r| &self.x[(row + r) * self.d_in..][..self.d_in]);
        transpose::<MR>(rows, &mut self.to[row * self.d_in..][..MR * self.d_in]);
    }
}

/// One panel's columns, for any of the rows.
struct Panel<'a, S: Simd, F> {
    /// Transposed.
    x: &'a [f32],
    d_in: usize,
    weights: &'a [S::f32s],
    bias: [S::f32s; VECTORS],
    out: &'a mut [f32],
    d_out: usize,
    columns: std::ops::Range<usize>,
    epilogue: F,
}

impl<S: Simd, F: RowEpilogue> RowBlocks<S> for Panel<'_, S, F> {
    #[inline(always)]
    fn block<const MR: usize>(&mut self, simd: S, row: usize) {
        let (x, _) = self.x[row * self.d_in..][..MR * self.d_in].as_chunks::<MR>();
        let sums = tile::<S, MR>(simd, x, self.weights, self.bias);
        for (r, sums) in sums.into_iter().enumerate() {
            let row = row + r;
            let line = &mut self.out[row * self.d_out..][self.columns.clone()];
            for ((v, sum), to) in sums.into_iter().enumerate().zip(line.chunks_mut(S::F32_LANES)) {
                let column = self.columns.start + v * S::F32_LANES;
                let value = self.epilogue.finish(simd, sum, || load(simd, to), row, column);
                store(simd, to, value);
            }
        }
    }
}
