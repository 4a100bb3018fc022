//! How a network is trained: batch, learning rate, masks, averaging, precision. Equal recipes give equal runs.
//! Appendix B of the paper.

use serde::{Deserialize, Serialize};

/// The learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(clap::ValueEnum)]
pub enum RateSchedule {
    /// Stays at the peak.
    #[default]
    Constant,
    /// Falls along a cosine to 1% of the peak.
    Cosine,
    /// Stays at the peak, then falls in a line to 1% of it over the last fifth of the steps (warmup-stable-decay): for a run
    /// whose length is decided while it runs.
    Wsd,
}

/// Precision of the backbone in training. Weights, moments and the head are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(clap::ValueEnum)]
pub enum Compute {
    /// 32 bits
    #[default]
    F32,
    /// 16 bits with f32's range: half the memory, and a GPU can use its matrix units
    Bf16,
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Examples per step, over all devices and passes.
    pub batch: usize,
    /// Passes over the data.
    pub epochs: f64,
    /// Peak learning rate per 256 examples of the batch.
    pub base_rate: f64,
    /// Epochs over which the rate rises linearly from 0.
    pub warmup_epochs: f64,
    /// Learning rate after the warm-up.
    pub schedule: RateSchedule,
    /// AdamW's second beta (the first is 0.9).
    pub beta_2: f32,
    /// Decoupled weight decay; none on biases, 1-D parameters and the head.
    pub weight_decay: f32,
    /// Largest global norm of the gradient.
    pub clip: f32,
    /// Decay of the moving average of the weights (EMA) per step.
    pub ema: f32,
    /// Start with the lower decay `(1 + step) / (10 + step)`: otherwise the average of a short run would stay near its
    /// first weights.
    pub ema_warmup: bool,
    /// Share of examples whose class is replaced by the fake latent.
    pub label_drop: f64,
    /// Smallest mask ratio; ratios are drawn from N(1, 0.25) truncated to `[mask_ratio_min, 1]`.
    pub mask_ratio_min: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Dropout after the attention's projection and in the MLP.
    pub projection_dropout: f64,
    /// Mirror each image left to right with probability 1/2.
    pub flip: bool,
    /// Precision of the backbone.
    pub compute: Compute,
    /// Gradient accumulation: passes that a device's share of the batch is split into. Less memory, the same step.
    pub accumulate: usize,
    /// Recompute cheap activations in the backward pass instead of keeping them: less memory, more time.
    pub checkpoint_activations: bool,
    /// Random seed.
    pub seed: u64,
}

impl Recipe {
    /// The peak learning rate: [`Self::base_rate`], scaled by the batch.
    pub fn peak_rate(&self) -> f64 {
        self.base_rate * self.batch as f64 / 256.0
    }

    /// Steps in `epochs` over `examples`, at least one. The last batch may reach into the next epoch.
    pub fn steps_in(&self, epochs: f64, examples: usize) -> usize {
        ((epochs * examples as f64 / self.batch as f64).round() as usize).max(1)
    }

    /// Total number of steps on `examples` examples, and how many of them are warm-up.
    pub fn length(&self, examples: usize) -> [usize; 2] {
        let warmup = if self.warmup_epochs > 0.0 { self.steps_in(self.warmup_epochs, examples) } else { 0 };
        [self.steps_in(self.epochs, examples), warmup]
    }

