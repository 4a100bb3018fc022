//! Attention within each image: the keys of a head as one packed matrix, its values as another, queries in blocks.
//! Appendix B of the paper (a plain ViT block); softmax with the largest score taken off.

use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
use super::tile::{RowBlocks, VECTORS, columns, for_row_blocks, tallest, tile, transpose};
use marscope_simd::math::{exp, store};

/// Buffers of a call, kept between calls.
#[derive(Default)]
pub struct Scratch {
    keys: Buffer,
    values: Buffer,
    scores: Buffer,
    transposed: Buffer,
}

/// `out = softmax(q k^T / sqrt(d)) v` within each image.
pub struct Attend<'a> {
    /// `[images * seq, 3 width]`: queries, keys and values side by side.
    pub qkv: &'a [f32],
    /// Of queries, keys and values, all heads together.
    pub width: usize,
    /// Rows of an image.
    pub seq: usize,
    /// Attention heads.
    pub heads: usize,
    /// Rows of the queries, in the order of the output; all rows if `None`.
    pub queries: Option<&'a [i32]>,
    /// `[queries, width]`.
    pub out: &'a mut [f32],
    /// Where the attention weights of the queries go, `[images, heads, seq, seq]`.
    pub weights: Option<&'a mut [f32]>,
    /// Buffers of the call.
    pub scratch: &'a mut Scratch,
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, width, seq, heads, queries, out, mut weights, scratch } = self;
        let row = |i: usize| queries.map_or(i, |queries| queries[i] as usize);
        let count = queries.map_or(qkv.len() / (3 * width), <[i32]>::len);
        let dim = width / heads;
        let padded = seq.next_multiple_of(columns::<S>());
        let keys = scratch.keys.of(padded * dim);
        let values = scratch.values.of(dim.next_multiple_of(columns::<S>()) * seq);
        let scores = scratch.scores.of(tallest::<S>() * padded);
        let transposed = scratch.transposed.of(tallest::<S>() * dim.max(seq));
        let mut first = 0;
        while first < count {
            let image = row(first) / seq;
            let same = (first..count).take_while(|&i| row(i) / seq == image).count();
            for head in 0..heads {
                let of_image = &qkv[image * seq * 3 * width..][..seq * 3 * width];
                let part = |which: usize| of_image.chunks_exact(3 * width).map(move |row| (row, which));
                let part = |which| part(which).map(|(row, which)| &row[which * width + head * dim..][..dim]);
                pack_keys(part(1), columns::<S>(), keys);
                pack_values(part(2), columns::<S>(), values);
                let mut head_of_image = Head {
                    query: |i: usize| &qkv[row(first + i) * 3 * width + head * dim..][..dim],
                    keys: S::as_simd_f32s(keys).0,
                    values: S::as_simd_f32s(values).0,
                    scores: &mut *scores,
                    transposed: &mut *transposed,
                    seq,
                    dim,
                    out: &mut out[first * width + head * dim..],
                    width,
                    weights: weights.as_deref_mut().map(|weights| {
                        let of_head = &mut weights[(image * heads + head) * seq * seq..][..seq * seq];
                        (of_head, |i: usize| row(first + i) % seq)
                    }),
                };
                for_row_blocks(simd, same, &mut head_of_image);
            }
            first += same;
        }
    }
}

/// Keys `[seq, dim]` as panels of columns, `[panels, dim, columns]`, divided by `sqrt(dim)`; zeros where there is no key.
#[inline(always)]
fn pack_keys<'a>(keys: impl Iterator<Item = &'a [f32]>, columns: usize, panels: &mut [f32]) {
    panels.fill(0.0);
    for (j, key) in keys.enumerate() {
        let scale = 1.0 / (key.len() as f32).sqrt();
        let panel = &mut panels[j / columns * key.len() * columns..][..key.len() * columns];
        for (to, &value) in panel[j % columns..].iter_mut().step_by(columns).zip(key) {
            *to = value * scale;
        }
    }
}

