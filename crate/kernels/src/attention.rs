//! Attention with its gradient, one head of one picture at a time: the intermediate results stay in the cache.
//! Appendix B of the paper (a plain ViT block); the softmax subtracts the largest score.

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, numbers, tensor};
use marscope_simd::math::exp;
use marscope_simd::parallel::{count, each};

/// `softmax(q k^T / sqrt(d)) v` in each of `heads`, of `[batch, seq, 3 width]` (queries, keys, values).
#[derive(Clone, Debug)]
pub struct Attention {
    /// Heads.
    pub heads: usize,
}

impl Kernel<1> for Attention {
    const HEAVY: bool = true;

    fn reads(&self) -> [bool; 1] {
        [true]
    }

    fn forward(&self, [qkv]: [FlexTensor; 1]) -> FlexTensor {
        let qkv = contiguous(qkv);
        let [batch, seq, three] = qkv.layout().shape().dims();
        let width = three / 3;
        let mut out = vec![0.0; batch * seq * width];
        let size = batch.div_ceil(count()).max(1) * seq * width;
        let mut parts: Vec<_> = out.chunks_mut(size.max(1)).zip(numbers(&qkv).chunks((3 * size).max(1))).collect();
        each(&mut parts, |(out, qkv)| {
            Arch::new().dispatch(Forward { qkv, out, seq, dim: width / self.heads, heads: self.heads });
        });
        tensor(out, [batch, seq, width].into())
    }

    fn backward(&self, [qkv]: [Option<FlexTensor>; 1], gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (qkv, gradient) = (contiguous(qkv.expect("read")), contiguous(gradient));
        let [batch, seq, width] = gradient.layout().shape().dims();
        let mut out = vec![0.0; 3 * batch * seq * width];
        let size = (batch.div_ceil(count()) * seq * width).max(1);
        let inputs = numbers(&qkv).chunks(3 * size).zip(numbers(&gradient).chunks(size));
        let mut parts: Vec<_> = out.chunks_mut(3 * size).zip(inputs).collect();
        each(&mut parts, |(out, (qkv, gradient))| {
            Arch::new().dispatch(Backward { qkv, gradient, out, seq, dim: width / self.heads, heads: self.heads });
        });
        [Some(tensor(out, [batch, seq, 3 * width].into()))]
    }
}

struct Forward<'a> {
    qkv: &'a [f32],
    out: &'a mut [f32],
    seq: usize,
    dim: usize,
    heads: usize,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, out, seq, dim, heads } = self;
        let width = heads * dim;
        let [mut q, mut k, mut v, mut product] = [(); 4].map(|()| Matrix::new(simd, seq, dim));
        let mut keys = Matrix::new(simd, dim, seq);
        let mut weights = Matrix::new(simd, seq, seq);
        for (qkv, out) in qkv.chunks_exact(3 * seq * width).zip(out.chunks_exact_mut(seq * width)) {
            for head in 0..heads {
                for (part, matrix) in [&mut q, &mut k, &mut v].into_iter().enumerate() {
                    matrix.read(&qkv[part * width + head * dim..], 3 * width);
                }
                k.transpose(&mut keys);
                multiply(simd, &q, Side::AsIs, &keys, &mut weights);
                softmax(simd, &mut weights, 1.0 / (dim as f32).sqrt());
                multiply(simd, &weights, Side::AsIs, &v, &mut product);
                product.write(&mut out[head * dim..], width, 1.0);
            }
        }
    }
}

struct Backward<'a> {
    qkv: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
    seq: usize,
    dim: usize,
    heads: usize,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, gradient, out, seq, dim, heads } = self;
        let width = heads * dim;
        let scale = 1.0 / (dim as f32).sqrt();
        let [mut q, mut k, mut v, mut slope, mut product] = [(); 5].map(|()| Matrix::new(simd, seq, dim));
        let mut turned = Matrix::new(simd, dim, seq);
        let [mut weights, mut slopes] = [(); 2].map(|()| Matrix::new(simd, seq, seq));
        let pictures = qkv.chunks_exact(3 * seq * width).zip(gradient.chunks_exact(seq * width));
        for ((qkv, gradient), out) in pictures.zip(out.chunks_exact_mut(3 * seq * width)) {
            for head in 0..heads {
                for (part, matrix) in [&mut q, &mut k, &mut v].into_iter().enumerate() {
                    matrix.read(&qkv[part * width + head * dim..], 3 * width);
                }
                slope.read(&gradient[head * dim..], width);
                k.transpose(&mut turned);
                multiply(simd, &q, Side::AsIs, &turned, &mut weights);
                softmax(simd, &mut weights, scale);
                multiply(simd, &weights, Side::Transposed, &slope, &mut product);
                product.write(&mut out[2 * width + head * dim..], 3 * width, 1.0);
                v.transpose(&mut turned);
                multiply(simd, &slope, Side::AsIs, &turned, &mut slopes);
                softmax_backward(simd, &weights, &mut slopes);
                multiply(simd, &slopes, Side::AsIs, &k, &mut product);
                product.write(&mut out[head * dim..], 3 * width, scale);
                multiply(simd, &slopes, Side::Transposed, &q, &mut product);
                product.write(&mut out[width + head * dim..], 3 * width, scale);
            }
        }
    }
}

/// A matrix whose rows are padded with zeros to whole SIMD vectors.
struct Matrix<S: Simd> {
    vectors: Vec<S::f32s>,
    rows: usize,
    columns: usize,
    /// Vectors per row.
    across: usize,
}

impl<S: Simd> Matrix<S> {
    #[inline(always)]
    fn new(simd: S, rows: usize, columns: usize) -> Self {
        let across = columns.div_ceil(S::F32_LANES);
        Self { vectors: vec![simd.splat_f32s(0.0); rows * across], rows, columns, across }
    }

