//! Layer norm, with the modulation of the head's adaptive norms in the same pass.
//! Appendix B of the paper; adaptive layer norm is that of DiT (Peebles and Xie, 2022).

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, map, numbers, own, stretch, sum, tensor};
use marscope_simd::math::{load, store};
use marscope_simd::parallel::each;

/// Epsilon of every layer norm.
pub const EPSILON: f32 = 1e-6;

/// `norm(x) * scale + shift` over the last dimension, of x `[.., width]` and scale and shift `[width]`; with two more
/// inputs of x's shape, `(norm(x) * scale + shift) * (1 + then_scale) + then_shift`.
#[derive(Clone, Debug)]
pub struct Norm;

impl Kernel<3> for Norm {
    const HEAVY: bool = false;

    fn reads(&self) -> [bool; 3] {
        [true, true, false]
    }

    fn forward(&self, [x, scale, shift]: [FlexTensor; 3]) -> FlexTensor {
        forward(x, scale, shift, None)
    }

    fn backward(
        &self,
        [x, scale, _]: [Option<FlexTensor>; 3],
        gradient: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let mut gradient = own(gradient);
        let (x, scale) = (contiguous(x.expect("read")), contiguous(scale.expect("read")));
        let (x, scale) = (numbers(&x), numbers(&scale));
        let width = scale.len();
        let rows = stretch(x.len() / width, width);
        let shift = vec![0.0; width];
        let mut parts: Vec<_> = gradient
            .storage_mut::<f32>()
            .chunks_mut(rows * width)
            .zip(x.chunks(rows * width))
            .map(|(gradient, x)| {
                let sums = [vec![0.0; width], vec![0.0; width]];
                Backward { x, scale, shift: &shift, then_scale: None, gradient, sums }
            })
            .collect();
        each(&mut parts, |part| Arch::new().dispatch(part));
        let [to_scale, to_shift] =
            [0, 1].map(|i| tensor(sum(parts.iter().map(|part| &*part.sums[i]), width), [width].into()));
        [Some(gradient), Some(to_scale), Some(to_shift)]
    }
}

impl Kernel<5> for Norm {
    const HEAVY: bool = false;

    fn reads(&self) -> [bool; 5] {
        [true, true, true, true, false]
    }

    fn forward(&self, [x, scale, shift, then_scale, then_shift]: [FlexTensor; 5]) -> FlexTensor {
        forward(x, scale, shift, Some([then_scale, then_shift]))
    }

    fn backward(
        &self,
        [x, scale, shift, then_scale, _]: [Option<FlexTensor>; 5],
        gradient: FlexTensor,
        [.., then_shift_wanted]: [bool; 5],
    ) -> [Option<FlexTensor>; 5] {
        let to_then_shift = then_shift_wanted.then(|| gradient.clone());
        let (mut gradient, mut then_scale) = (own(gradient), own(then_scale.expect("read")));
        let [x, scale, shift] = [x, scale, shift].map(|input| contiguous(input.expect("read")));
        let [x, scale, shift] = [&x, &scale, &shift].map(numbers);
        let width = scale.len();
        let rows = stretch(x.len() / width, width);
        let rows_of_three = then_scale.storage_mut::<f32>().chunks_mut(rows * width).zip(x.chunks(rows * width));
        let mut parts: Vec<_> = gradient
            .storage_mut::<f32>()
            .chunks_mut(rows * width)
            .zip(rows_of_three)
            .map(|(gradient, (then_scale, x))| {
                let sums = [vec![0.0; width], vec![0.0; width]];
                Backward { x, scale, shift, then_scale: Some(then_scale), gradient, sums }
            })
            .collect();
        each(&mut parts, |part| Arch::new().dispatch(part));
        let [to_scale, to_shift] =
            [0, 1].map(|i| tensor(sum(parts.iter().map(|part| &*part.sums[i]), width), [width].into()));
        [Some(gradient), Some(to_scale), Some(to_shift), Some(then_scale), to_then_shift]
    }
}

fn forward(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, then: Option<[FlexTensor; 2]>) -> FlexTensor {
    let (scale, shift) = (contiguous(scale), contiguous(shift));
    let (scale, shift) = (numbers(&scale), numbers(&shift));
    let then = then.map(|then| then.map(contiguous));
    let then = then.as_ref().map(|then| then.each_ref().map(numbers));
    map(x, scale.len(), |first, x| {
        let then = then.map(|then| then.map(|all| &all[first..]));
        Arch::new().dispatch(Forward { x, scale, shift, then });
    })
}

