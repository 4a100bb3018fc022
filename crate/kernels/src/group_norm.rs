//! Group norm, channels last, with an optional `SiLU` after it, and the gradient.
//! For the autoencoder (Rombach et al., arXiv 2112.10752). One picture at a time, which fits the second-level cache.

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, numbers, own, sum, tensor};
use marscope_simd::math::{load, silu, silu_slope, store};
use marscope_simd::parallel::{count, each};

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift`, of x `[n, h, w, channels]`, scale and shift `[channels]`. Mean and
/// (biased) variance are computed per picture and group of channels.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// Number of groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether `SiLU` follows the norm.
    pub silu: bool,
}

impl Kernel<3> for GroupNorm {
    const HEAVY: bool = false;

    fn reads(&self) -> [bool; 3] {
        [true; 3]
    }

    fn forward(&self, [x, scale, shift]: [FlexTensor; 3]) -> FlexTensor {
        let (mut x, scale, shift) = (own(x), contiguous(scale), contiguous(shift));
        let [_, h, w, c] = x.layout().shape().dims();
        let (scale, shift) = (numbers(&scale), numbers(&shift));
        let mut pictures: Vec<_> = x.storage_mut::<f32>().chunks_mut(h * w * c).collect();
        each(&mut pictures, |x| Arch::new().dispatch(Forward { norm: self, x, scale, shift }));
        x
    }

    fn backward(
        &self,
        [x, scale, shift]: [Option<FlexTensor>; 3],
        gradient: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let [x, scale, shift] = [x, scale, shift].map(|input| contiguous(input.expect("read")));
        let mut gradient = own(gradient);
        let [n, h, w, c] = x.layout().shape().dims();
        let some = n.div_ceil(4 * count()).max(1) * h * w * c;
        let [scales, shifts] = [&scale, &shift].map(numbers);
        let pictures = gradient.storage_mut::<f32>().chunks_mut(some).zip(numbers(&x).chunks(some));
        let mut parts: Vec<_> = pictures.map(|(gradient, x)| (gradient, x, vec![0.0; 2 * c])).collect();
        each(&mut parts, |(gradient, x, sums)| {
            for (gradient, x) in gradient.chunks_exact_mut(h * w * c).zip(x.chunks_exact(h * w * c)) {
                Arch::new().dispatch(Backward { norm: self, gradient, x, scale: scales, shift: shifts, sums });
            }
        });
        let all = sum(parts.iter().map(|part| &*part.2), 2 * c);
        let [to_scale, to_shift] = [&all[..c], &all[c..]].map(|sums| tensor(sums.to_vec(), [c].into()));
        [Some(gradient), Some(to_scale), Some(to_shift)]
    }
}

/// Number of vectors that hold the channels of one position; the last one may be partly filled.
fn vectors<S: Simd>(channels: usize) -> usize {
    channels.div_ceil(S::F32_LANES)
}

/// Sums `what` over all positions, per channel.
#[inline(always)]
fn channel_sums<S: Simd>(simd: S, x: &[f32], channels: usize, what: impl Fn(usize, S::f32s) -> S::f32s) -> Vec<f32> {
    let mut sums = vec![simd.splat_f32s(0.0); vectors::<S>(channels)];
    for position in x.chunks_exact(channels) {
        for ((v, sum), x) in sums.iter_mut().enumerate().zip(position.chunks(S::F32_LANES)) {
            *sum = simd.add_f32s(*sum, what(v, load(simd, x)));
        }
    }
    bytemuck::cast_slice::<_, f32>(&sums)[..channels].to_vec()
}

/// Replaces each channel's sum by the sum of its group.
fn over_groups(sums: &mut [f32], groups: usize) {
    for group in sums.chunks_exact_mut(sums.len() / groups) {
        let sum: f32 = group.iter().sum();
        group.fill(sum);
    }
}

/// Loads one number per channel as vectors.
#[inline(always)]
fn spread<S: Simd>(simd: S, numbers: &[f32]) -> Vec<S::f32s> {
    numbers.chunks(S::F32_LANES).map(|part| load(simd, part)).collect()
}

impl GroupNorm {
    /// Mean and inverse standard deviation of each channel's group, for one picture.
    #[inline(always)]
    fn moments<S: Simd>(&self, simd: S, x: &[f32], channels: usize) -> [Vec<f32>; 2] {
        let count = (x.len() / self.groups) as f32;
        let mut mean = channel_sums(simd, x, channels, |_, x| x);
        over_groups(&mut mean, self.groups);
        for mean in &mut mean {
            *mean /= count;
        }
        let means = spread(simd, &mean);
        let mut scale = channel_sums(simd, x, channels, |v, x| {
            let off = simd.sub_f32s(x, means[v]);
            simd.mul_f32s(off, off)
        });
        over_groups(&mut scale, self.groups);
        for scale in &mut scale {
            *scale = 1.0 / (*scale / count + self.epsilon).sqrt();
        }
        [mean, scale]
    }
}

struct Forward<'a> {
    norm: &'a GroupNorm,
    x: &'a mut [f32],
    scale: &'a [f32],
    shift: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.scale.len();
        let [mean, scale] = self.norm.moments(simd, self.x, channels);
        let factor: Vec<f32> = scale.iter().zip(self.scale).map(|(a, b)| a * b).collect();
        let rest: Vec<f32> = self
            .shift
            .iter()
            .zip(mean.iter().zip(&factor))
            .map(|(shift, (mean, factor))| shift - mean * factor)
            .collect();
        let (factor, rest) = (spread(simd, &factor), spread(simd, &rest));
        for position in self.x.chunks_exact_mut(channels) {
            for ((part, &factor), &rest) in position.chunks_mut(S::F32_LANES).zip(&factor).zip(&rest) {
                let y = simd.mul_add_e_f32s(load(simd, part), factor, rest);
                store(simd, part, if self.norm.silu { silu(simd, y) } else { y });
            }
        }
    }
}

/// Replaces the gradient of the output by that of x, for one picture.
struct Backward<'a> {
    norm: &'a GroupNorm,
    gradient: &'a mut [f32],
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    /// Running sums of the gradients of scale and shift.
    sums: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm, gradient, x, scale, shift, sums } = self;
        let channels = scale.len();
        let [mean, inverse] = norm.moments(simd, x, channels);
        let factor: Vec<f32> = inverse.iter().zip(scale).map(|(a, b)| a * b).collect();
        let rest: Vec<f32> =
            shift.iter().zip(mean.iter().zip(&factor)).map(|(shift, (mean, factor))| shift - mean * factor).collect();
        let (factors, rests) = (spread(simd, &factor), spread(simd, &rest));
        // The gradient before the `SiLU`, its sum, and the sum of its product with x.
        let across = vectors::<S>(channels);
        let mut plain = vec![simd.splat_f32s(0.0); across];
        let mut with_x = plain.clone();
        for (gradient, x) in gradient.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            let parts = gradient.chunks_mut(S::F32_LANES).zip(x.chunks(S::F32_LANES));
            for (v, (part, x)) in parts.enumerate() {
                let x = load(simd, x);
                let mut slope = load(simd, part);
                if norm.silu {
                    let y = simd.mul_add_e_f32s(x, factors[v], rests[v]);
                    slope = simd.mul_f32s(slope, silu_slope(simd, y));
                    store(simd, part, slope);
                }
                plain[v] = simd.add_f32s(plain[v], slope);
                with_x[v] = simd.mul_add_e_f32s(slope, x, with_x[v]);
            }
        }
        let plain = &bytemuck::cast_slice::<_, f32>(&plain)[..channels];
        let with_x = &bytemuck::cast_slice::<_, f32>(&with_x)[..channels];
        // The same with the normalised x.
        let with_normal: Vec<f32> = (0..channels).map(|c| (with_x[c] - plain[c] * mean[c]) * inverse[c]).collect();
        for c in 0..channels {
            sums[c] += with_normal[c];
            sums[channels + c] += plain[c];
        }
        let count = (x.len() / norm.groups) as f32;
        let mut means: [Vec<f32>; 2] =
            [plain, &with_normal].map(|sums| sums.iter().zip(scale).map(|(sum, scale)| sum * scale / count).collect());
        for means in &mut means {
            over_groups(means, norm.groups);
        }
        // inverse * (slope * scale - mean(slope * scale) - normal * mean(slope * scale * normal)), with the factors of slope, x
        // and 1 collected per channel.
        let of_x: Vec<f32> = (0..channels).map(|c| -inverse[c] * inverse[c] * means[1][c]).collect();
        let constant: Vec<f32> = (0..channels).map(|c| -inverse[c] * means[0][c] - mean[c] * of_x[c]).collect();
        let (of_x, constant) = (spread(simd, &of_x), spread(simd, &constant));
        for (gradient, x) in gradient.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            let parts = gradient.chunks_mut(S::F32_LANES).zip(x.chunks(S::F32_LANES));
            for (v, (part, x)) in parts.enumerate() {
                let sum = simd.mul_add_e_f32s(load(simd, x), of_x[v], constant[v]);
                let found = simd.mul_add_e_f32s(load(simd, part), factors[v], sum);
                store(simd, part, found);
            }
        }
    }
}