/// Values `[seq, dim]` as panels of columns, `[panels, seq, columns]`; zeros beyond `dim`.
#[inline(always)]
fn pack_values<'a>(values: impl ExactSizeIterator<Item = &'a [f32]>, columns: usize, panels: &mut [f32]) {
    let seq = values.len();
    for (j, value) in values.enumerate() {
        for (panel, part) in panels.chunks_exact_mut(seq * columns).zip(value.chunks(columns)) {
            let (to, beyond) = panel[j * columns..][..columns].split_at_mut(part.len());
            to.copy_from_slice(part);
            beyond.fill(0.0);
        }
    }
}

/// One head of one image.
struct Head<'a, S: Simd, Q, L> {
    /// The query of each output row.
    query: Q,
    keys: &'a [S::f32s],
    values: &'a [S::f32s],
    /// A block's, `[rows, seq]`, the keys' padding included.
    scores: &'a mut [f32],
    /// A block's rows transposed: its queries, then its scores.
    transposed: &'a mut [f32],
    seq: usize,
    dim: usize,
    out: &'a mut [f32],
    /// From one row of `out` to the next.
    width: usize,
    /// Where the attention weights go, `[seq, seq]`, and the row of it that each query has.
    weights: Option<(&'a mut [f32], L)>,
}

impl<'a, S: Simd, Q: Fn(usize) -> &'a [f32], L: Fn(usize) -> usize> RowBlocks<S> for Head<'a, S, Q, L> {
    #[inline(always)]
    fn block<const MR: usize>(&mut self, simd: S, row: usize) {
        let zero = [simd.splat_f32s(0.0); VECTORS];
        let (seq, padded) = (self.seq, self.seq.next_multiple_of(columns::<S>()));
        let queries = &mut self.transposed[..MR * self.dim];
        transpose::<MR>(std::array::from_fn(|r| (self.query)(row + r)), queries);
        let (queries, _) = queries.as_chunks::<MR>();
        for (first, keys) in (0..padded).step_by(columns::<S>()).zip(self.keys.chunks_exact(self.dim * VECTORS)) {
            let sums = tile::<S, MR>(simd, queries, keys, zero);
            for (r, sums) in sums.into_iter().enumerate() {
                let (to, _) = S::as_mut_simd_f32s(&mut self.scores[r * padded + first..][..columns::<S>()]);
                to.copy_from_slice(&sums);
            }
        }
        for (r, scores) in self.scores.chunks_exact_mut(padded).take(MR).enumerate() {
            scores[seq..].fill(f32::NEG_INFINITY);
            softmax(simd, S::as_mut_simd_f32s(scores).0);
            if let Some((weights, row_of)) = &mut self.weights {
                weights[row_of(row + r) * seq..][..seq].copy_from_slice(&scores[..seq]);
            }
        }
        let scores = &mut self.transposed[..MR * seq];
        transpose::<MR>(std::array::from_fn(|r| &self.scores[r * padded..][..seq]), scores);
        let (scores, _) = scores.as_chunks::<MR>();
        for (first, values) in (0..self.dim).step_by(columns::<S>()).zip(self.values.chunks_exact(seq * VECTORS)) {
            let sums = tile::<S, MR>(simd, scores, values, zero);
            for (r, sums) in sums.into_iter().enumerate() {
                let line = &mut self.out[(row + r) * self.width..][first..self.dim.min(first + columns::<S>())];
                for (sum, to) in sums.into_iter().zip(line.chunks_mut(S::F32_LANES)) {
                    store(simd, to, sum);
                }
            }
        }
    }
}

/// Softmax in place; padding holds minus infinity.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [S::f32s]) {
    let most = scores.iter().fold(simd.splat_f32s(f32::NEG_INFINITY), |most, &score| simd.max_f32s(most, score));
    let most = simd.splat_f32s(simd.reduce_max_f32s(most));
    let mut sum = simd.splat_f32s(0.0);
    for score in &mut *scores {
        *score = exp(simd, simd.sub_f32s(*score, most));
        sum = simd.add_f32s(sum, *score);
    }
    let inverse = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
    for score in scores {
        *score = simd.mul_f32s(*score, inverse);
    }
}
