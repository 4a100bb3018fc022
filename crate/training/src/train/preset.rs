//! The recipes of the presets.
//! Appendix B of the paper; the small presets leave out what small data does not need.

use super::Recipe;
use super::recipe::{Compute, RateSchedule};
pub use marscope_core::preset::Preset;

impl Recipe {
    /// The recipe of `preset`.
    pub fn of(preset: Preset) -> Self {
        let official = Recipe {
            batch: 2048,
            epochs: 400.0,
            base_rate: 1e-4,
            warmup_epochs: 100.0,
            schedule: RateSchedule::Constant,
            beta_2: 0.95,
            weight_decay: 0.02,
            clip: 3.0,
            ema: 0.9999,
            ema_warmup: false,
            label_drop: 0.1,
            mask_ratio_min: 0.7,
            attention_dropout: 0.1,
            projection_dropout: 0.1,
            flip: true,
            compute: Compute::Bf16,
            accumulate: 1,
            checkpoint_activations: false,
            seed: 0,
        };
        // A few epochs over small images: no regularisation, and a shorter average than 10,000 steps.
        let small = Recipe {
            schedule: RateSchedule::Cosine,
            ema: 0.999,
            ema_warmup: true,
            attention_dropout: 0.0,
            projection_dropout: 0.0,
            compute: Compute::F32,
            ..official
        };
        match preset {
            // All shoes face the same way: mirrored ones would only cost capacity.
            Preset::Fashion => {
                Recipe { batch: 64, epochs: 6.4, base_rate: 4.8e-3, warmup_epochs: 0.1, flip: false, ..small }
            }
            Preset::Tiny => Recipe {
                batch: 32,
                epochs: 12.8,
                base_rate: 0.016,
                warmup_epochs: 1.3,
                flip: false,
                ema: 0.99,
                ..small
            },
            Preset::Cifar => Recipe {
                batch: 512,
                epochs: 200.0,
                base_rate: 3e-4,
                warmup_epochs: 5.0,
                projection_dropout: 0.1,
                compute: Compute::Bf16,
                ..small
            },
            // Many styles have parts that lie on one side, so nothing is mirrored.
            Preset::Portraits => Recipe {
                batch: 64,
                epochs: 40.0,
                base_rate: 4e-3,
                warmup_epochs: 0.2,
                schedule: RateSchedule::Wsd,
                flip: false,
                ema: 0.9995,
                ..small
            },
            Preset::MarBase | Preset::MarLarge | Preset::MarHuge => official,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_valid() {
        for preset in Preset::ALL {
            assert_eq!(Recipe::of(preset).validate(1), Ok(()));
        }
    }
}
