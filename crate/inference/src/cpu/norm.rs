//! Layer norm, in two passes, and the modulation of the head's adaptive norms.
//! Appendix B of the paper; adaptive layer norm is that of DiT (Peebles and Xie, 2022).

use pulp::{Simd, WithSimd};

/// Epsilon of every layer norm.
const EPSILON: f32 = 1e-6;

/// Scale and shift, `[width]` each.
pub struct Norm {
    /// Multiplies the normalised numbers.
    pub scale: Vec<f32>,
    /// Is added to them.
    pub shift: Vec<f32>,
}

impl Norm {
    /// A norm of `width` that only normalises.
    pub fn bare(width: usize) -> Self {
        Self { scale: vec![1.0; width], shift: vec![0.0; width] }
    }
}

/// Rows of modulations, as one linear layer gives them for a whole head.
#[derive(Clone, Copy)]
pub struct Modulation<'a> {
    /// From the first row's shift on; its scale follows.
    pub rows: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
}

/// Normalises rows in place; `norm(x) * (1 + scale) + shift` where they are modulated.
pub struct Normalise<'a> {
    /// The norm.
    pub norm: &'a Norm,
    /// `[rows, width]`.
    pub x: &'a mut [f32],
    /// The modulation of each row.
    pub modulation: Option<Modulation<'a>>,
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, x, modulation } = self;
        let width = norm.scale.len();
        for (r, row) in x.chunks_exact_mut(width).enumerate() {
            normalise(simd, norm, row);
            if let Some(Modulation { rows, stride }) = modulation {
                let (shift, rest) = rows[r * stride..].split_at(width);
                scale_and_shift(simd, row, &rest[..width], shift, 1.0);
            }
        }
    }
}

#[inline(always)]
fn normalise<S: Simd>(simd: S, norm: &Norm, row: &mut [f32]) {
    let width = row.len() as f32;
    let mean = total(simd, row, |x| x, |x| x) / width;
    let means = simd.splat_f32s(mean);
    let square = |x: S::f32s| {
        let off = simd.sub_f32s(x, means);
        simd.mul_f32s(off, off)
    };
    let variance = total(simd, row, square, |x| (x - mean) * (x - mean)) / width;
    let inverse = 1.0 / (variance + EPSILON).sqrt();
    let inverses = simd.splat_f32s(inverse);
    let (vectors, rest) = S::as_mut_simd_f32s(row);
    for x in vectors {
        *x = simd.mul_f32s(simd.sub_f32s(*x, means), inverses);
    }
    for x in rest {
        *x = (*x - mean) * inverse;
    }
    scale_and_shift(simd, row, &norm.scale, &norm.shift, 0.0);
}

/// The sum of `term` over the numbers of `row`; `scalar_term` is the same for the numbers that fill no vector.
#[inline(always)]
pub fn total<S: Simd>(
    simd: S,
    row: &[f32],
    term: impl Fn(S::f32s) -> S::f32s,
    scalar_term: impl Fn(f32) -> f32,
) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(row);
    let (fours, ones) = vectors.as_chunks::<4>();
    // Four sums, so that no addition waits for the one before.
    let mut sums = [simd.splat_f32s(0.0); 4];
    for four in fours {
        for i in 0..4 {
            sums[i] = simd.add_f32s(sums[i], term(four[i]));
        }
    }
    for &one in ones {
        sums[0] = simd.add_f32s(sums[0], term(one));
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(sum) + rest.iter().map(|&x| scalar_term(x)).sum::<f32>()
}

/// `x * (offset + scale) + shift`.
#[inline(always)]
fn scale_and_shift<S: Simd>(simd: S, row: &mut [f32], scale: &[f32], shift: &[f32], offset: f32) {
    let offsets = simd.splat_f32s(offset);
    let (vectors, rest) = S::as_mut_simd_f32s(row);
    let ((scales, scale), (shifts, shift)) = (S::as_simd_f32s(scale), S::as_simd_f32s(shift));
    for ((x, &scale), &shift) in vectors.iter_mut().zip(scales).zip(shifts) {
        *x = simd.mul_add_e_f32s(*x, simd.add_f32s(scale, offsets), shift);
    }
    for ((x, scale), shift) in rest.iter_mut().zip(scale).zip(shift) {
        *x = *x * (scale + offset) + shift;
    }
}