    /// The learning rate of `step` (from 0) of `steps`; it rises over the first `warmup`.
    pub fn rate_at(&self, step: usize, warmup: usize, steps: usize) -> f64 {
        let peak = self.peak_rate();
        if step < warmup {
            return peak * (step + 1) as f64 / warmup as f64;
        }
        let progress = ((step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64).min(1.0);
        let height = match self.schedule {
            RateSchedule::Constant => 1.0,
            RateSchedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            RateSchedule::Wsd => ((1.0 - progress) * 5.0).min(1.0),
        };
        peak * (0.01 + 0.99 * height)
    }

    /// The EMA decay after `step` updates.
    pub fn ema_at(&self, step: usize) -> f32 {
        if self.ema_warmup { self.ema.min((1.0 + step as f32) / (10.0 + step as f32)) } else { self.ema }
    }

    /// Checks that the recipe can be trained on `devices` devices.
    ///
    /// # Errors
    /// Names the first number that does not fit, and what would.
    pub fn validate(&self, devices: usize) -> Result<(), RecipeError> {
        let share = |name, value: f64| {
            if (0.0..1.0).contains(&value) { Ok(()) } else { Err(RecipeError::Share { name, value }) }
        };
        share("label_drop", self.label_drop)?;
        share("mask_ratio_min", self.mask_ratio_min)?;
        share("attention_dropout", self.attention_dropout)?;
        share("projection_dropout", self.projection_dropout)?;
        share("ema", f64::from(self.ema))?;
        share("beta_2", f64::from(self.beta_2))?;
        let parts = devices * self.accumulate;
        if self.batch == 0 || parts == 0 || !self.batch.is_multiple_of(parts) {
            return Err(RecipeError::Batch { batch: self.batch, devices, accumulate: self.accumulate });
        }
        for (name, value) in [("base_rate", self.base_rate), ("epochs", self.epochs), ("clip", f64::from(self.clip))] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(RecipeError::Positive { name, value });
            }
        }
        Ok(())
    }
}

/// Why a recipe cannot be trained.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// A number that is not a share.
    #[error("{name} is {value}; it must be at least 0 and below 1")]
    Share {
        /// The number.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// A number that is not positive.
    #[error("{name} is {value}; it must be over 0")]
    Positive {
        /// The number.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// The batch cannot be split evenly.
    #[error(
        "a batch of {batch} cannot be split evenly over {devices} devices times {accumulate} passes: give a --batch \
         that is a multiple of {devices} x {accumulate}"
    )]
    Batch {
        /// Examples per step.
        batch: usize,
        /// Devices.
        devices: usize,
        /// Passes per device.
        accumulate: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Preset;

    #[test]
    fn rate_is_scaled_by_the_batch_rises_and_falls_to_a_hundredth() {
        let recipe =
            Recipe { base_rate: 0.5, batch: 512, schedule: RateSchedule::Cosine, ..Recipe::of(Preset::Fashion) };
        let rate = |step| recipe.rate_at(step, 10, 110);
        for (step, expected) in [(0, 0.1), (9, 1.0), (60, 0.505), (110, 0.01)] {
            assert!((rate(step) - expected).abs() < 1e-12, "{step}: {}", rate(step));
        }
        let constant = Recipe { schedule: RateSchedule::Constant, ..recipe.clone() };
        assert!((constant.rate_at(109, 10, 110) - 1.0).abs() < 1e-12);
        let wsd = Recipe { schedule: RateSchedule::Wsd, ..recipe };
        for (step, expected) in [(9, 1.0), (90, 1.0), (100, 0.505), (110, 0.01), (200, 0.01)] {
            assert!((wsd.rate_at(step, 10, 110) - expected).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn the_official_recipe_counts_as_the_official_script_does() {
        // 1,281,167 images in batches of 2,048: 625 full batches per epoch, 400 epochs.
        let recipe = Recipe::of(Preset::MarLarge);
        assert!((recipe.peak_rate() - 8e-4).abs() < 1e-12);
        assert_eq!(recipe.steps_in(recipe.epochs, 1_281_167), 250_228);
        assert!((recipe.ema_at(0) - 0.9999).abs() < 1e-7);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let message = |change: fn(&mut Recipe), devices| {
            let mut recipe = Recipe::of(Preset::Tiny);
            change(&mut recipe);
            recipe.validate(devices).unwrap_err().to_string()
        };
        assert!(message(|r| r.accumulate = 3, 1).contains("batch of 32"));
        assert!(message(|r| r.batch = 0, 1).contains("batch of 0"));
        assert!(message(|_| (), 5).contains("5 devices"));
        assert!(message(|r| r.label_drop = 1.0, 1).contains("label_drop is 1"));
        assert!(message(|r| r.base_rate = f64::NAN, 1).contains("base_rate is NaN"));
        assert_eq!(Recipe::of(Preset::Tiny).validate(4), Ok(()));
    }
}
