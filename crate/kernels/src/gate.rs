//! The gated residual sum of the head's blocks: `x + gate * y`.
//! Appendix B of the paper (adaptive layer norm, as in DiT).

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, numbers, own, stretch};
use marscope_simd::math::{load, store};
use marscope_simd::parallel::each;

/// `x + gate * y`, of tensors of one shape.
#[derive(Clone, Debug)]
pub struct Gate;

impl Kernel<3> for Gate {
    const HEAVY: bool = false;

    fn reads(&self) -> [bool; 3] {
        [false, true, true]
    }

    fn forward(&self, [x, gate, y]: [FlexTensor; 3]) -> FlexTensor {
        let (mut x, gate, y) = (own(x), contiguous(gate), contiguous(y));
        let stretch = stretch(numbers(&y).len(), 1);
        let factors = numbers(&gate).chunks(stretch).zip(numbers(&y).chunks(stretch));
        let mut parts: Vec<_> = x.storage_mut::<f32>().chunks_mut(stretch).zip(factors).collect();
        each(&mut parts, |(x, (gate, y))| Arch::new().dispatch(Forward { x, gate, y }));
        x
    }

    fn backward(
        &self,
        [_, gate, y]: [Option<FlexTensor>; 3],
        gradient: FlexTensor,
        [x_wanted, ..]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let gradient = contiguous(gradient);
        let (mut gate, mut y) = (own(gate.expect("read")), own(y.expect("read")));
        let all = numbers(&gradient);
        let stretch = stretch(all.len(), 1);
        let factors = gate.storage_mut::<f32>().chunks_mut(stretch).zip(y.storage_mut::<f32>().chunks_mut(stretch));
        let mut parts: Vec<_> = all.chunks(stretch).zip(factors).collect();
        each(&mut parts, |(gradient, (gate, y))| Arch::new().dispatch(Backward { gradient, gate, y }));
        // The gradient of each factor is written where the other factor was.
        [x_wanted.then_some(gradient), Some(y), Some(gate)]
    }
}

struct Forward<'a> {
    x: &'a mut [f32],
    gate: &'a [f32],
    y: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let factors = self.gate.chunks(S::F32_LANES).zip(self.y.chunks(S::F32_LANES));
        for (x, (gate, y)) in self.x.chunks_mut(S::F32_LANES).zip(factors) {
            store(simd, x, simd.mul_add_e_f32s(load(simd, gate), load(simd, y), load(simd, x)));
        }
    }
}

/// Multiplies both factors by the gradient, in place.
struct Backward<'a> {
    gradient: &'a [f32],
    gate: &'a mut [f32],
    y: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let factors = self.gate.chunks_mut(S::F32_LANES).zip(self.y.chunks_mut(S::F32_LANES));
        for (gradient, (gate, y)) in self.gradient.chunks(S::F32_LANES).zip(factors) {
            let gradient = load(simd, gradient);
            store(simd, gate, simd.mul_f32s(load(simd, gate), gradient));
            store(simd, y, simd.mul_f32s(load(simd, y), gradient));
        }
    }
}
