//! One update: clipping by the global norm, AdamW in two groups (with and without decay), and the EMA of the weights.
//! Appendix B of the paper; the groups are the official `add_weight_decay`'s.

use std::collections::BTreeMap;

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _};
use burn::tensor::{Tensor, TensorData};

use super::update::{self, average};
use super::{Grads, Recipe, Trainable};
use crate::model::{Names, from_official, to_official};
use marscope_core::checkpoint::{Checkpoint, CheckpointError, HostTensor, decays};
use marscope_kernels::take;

/// Prefixes of the tensor names in a run's state, after the official checkpoint's keys; the parameter's name follows.
pub(super) const EMA: &str = "model_ema.";
pub(super) const MOMENT_1: &str = "optimizer.exp_avg.";
pub(super) const MOMENT_2: &str = "optimizer.exp_avg_sq.";
/// Steps of a parameter. Can be fewer than the run's: `z_proj` has no gradient when all tokens are masked.
pub(super) const STEPS: &str = "optimizer.step.";

/// AdamW's first beta and its epsilon.
const BETA_1: f32 = 0.9;
const EPSILON: f32 = 1e-8;

/// AdamW's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// Second beta; the first is [`BETA_1`].
    pub beta_2: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest global gradient norm.
    pub clip: f32,
}

impl From<&Recipe> for OptimizerSettings {
    fn from(recipe: &Recipe) -> Self {
        Self { beta_2: recipe.beta_2, weight_decay: recipe.weight_decay, clip: recipe.clip }
    }
}

/// The state of one parameter, flattened.
struct Slot {
    adamw: Option<AdamWState<1>>,
    ema: Tensor<1>,
    shape: Vec<usize>,
}

/// The optimizer and the EMA of the weights.
pub struct Optimizer {
    decayed: AdamW,
    plain: AdamW,
    settings: OptimizerSettings,
    slots: BTreeMap<String, Slot>,
}

