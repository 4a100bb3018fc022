//! Presets of autoencoders: shape, loss and recipe.
//! After appendix G of Rombach et al., arXiv 2112.10752, but smaller, for smaller pictures.

use super::recipe::{Compute, RateSchedule};
use super::{LossWeights, Recipe};
use marscope_core::tokenizer::KlConfig;

/// A preset of an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenizerPreset {
    /// Portraits, 64x64 in colour, to 8x8 latents of 16 channels: 1.7 M parameters
    Portraits,
}

impl TokenizerPreset {
    /// The shape.
    pub fn shape(self) -> KlConfig {
        match self {
            Self::Portraits => KlConfig {
                ch: 16,
                ch_mult: vec![1, 2, 4, 6],
                z_channels: 16,
                embed_dim: 16,
                resolution: 64,
                num_res_blocks: 1,
                encoder_attn_resolutions: vec![],
                decoder_attn_resolutions: vec![],
                groups: 4,
            },
        }
    }

    /// The weights of the loss. The squared part counts most, because missing thin lines are large differences.
    pub fn loss(self) -> LossWeights {
        match self {
            Self::Portraits => LossWeights { absolute: 1.0, squared: 5.0, edges: 0.5, kl: 1e-3 },
        }
    }

    /// The recipe.
    pub fn recipe(self) -> Recipe {
        match self {
            Self::Portraits => Recipe {
                batch: 16,
                epochs: 5.0,
                base_rate: 0.024,
                warmup_epochs: 0.05,
                schedule: RateSchedule::Cosine,
                beta_2: 0.99,
                weight_decay: 0.0,
                clip: 1.0,
                ema: 0.998,
                ema_warmup: true,
                label_drop: 0.0,
                mask_ratio_min: 0.0,
                attention_dropout: 0.0,
                projection_dropout: 0.0,
                flip: false,
                compute: Compute::F32,
                accumulate: 1,
                checkpoint_activations: false,
                seed: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_recipes_are_valid() {
        let preset = TokenizerPreset::Portraits;
        preset.shape().validate().unwrap();
        assert_eq!(preset.recipe().validate(1), Ok(()));
    }
}
