//! The activations after linear layers: `GELU` and `SiLU`.
//! Appendix B of the paper (`GELU` in the blocks' MLPs, `SiLU` in the head).

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, map, numbers, own, stretch};
use marscope_simd::math::{gelu, gelu_slope, load, silu, silu_slope, store};
use marscope_simd::parallel::each;

/// An activation.
#[derive(Clone, Copy, Debug)]
pub enum Activation {
    /// The exact (erf) `GELU`.
    Gelu,
    /// `SiLU`.
    Silu,
}

impl Kernel<1> for Activation {
    const HEAVY: bool = false;

    fn reads(&self) -> [bool; 1] {
        [true]
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> FlexTensor {
        map(x, 1, |_, x| Arch::new().dispatch(Forward { then: *self, x }))
    }

    fn backward(&self, [x]: [Option<FlexTensor>; 1], gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (x, mut gradient) = (contiguous(x.expect("read")), own(gradient));
        let x = numbers(&x);
        let stretch = stretch(x.len(), 1);
        let mut parts: Vec<_> = gradient.storage_mut::<f32>().chunks_mut(stretch).zip(x.chunks(stretch)).collect();
        each(&mut parts, |(gradient, x)| Arch::new().dispatch(Backward { then: *self, gradient, x }));
        [Some(gradient)]
    }
}

struct Forward<'a> {
    then: Activation,
    x: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for part in self.x.chunks_mut(S::F32_LANES) {
            let x = load(simd, part);
            let y = match self.then {
                Activation::Gelu => gelu(simd, x),
                Activation::Silu => silu(simd, x),
            };
            store(simd, part, y);
        }
    }
}

/// Replaces the gradient of the output by the gradient of x.
struct Backward<'a> {
    then: Activation,
    gradient: &'a mut [f32],
    x: &'a [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (gradient, x) in self.gradient.chunks_mut(S::F32_LANES).zip(self.x.chunks(S::F32_LANES)) {
            let x = load(simd, x);
            let slope = match self.then {
                Activation::Gelu => gelu_slope(simd, x),
                Activation::Silu => silu_slope(simd, x),
            };
            let before = simd.mul_f32s(load(simd, gradient), slope);
            store(simd, gradient, before);
        }
    }
}