impl Optimizer {
    /// A fresh optimizer for `model`; the EMA starts at its weights.
    pub fn new(model: &impl Trainable, settings: OptimizerSettings) -> Self {
        struct Slots<'a>(&'a Names, BTreeMap<String, Slot>);
        impl ModuleVisitor for Slots<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let value = param.val().inner();
                let slot = Slot { adamw: None, shape: value.dims().to_vec(), ema: flat(value) };
                self.1.insert(self.0[&param.id].official.clone(), slot);
            }
        }
        let mut slots = Slots(model.names(), BTreeMap::new());
        model.visit(&mut slots);
        let adamw = |decay| {
            let config = AdamWConfig::new().with_beta_1(BETA_1).with_beta_2(settings.beta_2);
            config.with_epsilon(EPSILON).with_weight_decay(decay).build()
        };
        Self { decayed: adamw(settings.weight_decay), plain: adamw(0.0), settings, slots: slots.1 }
    }

    /// Updates `model` at the learning rate `rate` with `gradients`, whose global norm is `norm`, then the EMA with the
    /// decay `ema`.
    pub fn step<M: Trainable>(&mut self, model: M, gradients: Grads, norm: f32, rate: f64, ema: f32) -> M {
        let names = model.names().clone();
        // As `clip_grad_norm_` of torch.
        let scale = (self.settings.clip / (norm + 1e-6)).min(1.0);
        model.map(&mut Update { optimizer: self, names: &names, gradients, scale, rate, ema })
    }

    /// EMA weights under official names.
    pub fn ema(&self, names: &Names) -> Checkpoint {
        self.collect(names, "", |slot| Some(slot.ema.clone()))
    }

    /// EMA and moments under prefixed official names, for resuming.
    pub fn export(&self, names: &Names) -> Checkpoint {
        let mut all = self.collect(names, EMA, |slot| Some(slot.ema.clone()));
        let moment = |slot: &Slot, first: bool| {
            let state = slot.adamw.as_ref()?;
            Some(if first { state.momentum.moment_1.clone() } else { state.momentum.moment_2.clone() })
        };
        all.tensors.extend(self.collect(names, MOMENT_1, |slot| moment(slot, true)).tensors);
        all.tensors.extend(self.collect(names, MOMENT_2, |slot| moment(slot, false)).tensors);
        all.tensors.extend(self.slots.iter().filter_map(|(name, slot)| {
            let steps = slot.adamw.as_ref()?.momentum.time as f32;
            Some((format!("{STEPS}{name}"), HostTensor { shape: vec![], data: vec![steps] }))
        }));
        all
    }

    /// Restores what [`Self::export`] returned. Parameters without saved moments start with none.
    ///
    /// # Errors
    /// Names a tensor that is missing or misshapen.
    pub fn import(&mut self, names: &Names, saved: &Checkpoint) -> Result<(), CheckpointError> {
        for name in names.values() {
            let slot = self.slots.get_mut(&name.official).expect("a slot for every parameter");
            let device = slot.ema.device();
            let mut shape = slot.shape.clone();
            if name.transposed {
                shape.reverse();
            }
            let read = |prefix: &str| {
                let host = saved.expect(&format!("{prefix}{}", name.official), &shape)?;
                let data = from_official(name, host);
                let count = data.len();
                Ok::<_, CheckpointError>(Tensor::<1>::from_data(TensorData::new(data, [count]), &device))
            };
            slot.ema = read(EMA)?;
            let clock = format!("{STEPS}{}", name.official);
            if saved.tensors.contains_key(&clock) {
                let steps = saved.expect(&clock, &[])?.data[0] as usize;
                slot.adamw = Some(AdamWState::new(AdaptiveMomentumState::new(steps, read(MOMENT_1)?, read(MOMENT_2)?)));
            }
        }
        Ok(())
    }

    fn collect(&self, names: &Names, prefix: &str, part: impl Fn(&Slot) -> Option<Tensor<1>>) -> Checkpoint {
        let tensors = names
            .values()
            .filter_map(|name| {
                let slot = &self.slots[&name.official];
                let data = part(slot)?.into_data().try_into_vec().expect("training is in f32");
                let host = to_official(name, HostTensor { shape: slot.shape.clone(), data });
                Some((format!("{prefix}{}", name.official), host))
            })
            .collect();
        Checkpoint { tensors }
    }
}

/// Flattens a tensor.
pub(super) fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

struct Update<'a> {
    optimizer: &'a mut Optimizer,
    names: &'a Names,
    gradients: Grads,
    scale: f32,
    rate: f64,
    ema: f32,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = &self.names[&param.id];
        let Some(gradient) = self.gradients.take(&name.official) else { return param };
        let Optimizer { decayed, plain, settings, slots } = &mut *self.optimizer;
        let (adamw, decay) = if decays(&name.official, D) { (decayed, settings.weight_decay) } else { (plain, 0.0) };
        let (rate, scale, betas) = (self.rate, self.scale, [BETA_1, settings.beta_2]);
        let slot = slots.get_mut(&name.official).expect("a slot for every parameter");
        param.map(|value| {
            let shape = value.shape();
            let (value, state) = (flat(value.inner()), slot.adamw.take());
            let (moved, state) = if take(&value) {
                let step = update::Step { rate, betas, epsilon: EPSILON, decay, scale };
                let (moved, momentum) = step.take(value, gradient, state.map(|state| state.momentum));
                (moved, Some(AdamWState::new(momentum)))
            } else {
                adamw.step(rate, value, gradient * scale, state)
            };
            slot.adamw = state;
            // Moved out of its slot, it can be updated in place.
            let ema = std::mem::replace(&mut slot.ema, moved.clone());
            slot.ema = average(ema, moved.clone(), self.ema);
            Tensor::from_inner(moved.reshape(shape)).require_grad()
        })
    }
}
