//! The networks with a name: the released ones, and small ones for small data. The training package has their recipes.
//! Table 4 of the paper.

use crate::config::{ConfigVersion, Defaults, MarConfig, PAPER_LATENT_SCALE, TokenizerKind, WeightsConfig};
use crate::diffusion::Solver;
use crate::head::HeadKind;
use crate::sampler::CfgSchedule;

/// A network by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Preset {
    /// Fashion-MNIST, 28x28 grey, 4x4-pixel tokens: 2.4 M parameters, the network of weights/fashion
    Fashion,
    /// The same data, a very small network for tests
    Tiny,
    /// CIFAR-10, 32x32 colour, 4x4-pixel tokens: 31 M parameters
    Cifar,
    /// Portraits, 64x64 colour, 8x8 latents of this project's autoencoder: 4.2 M parameters
    Portraits,
    /// `ImageNet` 256x256 on KL-16 latents: 208 M parameters
    MarBase,
    /// `ImageNet` 256x256 on KL-16 latents: 479 M parameters
    MarLarge,
    /// `ImageNet` 256x256 on KL-16 latents: 943 M parameters
    MarHuge,
}

/// The classes of Fashion-MNIST.
const FASHION: [&str; 10] =
    ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// The sizes in which the networks differ; encoder and decoder are equal.
struct Size {
    width: usize,
    depth: usize,
    heads: usize,
    buffer: usize,
    head: [usize; 2],
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 7] =
        [Self::Fashion, Self::Tiny, Self::Cifar, Self::Portraits, Self::MarBase, Self::MarLarge, Self::MarHuge];

    fn size(self) -> Size {
        let (width, depth, heads, buffer, head) = match self {
            Self::Fashion => (128, 4, 4, 8, [3, 192]),
            Self::Tiny => (32, 1, 2, 2, [1, 48]),
            Self::Cifar => (384, 8, 6, 16, [3, 512]),
            Self::Portraits => (160, 5, 5, 8, [3, 224]),
            Self::MarBase => (768, 12, 12, 64, [6, 1024]),
            Self::MarLarge => (1024, 16, 16, 64, [8, 1280]),
            Self::MarHuge => (1280, 20, 16, 64, [12, 1536]),
        };
        Size { width, depth, heads, buffer, head }
    }

    /// The `config.json` of its weights. `classes` are the class names from the data; Fashion-MNIST's files hold none, so its
    /// presets have their own.
    pub fn weights(self, classes: &[String]) -> WeightsConfig {
        let classes = match self {
            Self::Fashion | Self::Tiny => FASHION.map(String::from).to_vec(),
            _ => classes.to_vec(),
        };
        let Size { width, depth, heads, buffer, head: [head_depth, head_width] } = self.size();
        let released = matches!(self, Self::MarBase | Self::MarLarge | Self::MarHuge);
        let latents = released || self == Self::Portraits;
        let (name, img_size, [vae_stride, patch_size, vae_embed_dim], cfg) = match self {
            Self::Fashion => ("fashion", 28, [1, 4, 1], 3.0),
            Self::Tiny => ("tiny", 28, [1, 4, 1], 3.0),
            Self::Cifar => ("cifar10", 32, [1, 4, 3], 3.0),
            Self::Portraits => ("portraits", 64, [8, 1, 16], 2.0),
            Self::MarBase => ("mar-base", 256, [16, 1, 16], 2.9),
            Self::MarLarge => ("mar-large", 256, [16, 1, 16], 3.0),
            Self::MarHuge => ("mar-huge", 256, [16, 1, 16], 3.2),
        };
        let (iterations, steps) = if released { (256, 100) } else { (16, 50) };
        WeightsConfig {
            version: ConfigVersion,
            name: name.into(),
            tokenizer: if latents { TokenizerKind::Kl } else { TokenizerKind::Pixel },
            latent_scale: released.then_some(PAPER_LATENT_SCALE),
            // One number in 5,000 of the latents is further than this from 0. Officially latents are not clipped; here samples after
            // some 2,000 training steps are blobs without the bound, and faces with it.
            clip_denoised: match self {
                Self::Portraits => Some(4.0),
                _ => (!latents).then_some(1.0),
            },
            defaults: Defaults {
                cfg,
                cfg_schedule: CfgSchedule::Linear,
                iterations,
                steps,
                solver: Solver::Ddpm,
                temperature: 1.0,
            },
            model: MarConfig {
                img_size,
                vae_stride,
                patch_size,
                vae_embed_dim,
                encoder_embed_dim: width,
                encoder_depth: depth,
                encoder_num_heads: heads,
                decoder_embed_dim: width,
                decoder_depth: depth,
                decoder_num_heads: heads,
                mlp_ratio: 4.0,
                class_num: classes.len(),
                buffer_size: buffer,
                head: HeadKind::Diffusion,
                diffloss_d: head_depth,
                diffloss_w: head_width,
                num_sampling_steps: steps.to_string(),
                diffusion_batch_mul: match self {
                    _ if released => 4,
                    Self::Portraits => 1,
                    _ => 2,
                },
            },
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn weights(preset: Preset, classes: usize) -> WeightsConfig {
        preset.weights(&(0..classes).map(|class| class.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn presets_are_valid() {
        for preset in Preset::ALL {
            let json = serde_json::to_string(&weights(preset, 10)).unwrap();
            assert_eq!(WeightsConfig::parse(&json).unwrap(), weights(preset, 10));
        }
    }

    /// The paper gives the released sizes in millions, rounded one way or the other.
    #[test]
    fn sizes_are_the_papers() {
        let count = |preset: Preset, classes| weights(preset, classes).model.parameters();
        for (preset, millions) in [(Preset::MarBase, 208), (Preset::MarLarge, 479), (Preset::MarHuge, 943)] {
            let found = count(preset, 1000);
            assert!(found.abs_diff(millions * 1_000_000) < 1_000_000, "{preset:?}: {found}");
        }
        assert_eq!(count(Preset::Fashion, 10), 2_379_744);
        assert_eq!(count(Preset::Portraits, 12), 4_170_944);
    }
}
