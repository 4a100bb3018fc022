//! The bias of a linear layer and the function behind it: `x + b`, `gelu(x + b)`, `silu(x + b)`.
//! Appendix B of the paper (`GELU` in the blocks' MLPs, `SiLU` in the head).

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::Kernel;
use super::rows::{contiguous, numbers, own, stretch, sum, tensor};
use crate::fast::cpu::math::{gelu, gelu_slope, load, silu, silu_slope, store};
use crate::fast::cpu::threads::each;

/// What follows a linear layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The exact (erf) `GELU`.
    Gelu,
    /// `SiLU`.
    Silu,
}

/// `then(x + bias)`, of x `[.., width]` and the bias `[width]`.
#[derive(Clone, Debug)]
pub struct Bias(pub Then);

impl Kernel<2> for Bias {
    fn reads(&self) -> [bool; 2] {
        [self.0 != Then::Nothing; 2]
    }

    fn forward(&self, [x, bias]: [FlexTensor; 2]) -> FlexTensor {
        let (mut x, bias) = (own(x), contiguous(bias));
        let bias = numbers(&bias);
        let all = x.storage_mut::<f32>();
        let rows = stretch(all.len() / bias.len(), bias.len());
        let mut parts: Vec<_> = all.chunks_mut(rows * bias.len()).collect();
        each(&mut parts, |part| Arch::new().dispatch(Forward { then: self.0, x: part, bias }));
        x
    }

    fn backward(
        &self,
        [x, bias]: [Option<FlexTensor>; 2],
        gradient: FlexTensor,
        [x_wanted, bias_wanted]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let shape = gradient.layout().shape().clone();
        let width = shape[shape.num_dims() - 1];
        let kept = x.zip(bias).map(|(x, bias)| (contiguous(x), contiguous(bias)));
        let kept = kept.as_ref().map(|(x, bias)| (numbers(x), numbers(bias)));
        let Some((x, bias)) = kept else {
            let gradient = contiguous(gradient);
            let sums = bias_wanted.then(|| {
                let all = numbers(&gradient);
                let rows = stretch(all.len() / width, width);
                let mut parts: Vec<_> = all.chunks(rows * width).map(|part| (part, vec![0.0; width])).collect();
                each(&mut parts, |(part, sums)| Arch::new().dispatch(Sum { rows: part, sums }));
                tensor(sum(parts.iter().map(|(_, sums)| &**sums), width), [width].into())
            });
            return [x_wanted.then_some(gradient), sums];
        };
        let mut gradient = own(gradient);
        let all = gradient.storage_mut::<f32>();
        let rows = stretch(all.len() / width, width);
        let mut parts: Vec<_> = all
            .chunks_mut(rows * width)
            .zip(x.chunks(rows * width))
            .map(|(gradient, x)| (gradient, x, vec![0.0; width]))
            .collect();
        each(&mut parts, |(gradient, x, sums)| {
            Arch::new().dispatch(Backward { then: self.0, gradient, x, bias, sums });
        });
        let sums = tensor(sum(parts.iter().map(|(.., sums)| &**sums), width), [width].into());
        [Some(gradient), Some(sums)]
    }
}

struct Forward<'a> {
    then: Then,
    x: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { then, x, bias } = self;
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, bias) in row.chunks_mut(S::F32_LANES).zip(bias.chunks(S::F32_LANES)) {
                let sum = simd.add_f32s(load(simd, x), load(simd, bias));
                let y = match then {
                    Then::Nothing => sum,
                    Then::Gelu => gelu(simd, sum),
                    Then::Silu => silu(simd, sum),
                };
                store(simd, x, y);
            }
        }
    }
}

/// The gradient before the function, in place, and its sum over the rows.
struct Backward<'a> {
    then: Then,
    gradient: &'a mut [f32],
    x: &'a [f32],
    bias: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { then, gradient, x, bias, sums } = self;
        let (width, lanes) = (bias.len(), S::F32_LANES);
        for (gradient, x) in gradient.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let places = gradient.chunks_mut(lanes).zip(x.chunks(lanes));
            for ((gradient, x), (bias, sum)) in places.zip(bias.chunks(lanes).zip(sums.chunks_mut(lanes))) {
                let x = simd.add_f32s(load(simd, x), load(simd, bias));
                let slope = match then {
                    Then::Nothing => simd.splat_f32s(1.0),
                    Then::Gelu => gelu_slope(simd, x),
                    Then::Silu => silu_slope(simd, x),
                };
                let before = simd.mul_f32s(load(simd, gradient), slope);
                store(simd, gradient, before);
                store(simd, sum, simd.add_f32s(load(simd, sum), before));
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
