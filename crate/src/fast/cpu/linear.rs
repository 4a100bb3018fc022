//! Linear layers: weights packed once, in the order in which the kernel reads them, and what follows done in registers.
//! Appendix B of the paper says where they stand; [`super::tile`] says how they are multiplied.

use std::cell::Cell;

use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
use super::math::{gelu, load, silu, store};
use super::tile::{Block, VECTORS, blocks, columns, tile, turn};

thread_local! {
    /// The rows of the layer under way, turned for [`tile`]. A cell, so that no closure stands between the kernel and the
    /// function that is compiled for the machine.
    static TURNED: Cell<Buffer> = Cell::default();
}

/// `x W + b`, the columns in panels.
pub struct Linear {
    /// Numbers a row of x has.
    d_in: usize,
    /// Numbers a row of the output has.
    d_out: usize,
    /// `[panels, d_in, columns of a panel]`, zeros beyond `d_out`.
    weight: Buffer,
    /// `[panels, columns of a panel]`.
    bias: Buffer,
}

impl Linear {
    /// Packs `weight` `[out, in]` and `bias` `[out]` into panels of `columns`.
    pub fn new(weight: &[f32], bias: &[f32], columns: usize) -> Self {
        let d_out = bias.len();
        let d_in = weight.len() / d_out;
        let panels = d_out.div_ceil(columns);
        let (mut packed, mut padded) = (Buffer::default(), Buffer::default());
        let to = packed.of(panels * d_in * columns);
        for (j, row) in weight.chunks_exact(d_in).enumerate() {
            let first = j / columns * d_in * columns + j % columns;
            for (to, &value) in to[first..].iter_mut().step_by(columns).zip(row) {
                *to = value;
            }
        }
        padded.of(panels * columns)[..d_out].copy_from_slice(bias);
        Self { d_in, d_out, weight: packed, bias: padded }
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

/// What becomes of a sum before it is written.
pub trait Finish: Copy {
    /// `sum` belongs to `row`, from `column` on; `old` reads what stands where it goes.
    fn finish<S: Simd>(
        self,
        simd: S,
        sum: S::f32s,
        old: impl FnOnce() -> S::f32s,
        row: usize,
        column: usize,
    ) -> S::f32s;
}

/// It is written.
#[derive(Clone, Copy)]
pub struct Write;

/// It goes through the exact `GELU`.
#[derive(Clone, Copy)]
pub struct Gelu;

/// It goes through `SiLU`.
#[derive(Clone, Copy)]
pub struct Silu;

/// It is added to what is there.
#[derive(Clone, Copy)]
pub struct Add;

/// It is added to what is there, times a gate.
#[derive(Clone, Copy)]
pub struct Gated<'a> {
    /// The gate of the first row, and what lies between it and those of the others.
    pub gates: &'a [f32],
    /// From one row's gate to the next.
    pub stride: usize,
}

impl Finish for Write {
    #[inline(always)]
    fn finish<S: Simd>(self, _: S, sum: S::f32s, _: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        sum
    }
}

impl Finish for Gelu {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::f32s, _: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        gelu(simd, sum)
    }
}

impl Finish for Silu {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::f32s, _: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        silu(simd, sum)
    }
}

impl Finish for Add {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::f32s, old: impl FnOnce() -> S::f32s, _: usize, _: usize) -> S::f32s {
        simd.add_f32s(old(), sum)
    }
}

impl Finish for Gated<'_> {
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
    /// What becomes of the sums.
    pub finish: F,
}

impl<F: Finish> WithSimd for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, out, finish } = self;
        let rows = x.len() / layer.d_in;
        let (weight, _) = S::as_simd_f32s(layer.weight.get());
        let (bias, _) = S::as_simd_f32s(layer.bias.get());
        let (bias, _) = bias.as_chunks::<VECTORS>();
        let panels = weight.chunks_exact(layer.d_in * VECTORS).zip(bias);
        let mut buffer = TURNED.take();
        let turned = buffer.of(x.len());
        blocks(simd, rows, &mut Turn { x, d_in: layer.d_in, to: &mut *turned });
        // A panel stays in the nearest cache while all rows pass by: every weight is fetched once.
        for (first, (panel, &bias)) in (0..layer.d_out).step_by(columns::<S>()).zip(panels) {
            let mut work = Panel {
                x: turned,
                d_in: layer.d_in,
                weights: panel,
                bias,
                out: &mut *out,
                d_out: layer.d_out,
                columns: first..layer.d_out.min(first + columns::<S>()),
                finish,
            };
            blocks(simd, rows, &mut work);
        }
        TURNED.set(buffer);
    }
}

/// The rows of each block as [`tile`] reads them, where they stood.
struct Turn<'a> {
    x: &'a [f32],
    d_in: usize,
    to: &'a mut [f32],
}

impl<S: Simd> Block<S> for Turn<'_> {
    #[inline(always)]
    fn block<const MR: usize>(&mut self, _: S, row: usize) {
        let rows = std::array::from_fn(|r| &self.x[(row + r) * self.d_in..][..self.d_in]);
        turn::<MR>(rows, &mut self.to[row * self.d_in..][..MR * self.d_in]);
    }
}

/// One panel's columns, for any of the rows.
struct Panel<'a, S: Simd, F> {
    /// Turned.
    x: &'a [f32],
    d_in: usize,
    weights: &'a [S::f32s],
    bias: [S::f32s; VECTORS],
    out: &'a mut [f32],
    d_out: usize,
    columns: std::ops::Range<usize>,
    finish: F,
}

impl<S: Simd, F: Finish> Block<S> for Panel<'_, S, F> {
    #[inline(always)]
    fn block<const MR: usize>(&mut self, simd: S, row: usize) {
        let (x, _) = self.x[row * self.d_in..][..MR * self.d_in].as_chunks::<MR>();
        let sums = tile::<S, MR>(simd, x, self.weights, self.bias);
        for (r, sums) in sums.into_iter().enumerate() {
            let row = row + r;
            let line = &mut self.out[row * self.d_out..][self.columns.clone()];
            for ((v, sum), to) in sums.into_iter().enumerate().zip(line.chunks_mut(S::F32_LANES)) {
                let column = self.columns.start + v * S::F32_LANES;
                let value = self.finish.finish(simd, sum, || load(simd, to), row, column);
                store(simd, to, value);
            }
        }
    }
}
