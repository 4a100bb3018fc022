//! One step of training: passes over a device's share of the batch, gradients averaged over all devices, one update.
//! Section 3.2 and appendix B of the paper.

use burn::tensor::{Device, FloatDType};

use super::recipe::Compute;
use super::{Batch, Grads, Optimizer, RankError, Ranks, Recipe, RowLoss, loss};
use crate::data::Example;
use crate::diffusion::Schedule;
use crate::model::{BlockOptions, Mar};

/// A network in training on one device.
pub struct Trainer {
    /// The weights that training stands at.
    pub model: Mar,
    /// Moments and EMA.
    pub optimizer: Optimizer,
    recipe: Recipe,
    schedule: Schedule,
    ranks: Ranks,
}

/// What a step found, on every rank the same but for `rows`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Mean squared error of the noise, over the masked tokens of the whole batch.
    pub mse: f32,
    /// Variational bound, likewise.
    pub vb: f32,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// Share of the tokens that was masked.
    pub mask_ratio: f64,
    /// Timestep and loss of every noised token of this rank, where asked for.
    pub rows: Option<Vec<RowLoss>>,
    /// Whether any rank asked to stop.
    pub stop: bool,
}

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The other devices.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// Numbers that are none.
    #[error("{what}")]
    NotFinite {
        /// What is not finite.
        what: String,
        /// What was trained on.
        batch: Box<Batch>,
    },
}

impl Trainer {
    /// `model`, which tracks gradients, trained by `recipe` together with `ranks`.
    pub fn new(model: Mar, optimizer: Optimizer, recipe: Recipe, ranks: Ranks) -> Self {
        let options = BlockOptions {
            attention_dropout: recipe.attention_dropout,
            projection_dropout: recipe.projection_dropout,
            dtype: match recipe.compute {
                Compute::F32 => FloatDType::F32,
                Compute::Bf16 => FloatDType::BF16,
            },
        };
        Self { model: model.with_options(options), optimizer, recipe, schedule: Schedule::train(), ranks }
    }

    /// The device to train on: `device`, tracking gradients as `recipe` asks.
    pub fn device(device: &Device, recipe: &Recipe) -> Device {
        let device = device.clone().autodiff();
        if recipe.checkpoint_activations { device.gradient_checkpointing() } else { device }
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.ranks.rank()
    }

    /// Makes `step` (from 0) at `rate` on `examples`, this rank's share of the batch. `rows` asks for every token's loss,
    /// `stop` says that this rank wants to stop.
    ///
    /// # Errors
    /// Before anything has changed: [`StepError::NotFinite`] when loss or gradient is no finite number, on every rank;
    /// [`StepError::Rank`] when another rank is gone.
    pub fn step(
        &mut self,
        step: usize,
        rate: f64,
        examples: &[Example],
        rows: bool,
        stop: bool,
    ) -> Result<Stepped, StepError> {
        let config = self.model.config();
        let (repeats, shape) = (config.diffusion_batch_mul, [config.tokens(), config.token_dim()]);
        let each = examples.len() / self.recipe.accumulate;
        let mut gradients = Grads::default();
        let (mut mse, mut vb, mut mask_ratio) = (0.0, 0.0, 0.0);
        let mut found = Vec::new();
        let mut broken = None;
        // Where a device draws its own numbers, for dropout: the same ones whenever this step is made again.
        self.model.device().seed(self.recipe.seed ^ (((step * self.ranks.world() + self.rank()) as u64) << 20));
        for (pass, examples) in examples.chunks_exact(each).enumerate() {
            let first = self.rank() * each * self.recipe.accumulate + pass * each;
            let slots = first..first + each;
            let batch = Batch::draw(examples, slots, step, &self.recipe, repeats, shape, self.schedule.len());
            let losses = loss(&self.model, &self.schedule, &batch);
            let (pass_mse, pass_vb) = (losses.mse.clone().mean(), losses.vb.clone().mean());
            gradients.add(Grads::of(&self.model, (pass_mse.clone() + pass_vb.clone()).backward()));
            let [pass_mse, pass_vb] = [pass_mse, pass_vb].map(|value| value.into_scalar::<f32>());
            (mse, vb) = (mse + pass_mse, vb + pass_vb);
            mask_ratio = batch.mask_ratio();
            if rows {
                let all: Vec<f32> = (losses.mse + losses.vb).into_data().try_into_vec().expect("losses are in f32");
                found.extend(batch.t.iter().zip(all).map(|(&t, loss)| RowLoss { t, loss }));
            }
            if !(pass_mse + pass_vb).is_finite() {
                broken = Some(batch);
            }
        }
        let passes = self.recipe.accumulate;
        let mut shared = [mse / passes as f32, vb / passes as f32, f32::from(u8::from(stop))];
        let gradients = gradients.over(passes).mean_over(&mut self.ranks, &mut shared)?;
        let [mse, vb, stops] = shared;
        if !(mse + vb).is_finite() {
            // The rank whose batch it was has it; the others stop beside it.
            let batch = broken.unwrap_or_default();
            return Err(StepError::NotFinite { what: format!("the loss became {}", mse + vb), batch: Box::new(batch) });
        }
        let ema = self.recipe.ema_at(step);
        let norm = gradients.norm();
        if !norm.is_finite() {
            let what = format!("the gradient of {} is not finite", gradients.not_finite().unwrap_or("all together"));
            let slots = self.rank() * examples.len()..(self.rank() + 1) * examples.len();
            let batch = Batch::draw(examples, slots, step, &self.recipe, repeats, shape, self.schedule.len());
            return Err(StepError::NotFinite { what, batch: Box::new(batch) });
        }
        self.model = self.optimizer.step(self.model.clone(), gradients, norm, rate, ema);
        let rows = rows.then_some(found);
        Ok(Stepped { mse, vb, gradient_norm: norm, mask_ratio, rows, stop: stops > 0.0 })
    }
}
