//! One training step: passes over a device's share of the batch, gradients averaged over all devices, one update.
//! Section 3.2 and appendix B of the paper.

use burn::tensor::Device;

use super::task::{Kept, Task, Trainable};
use super::{Grads, Optimizer, RankError, Ranks, Recipe, RowLoss};
use crate::data::Example;

/// A network in training on one device.
pub struct Trainer<'a, T: Task> {
    /// The current weights.
    pub model: T::Model,
    /// Moments and EMA.
    pub optimizer: Optimizer,
    task: &'a T,
    ranks: Ranks,
}

/// The result of a step; equal on every rank except for `rows`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Mean loss over the whole batch.
    pub loss: f32,
    /// The parts of the loss, by name, also means.
    pub parts: Vec<(&'static str, f32)>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// Share of masked tokens, if the task masks any.
    pub mask_ratio: Option<f64>,
    /// Timestep and loss of every noised token of this rank, if requested.
    pub rows: Option<Vec<RowLoss>>,
    /// Whether any rank asked to stop.
    pub stop: bool,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The other devices.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// A loss or gradient that is not finite.
    #[error("{what}")]
    NotFinite {
        /// What is not finite.
        what: String,
        /// The batch.
        batch: Kept,
    },
}

/// `device` with autodiff, and with activation checkpointing if `recipe` asks for it.
pub fn tracking(device: &Device, recipe: &Recipe) -> Device {
    let device = device.clone().autodiff();
    if recipe.checkpoint_activations { device.gradient_checkpointing() } else { device }
}

impl<'a, T: Task> Trainer<'a, T> {
    /// Trains `model`, which tracks gradients, on `task`, together with `ranks`.
    pub fn new(model: T::Model, optimizer: Optimizer, task: &'a T, ranks: Ranks) -> Self {
        Self { model: task.prepare(model), optimizer, task, ranks }
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.ranks.rank()
    }

    /// Makes step `step` (from 0) at the learning rate `rate` on `examples`, this rank's share of the batch. `rows`
    /// requests every token's loss; `stop` says that this rank wants to stop.
    ///
    /// # Errors
    /// [`StepError::NotFinite`], on every rank, when the loss or gradient is not finite; [`StepError::Rank`] when
    /// another rank is lost. The model and the optimizer are then unchanged.
    pub fn step(
        &mut self,
        step: usize,
        rate: f64,
        examples: &[Example],
        rows: bool,
        stop: bool,
    ) -> Result<Stepped, StepError> {
        let recipe = self.task.recipe();
        let each = examples.len() / recipe.accumulate;
        let mut gradients = Grads::default();
        // The loss, its parts, and whether to stop.
        let mut shared = vec![0.0; T::PARTS.len() + 2];
        let mut mask_ratio = None;
        let mut found = Vec::new();
        let mut broken = None;
        // The device draws its own random numbers for dropout: the same ones whenever this step is repeated.
        self.model.device().seed(recipe.seed ^ (((step * self.ranks.world() + self.rank()) as u64) << 20));
        for (pass, examples) in examples.chunks_exact(each).enumerate() {
            let first = self.rank() * each * recipe.accumulate + pass * each;
            let batch = self.task.draw(examples, first..first + each, step);
            let passed = self.task.pass(&self.model, &batch, rows);
            gradients.add(Grads::of(&self.model, passed.loss.clone().backward()));
            let loss = passed.loss.into_scalar::<f32>();
            shared[0] += loss;
            for (sum, part) in shared[1..].iter_mut().zip(passed.parts) {
                *sum += part.into_scalar::<f32>();
            }
            mask_ratio = self.task.mask_ratio(&batch);
            found.extend(passed.rows);
            if !loss.is_finite() {
                broken = Some(batch);
            }
        }
        for sum in &mut shared {
            *sum /= recipe.accumulate as f32;
        }
        shared[T::PARTS.len() + 1] = f32::from(u8::from(stop));
        let gradients = gradients.over(recipe.accumulate).mean_over(&mut self.ranks, &mut shared)?;
        let loss = shared[0];
        if !loss.is_finite() {
            // The rank with the bad batch returns it; the others stop too.
            let batch = broken.map(|batch| self.task.keep(batch)).unwrap_or_default();
            return Err(StepError::NotFinite { what: format!("the loss became {loss}"), batch });
        }
        let ema = recipe.ema_at(step);
        let norm = gradients.norm();
        if !norm.is_finite() {
            let what = format!("the gradient of {} is not finite", gradients.not_finite().unwrap_or("all together"));
            let slots = self.rank() * examples.len()..(self.rank() + 1) * examples.len();
            let batch = self.task.keep(self.task.draw(examples, slots, step));
            return Err(StepError::NotFinite { what, batch });
        }
        self.model = self.optimizer.step(self.model.clone(), gradients, norm, rate, ema);
        let parts = T::PARTS.iter().copied().zip(shared[1..].iter().copied()).collect();
        let rows = rows.then_some(found);
        Ok(Stepped { loss, parts, gradient_norm: norm, mask_ratio, rows, stop: shared[T::PARTS.len() + 1] > 0.0 })
    }
}