    #[inline(always)]
    fn numbers(&self) -> &[f32] {
        bytemuck::cast_slice(&self.vectors)
    }

    #[inline(always)]
    fn numbers_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.vectors)
    }

    /// Copies rows from `from`, where a row starts every `stride` numbers.
    #[inline(always)]
    fn read(&mut self, from: &[f32], stride: usize) {
        let (columns, padded) = (self.columns, self.across * S::F32_LANES);
        for (to, from) in self.numbers_mut().chunks_exact_mut(padded).zip(from.chunks(stride)) {
            to[..columns].copy_from_slice(&from[..columns]);
        }
    }

    /// Writes the rows, multiplied by `scale`, to `to`, where a row starts every `stride` numbers.
    #[inline(always)]
    fn write(&self, to: &mut [f32], stride: usize, scale: f32) {
        let padded = self.across * S::F32_LANES;
        for (from, to) in self.numbers().chunks_exact(padded).zip(to.chunks_mut(stride)) {
            for (to, from) in to[..self.columns].iter_mut().zip(from) {
                *to = from * scale;
            }
        }
    }

    #[inline(always)]
    fn transpose(&self, to: &mut Self) {
        let (padded, to_padded) = (self.across * S::F32_LANES, to.across * S::F32_LANES);
        let (columns, to) = (self.columns, to.numbers_mut());
        for (i, row) in self.numbers().chunks_exact(padded).enumerate() {
            for (to, &x) in to[i..].iter_mut().step_by(to_padded).zip(&row[..columns]) {
                *to = x;
            }
        }
    }
}

/// Whether a factor is transposed.
#[derive(Clone, Copy)]
enum Side {
    AsIs,
    Transposed,
}

/// `c = a b`, or `a^T b`.
#[inline(always)]
fn multiply<S: Simd>(simd: S, a: &Matrix<S>, side: Side, b: &Matrix<S>, c: &mut Matrix<S>) {
    let padded = a.across * S::F32_LANES;
    // Strides: between rows of the product, and between the terms of a sum.
    let (by_row, by_term) = match side {
        Side::AsIs => (padded, 1),
        Side::Transposed => (1, padded),
    };
    let mut row = 0;
    while row + 4 <= c.rows {
        columns::<S, 4>(simd, &a.numbers()[row * by_row..], [by_row, by_term], b, &mut c.vectors[row * b.across..]);
        row += 4;
    }
    for row in row..c.rows {
        columns::<S, 1>(simd, &a.numbers()[row * by_row..], [by_row, by_term], b, &mut c.vectors[row * b.across..]);
    }
}

/// Computes R rows of a product.
#[inline(always)]
fn columns<S: Simd, const R: usize>(simd: S, a: &[f32], strides: [usize; 2], b: &Matrix<S>, c: &mut [S::f32s]) {
    let mut column = 0;
    while column + 2 <= b.across {
        tile::<S, R, 2>(simd, a, strides, b, &mut c[column..], column);
        column += 2;
    }
    if column < b.across {
        tile::<S, R, 1>(simd, a, strides, b, &mut c[column..], column);
    }
}

/// Computes R rows and V vectors of a product in registers.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    a: &[f32],
    [by_row, by_term]: [usize; 2],
    b: &Matrix<S>,
    c: &mut [S::f32s],
    column: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for (term, b) in b.vectors.chunks_exact(b.across).enumerate() {
        let b: &[S::f32s; V] = b[column..][..V].try_into().expect("the slice has V vectors");
        for r in 0..R {
            let a = simd.splat_f32s(a[r * by_row + term * by_term]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(a, b[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        c[r * b.across..][..V].copy_from_slice(&sums[r]);
    }
}

/// The softmax of every row times `scale`, in place.
#[inline(always)]
fn softmax<S: Simd>(simd: S, x: &mut Matrix<S>, scale: f32) {
    let (columns, across) = (x.columns, x.across);
    let scales = simd.splat_f32s(scale);
    for row in x.vectors.chunks_exact_mut(across) {
        // The padding of the last vector must not be the maximum and must not count in the sum.
        bytemuck::cast_slice_mut::<_, f32>(row)[columns..].fill(f32::MIN);
        let largest = row.iter().fold(simd.splat_f32s(f32::MIN), |most, &x| simd.max_f32s(most, x));
        let largest = simd.splat_f32s(simd.reduce_max_f32s(largest) * scale);
        for x in row.iter_mut() {
            *x = exp(simd, simd.sub_f32s(simd.mul_f32s(*x, scales), largest));
        }
        bytemuck::cast_slice_mut::<_, f32>(row)[columns..].fill(0.0);
        let sum = row.iter().fold(simd.splat_f32s(0.0), |sum, &x| simd.add_f32s(sum, x));
        let inverse = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
        for x in row.iter_mut() {
            *x = simd.mul_f32s(*x, inverse);
        }
    }
}

/// Replaces the gradient of the softmax `weights` by the gradient of the scores.
#[inline(always)]
fn softmax_backward<S: Simd>(simd: S, weights: &Matrix<S>, slopes: &mut Matrix<S>) {
    let across = weights.across;
    for (weights, slopes) in weights.vectors.chunks_exact(across).zip(slopes.vectors.chunks_exact_mut(across)) {
        let mut sum = simd.splat_f32s(0.0);
        for (&weight, &slope) in weights.iter().zip(&*slopes) {
            sum = simd.mul_add_e_f32s(weight, slope, sum);
        }
        let mean = simd.splat_f32s(simd.reduce_sum_f32s(sum));
        for (&weight, slope) in weights.iter().zip(slopes) {
            *slope = simd.mul_f32s(weight, simd.sub_f32s(*slope, mean));
        }
    }
}
