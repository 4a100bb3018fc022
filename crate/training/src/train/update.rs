//! The optimizer's updates of a parameter, its moments and its EMA, each in place and in one pass over memory.
//! Appendix B of the paper (AdamW and EMA).

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::optim::AdaptiveMomentumState;
use burn::tensor::Tensor;

use marscope_kernels::{map, numbers, take};

/// The updates as operations of a backend.
#[backend_extension(Flex)]
trait Updates: Backend {
    fn update_blend(a: FloatTensor<Self>, b: FloatTensor<Self>, keep: f32, add: f32) -> FloatTensor<Self>;

    fn update_blend_square(a: FloatTensor<Self>, b: FloatTensor<Self>, keep: f32, add: f32) -> FloatTensor<Self>;

    fn update_descend(
        value: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        keep: f32,
        scales: [f32; 3],
    ) -> FloatTensor<Self>;
}

impl Updates for Flex {
    fn update_blend(a: FlexTensor, b: FlexTensor, keep: f32, add: f32) -> FlexTensor {
        with(a, &b, |a, b| *a = *a * keep + b * add)
    }

    fn update_blend_square(a: FlexTensor, b: FlexTensor, keep: f32, add: f32) -> FlexTensor {
        with(a, &b, |a, b| *a = *a * keep + b * b * add)
    }

    fn update_descend(
        value: FlexTensor,
        moment_1: FlexTensor,
        moment_2: FlexTensor,
        keep: f32,
        [step, scale, epsilon]: [f32; 3],
    ) -> FlexTensor {
        let (moment_1, moment_2) = (numbers(&moment_1), numbers(&moment_2));
        map(value, 1, |first, part| {
            let moments = moment_1[first..].iter().zip(&moment_2[first..]);
            for (value, (m, v)) in part.iter_mut().zip(moments) {
                *value = *value * keep - step * m / ((scale * v).sqrt() + epsilon);
            }
        })
    }
}

/// Applies `change` to every number of `a`, with the matching number of `b`.
fn with(a: FlexTensor, b: &FlexTensor, change: impl Fn(&mut f32, f32) + Sync) -> FlexTensor {
    let b = numbers(b);
    map(a, 1, |first, part| part.iter_mut().zip(&b[first..]).for_each(|(a, &b)| change(a, b)))
}

/// `keep a + add b`.
fn blend(a: Tensor<1>, b: Tensor<1>, keep: f32, add: f32) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::update_blend(a.into_dispatch(), b.into_dispatch(), keep, add))
}

/// The EMA after a step to `value`.
pub fn average(ema: Tensor<1>, value: Tensor<1>, decay: f32) -> Tensor<1> {
    if take(&value) { blend(ema, value, decay, 1.0 - decay) } else { ema * decay + value * (1.0 - decay) }
}

/// One AdamW step of a parameter that [`take`] accepts; Burn's own AdamW updates the others.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate.
    pub rate: f64,
    /// Both betas.
    pub betas: [f32; 2],
    /// Added to the square root in the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub decay: f32,
    /// Factor of the gradient, from clipping.
    pub scale: f32,
}

impl Step {
    /// The parameter and its moments after the step. `state` is `None` before the first step.
    pub fn take(
        self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        state: Option<AdaptiveMomentumState<1>>,
    ) -> (Tensor<1>, AdaptiveMomentumState<1>) {
        let [beta_1, beta_2] = self.betas;
        let zeros = || gradient.zeros_like();
        let before = state.unwrap_or_else(|| AdaptiveMomentumState::new(0, zeros(), zeros()));
        let moment_1 = blend(before.moment_1, gradient.clone(), beta_1, (1.0 - beta_1) * self.scale);
        let squares = (1.0 - beta_2) * self.scale * self.scale;
        let moment_2 =
            Dispatch::update_blend_square(before.moment_2.into_dispatch(), gradient.into_dispatch(), beta_2, squares);
        let state = AdaptiveMomentumState::new(before.time + 1, moment_1, Tensor::from_dispatch(moment_2));
        let corrected = |beta: f32| 1.0 - f64::from(beta).powi(state.time as i32);
        let scales = [(self.rate / corrected(beta_1)) as f32, (1.0 / corrected(beta_2)) as f32, self.epsilon];
        let moved = Dispatch::update_descend(
            value.into_dispatch(),
            state.moment_1.clone().into_dispatch(),
            state.moment_2.clone().into_dispatch(),
            (1.0 - self.rate * f64::from(self.decay)) as f32,
            scales,
        );
        (Tensor::from_dispatch(moved), state)
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::{AdamWConfig, Optimizer as _};
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    /// Compares five steps with Burn's own AdamW and EMA, with and without decay, on enough numbers for several cores.
    #[test]
    fn the_steps_are_those_of_plain_burn() {
        let device = Device::flex();
        device.seed(5);
        for decay in [0.0, 0.02] {
            let config = AdamWConfig::new().with_beta_1(0.9).with_beta_2(0.95).with_epsilon(1e-8);
            let adamw = config.with_weight_decay(decay).build();
            let random = || Tensor::<1>::random([70_001], Distribution::Normal(0.0, 1.0), &device);
            let (mut plain, mut plain_state) = (random(), None);
            let (mut value, mut state) = (plain.clone(), None);
            let (mut plain_ema, mut ema) = (plain.clone(), plain.clone());
            for step in 0..5 {
                let (gradient, scale, rate) = (random(), 0.3 + step as f32, 1e-2);
                (plain, plain_state) = adamw.step(rate, plain, gradient.clone() * scale, plain_state);
                plain_ema = plain_ema * 0.9 + plain.clone() * 0.1;
                assert!(take(&value));
                let numbers = Step { rate, betas: [0.9, 0.95], epsilon: 1e-8, decay, scale };
                let (moved, moments) = numbers.take(value, gradient, state);
                (value, state) = (moved, Some(moments));
                ema = average(ema, value.clone(), 0.9);
            }
            let (moments, plain_moments) = (state.unwrap(), plain_state.unwrap().momentum);
            assert_eq!(moments.time, plain_moments.time);
            for (found, expected) in [
                (value, plain),
                (ema, plain_ema),
                (moments.moment_1, plain_moments.moment_1),
                (moments.moment_2, plain_moments.moment_2),
            ] {
                found
                    .into_data()
                    .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(2e-6).set_relative(2e-6));
            }
        }
    }
}