/// Mean, and 1 over the standard deviation, of a row.
#[inline(always)]
fn moments<S: Simd>(simd: S, row: &[f32]) -> [f32; 2] {
    let width = row.len() as f32;
    let (vectors, rest) = S::as_simd_f32s(row);
    let (pairs, one) = vectors.as_chunks::<2>();
    // Two sums, so that an addition does not wait for the previous one.
    let mut sums = [simd.splat_f32s(0.0); 2];
    for pair in pairs {
        sums = [simd.add_f32s(sums[0], pair[0]), simd.add_f32s(sums[1], pair[1])];
    }
    for &one in one {
        sums[0] = simd.add_f32s(sums[0], one);
    }
    let sum = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
    let mean = (sum + rest.iter().sum::<f32>()) / width;
    let means = simd.splat_f32s(mean);
    let mut sums = [simd.splat_f32s(0.0); 2];
    for pair in pairs {
        let off = [simd.sub_f32s(pair[0], means), simd.sub_f32s(pair[1], means)];
        sums = [simd.mul_add_e_f32s(off[0], off[0], sums[0]), simd.mul_add_e_f32s(off[1], off[1], sums[1])];
    }
    for &one in one {
        let off = simd.sub_f32s(one, means);
        sums[0] = simd.mul_add_e_f32s(off, off, sums[0]);
    }
    let sum = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]));
    let variance = (sum + rest.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>()) / width;
    [mean, 1.0 / (variance + EPSILON).sqrt()]
}

struct Forward<'a> {
    x: &'a mut [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    /// Scale and shift of every number.
    then: Option<[&'a [f32]; 2]>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, lanes) = (self.scale.len(), S::F32_LANES);
        for (r, row) in self.x.chunks_exact_mut(width).enumerate() {
            let [mean, inverse] = moments(simd, row);
            let (mean, inverse) = (simd.splat_f32s(mean), simd.splat_f32s(inverse));
            let own = self.scale.chunks(lanes).zip(self.shift.chunks(lanes));
            for (x, (scale, shift)) in row.chunks_mut(lanes).zip(own) {
                let normal = simd.mul_f32s(simd.sub_f32s(load(simd, x), mean), inverse);
                store(simd, x, simd.mul_add_e_f32s(normal, load(simd, scale), load(simd, shift)));
            }
            if let Some(then) = self.then {
                let [scale, shift] = then.map(|all| all[r * width..][..width].chunks(lanes));
                for (x, (scale, shift)) in row.chunks_mut(lanes).zip(scale.zip(shift)) {
                    let x_once = load(simd, x);
                    let sum = simd.add_f32s(x_once, load(simd, shift));
                    store(simd, x, simd.mul_add_e_f32s(x_once, load(simd, scale), sum));
                }
            }
        }
    }
}

/// Replaces the gradient of the output by the gradient of x, and `then_scale` by its gradient. Returns the sums over
/// the rows, which are the gradients of scale and shift.
struct Backward<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    then_scale: Option<&'a mut [f32]>,
    gradient: &'a mut [f32],
    sums: [Vec<f32>; 2],
}

impl WithSimd for &mut Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, lanes) = (self.scale.len(), S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let [to_scale, to_shift] = &mut self.sums;
        for (r, (gradient, x)) in self.gradient.chunks_exact_mut(width).zip(self.x.chunks_exact(width)).enumerate() {
            let [mean, inverse] = moments(simd, x);
            let (means, inverses) = (simd.splat_f32s(mean), simd.splat_f32s(inverse));
            if let Some(then) = &mut self.then_scale {
                let own = self.scale.chunks(lanes).zip(self.shift.chunks(lanes));
                let row = then[r * width..][..width].chunks_mut(lanes).zip(gradient.chunks_mut(lanes));
                for ((x, (scale, shift)), (then, gradient)) in x.chunks(lanes).zip(own).zip(row) {
                    let normal = simd.mul_f32s(simd.sub_f32s(load(simd, x), means), inverses);
                    let y = simd.mul_add_e_f32s(normal, load(simd, scale), load(simd, shift));
                    let (factor, slope) = (load(simd, then), load(simd, gradient));
                    store(simd, then, simd.mul_f32s(slope, y));
                    store(simd, gradient, simd.mul_add_e_f32s(slope, factor, slope));
                }
            }
            // The gradient of the normalised numbers, less its mean and less its mean product with them.
            let (mut sum, mut product) = (zero, zero);
            let sums = to_scale.chunks_mut(lanes).zip(to_shift.chunks_mut(lanes));
            let row = gradient.chunks_mut(lanes).zip(self.scale.chunks(lanes));
            for ((x, (gradient, scale)), (to_scale, to_shift)) in x.chunks(lanes).zip(row).zip(sums) {
                let normal = simd.mul_f32s(simd.sub_f32s(load(simd, x), means), inverses);
                let slope = load(simd, gradient);
                store(simd, to_scale, simd.mul_add_e_f32s(slope, normal, load(simd, to_scale)));
                store(simd, to_shift, simd.add_f32s(load(simd, to_shift), slope));
                let slope = simd.mul_f32s(slope, load(simd, scale));
                store(simd, gradient, slope);
                sum = simd.add_f32s(sum, slope);
                product = simd.mul_add_e_f32s(slope, normal, product);
            }
            let [sum, product] = [sum, product].map(|sum| simd.splat_f32s(simd.reduce_sum_f32s(sum) / width as f32));
            for (gradient, x) in gradient.chunks_mut(lanes).zip(x.chunks(lanes)) {
                let normal = simd.mul_f32s(simd.sub_f32s(load(simd, x), means), inverses);
                let off = simd.sub_f32s(load(simd, gradient), sum);
                let off = simd.sub_f32s(off, simd.mul_f32s(normal, product));
                store(simd, gradient, simd.mul_f32s(off, inverses));
            }
        }
    }
}
