//! Named recipes: the shape of a network and how it is trained.
//! Appendix B of the paper; the small presets shorten what a small data set does not need.

use serde::{Deserialize, Serialize};

use crate::config::{Defaults, MarConfig, TokenizerKind, WeightsConfig};

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Images a step.
    pub batch: usize,
    /// Steps in all, unless `--steps` says otherwise.
    pub steps: usize,
    /// Peak learning rate.
    pub rate: f64,
    /// Steps over which the rate rises linearly from 0; a cosine takes it back to a hundredth afterwards.
    pub warmup: usize,
    /// AdamW's second beta (the first is 0.9).
    pub beta_2: f32,
    /// Decoupled weight decay; none on biases, 1-D parameters and the head.
    pub weight_decay: f32,
    /// Largest global norm of the gradient.
    pub clip: f32,
    /// EMA decay, reached by way of `(1 + step) / (10 + step)`.
    pub ema: f32,
    /// Share of images whose class is replaced by the fake latent.
    pub label_drop: f64,
    /// Smallest mask ratio; ratios are N(1, 0.25) cut to `[mask_ratio_min, 1]`.
    pub mask_ratio_min: f64,
    /// Seed of everything random.
    pub seed: u64,
}

/// A recipe that goes by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Preset {
    /// Fashion-MNIST, 28x28 grey, 4x4-pixel tokens: the weights that ship.
    Fashion,
    /// The same data, as small as still learns: for tests.
    Tiny,
}

impl Preset {
    /// What the weights will say of themselves.
    pub fn weights(self) -> WeightsConfig {
        let (width, depth, heads, buffer, head_depth, head_width) = match self {
            Self::Fashion => (128, 4, 4, 8, 3, 192),
            Self::Tiny => (32, 1, 2, 2, 1, 48),
        };
        WeightsConfig {
            name: match self {
                Self::Fashion => "fashion".into(),
                Self::Tiny => "tiny".into(),
            },
            classes: [
                "T-shirt",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ]
            .map(String::from)
            .to_vec(),
            tokenizer: TokenizerKind::Pixel,
            clip_denoised: true,
            defaults: Defaults { cfg: 3.0, iterations: 16, steps: 50, temperature: 1.0 },
            model: MarConfig {
                img_size: 28,
                vae_stride: 1,
                patch_size: 4,
                vae_embed_dim: 1,
                encoder_embed_dim: width,
                encoder_depth: depth,
                encoder_num_heads: heads,
                decoder_embed_dim: width,
                decoder_depth: depth,
                decoder_num_heads: heads,
                mlp_ratio: 4.0,
                class_num: 10,
                buffer_size: buffer,
                diffloss_d: head_depth,
                diffloss_w: head_width,
                num_sampling_steps: "50".into(),
                diffusion_batch_mul: 2,
            },
        }
    }

    /// How it is trained.
    pub fn recipe(self) -> Recipe {
        let (batch, steps, rate, warmup, ema) = match self {
            Self::Fashion => (64, 6_000, 1.2e-3, 100, 0.999),
            Self::Tiny => (32, 200, 2e-3, 20, 0.99),
        };
        Recipe {
            batch,
            steps,
            rate,
            warmup,
            beta_2: 0.95,
            weight_decay: 0.02,
            clip: 3.0,
            ema,
            label_drop: 0.1,
            mask_ratio_min: 0.7,
            seed: 0,
        }
    }
}

impl Recipe {
    /// The learning rate of `step` (from 0) of `steps`.
    pub fn rate_at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup {
            return self.rate * (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / (steps.saturating_sub(self.warmup)).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
        self.rate * (0.01 + 0.99 * cosine)
    }

    /// The EMA decay after `step` updates.
    pub fn ema_at(&self, step: usize) -> f32 {
        self.ema.min((1.0 + step as f32) / (10.0 + step as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_rises_then_falls_to_a_hundredth() {
        let recipe = Recipe { rate: 1.0, warmup: 10, ..Preset::Fashion.recipe() };
        assert!((recipe.rate_at(0, 110) - 0.1).abs() < 1e-12);
        assert!((recipe.rate_at(9, 110) - 1.0).abs() < 1e-12);
        assert!((recipe.rate_at(60, 110) - 0.505).abs() < 1e-12);
        assert!((recipe.rate_at(110, 110) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn presets_are_valid() {
        for preset in [Preset::Fashion, Preset::Tiny] {
            let json = serde_json::to_string(&preset.weights()).unwrap();
            assert_eq!(WeightsConfig::parse(&json).unwrap(), preset.weights());
        }
    }
}
