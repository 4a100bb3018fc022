//! The shape of a KL autoencoder: channels, levels and attention; and the files of a weights folder that hold one.
//! Appendix A of Rombach et al., arXiv 2112.10752; the MAR paper's KL-16 is [`KlConfig::kl16`].

use serde::{Deserialize, Serialize};

/// File name of an autoencoder's shape, a [`KlConfig`], beside the weights of a network that draws its latents.
pub const AUTOENCODER_CONFIG: &str = "autoencoder.json";
/// File name of the autoencoder's parameters.
pub const AUTOENCODER_WEIGHTS: &str = "autoencoder.safetensors";

/// The shape of a KL autoencoder, under the names of the official constructor's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KlConfig {
    /// Channels at full resolution.
    pub ch: usize,
    /// Channels of each level over `ch`, finest level first; each level after the first halves the sides.
    pub ch_mult: Vec<usize>,
    /// Channels between the convolutional stacks and the 1x1 `quant_conv` / `post_quant_conv`.
    pub z_channels: usize,
    /// Channels of the latent.
    pub embed_dim: usize,
    /// Side of the training images, in pixels; it decides at which level the attention resolutions fall.
    pub resolution: usize,
    /// Residual blocks of an encoder level; a decoder level has one more.
    pub num_res_blocks: usize,
    /// Sides at which the encoder has attention after every residual block; its middle always has it.
    pub encoder_attn_resolutions: Vec<usize>,
    /// The same for the decoder.
    pub decoder_attn_resolutions: Vec<usize>,
    /// Groups of every group norm; the official constructor knows 32 only.
    #[serde(default = "official_groups")]
    pub groups: usize,
}

fn official_groups() -> usize {
    32
}

impl KlConfig {
    /// The published KL-16: 16 channels, 256-pixel images to 16x16 latents.
    pub fn kl16() -> Self {
        Self {
            ch: 128,
            ch_mult: vec![1, 1, 2, 2, 4],
            z_channels: 16,
            embed_dim: 16,
            resolution: 256,
            num_res_blocks: 2,
            encoder_attn_resolutions: vec![16],
            decoder_attn_resolutions: vec![],
            groups: official_groups(),
        }
    }

    /// Reads and checks an `autoencoder.json`.
    ///
    /// # Errors
    /// Names the field that is missing or does not fit, or what is not JSON.
    pub fn parse(json: &str) -> Result<Self, KlConfigError> {
        let config: Self = serde_json::from_str(json)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that the parts fit each other and stay within what memory can hold.
    ///
    /// # Errors
    /// Names the first field that does not fit, and what would.
    pub fn validate(&self) -> Result<(), KlConfigError> {
        let whole = |name: &'static str, value: usize, most: usize| {
            if value == 0 || value > most { Err(KlConfigError::Range { name, value, most }) } else { Ok(()) }
        };
        let divides = |name: &'static str, value: usize, by: usize| {
            if value.is_multiple_of(by) { Ok(()) } else { Err(KlConfigError::Divides { name, value, by }) }
        };
        whole("ch", self.ch, 4096)?;
        whole("groups", self.groups, 4096)?;
        divides("ch", self.ch, self.groups)?;
        whole("the number of levels in ch_mult", self.ch_mult.len(), 8)?;
        self.ch_mult.iter().try_for_each(|&mult| whole("a level of ch_mult", mult, 64))?;
        whole("z_channels", self.z_channels, 256)?;
        whole("embed_dim", self.embed_dim, 256)?;
        whole("resolution", self.resolution, 4096)?;
        divides("resolution", self.resolution, self.stride())?;
        whole("num_res_blocks", self.num_res_blocks, 64)
    }

    /// Pixels a latent position covers, per side.
    pub fn stride(&self) -> usize {
        1 << (self.ch_mult.len() - 1)
    }

    /// Channels of a level.
    pub fn channels(&self, level: usize) -> usize {
        self.ch * self.ch_mult[level]
    }

    /// Side of a level's features when the image has the side `resolution`.
    pub fn side(&self, level: usize) -> usize {
        self.resolution >> level
    }
}

/// Why an `autoencoder.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KlConfigError {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("the autoencoder's shape: {0}. `marscope train-tokenizer` writes it as autoencoder.json")]
    Json(#[from] serde_json::Error),
    /// A number is zero or too large.
    #[error("the autoencoder's shape: {name} is {value}; it must be 1 to {most}")]
    Range {
        /// The field.
        name: &'static str,
        /// What it says.
        value: usize,
        /// The largest allowed.
        most: usize,
    },
    /// One number must divide another.
    #[error("the autoencoder's shape: {name} is {value}; it must be a multiple of {by}")]
    Divides {
        /// The field.
        name: &'static str,
        /// What it says.
        value: usize,
        /// The divisor.
        by: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_published_shape_fits() {
        KlConfig::kl16().validate().unwrap();
        assert_eq!(KlConfig::kl16().stride(), 16);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |change: fn(&mut KlConfig)| {
            let mut config = KlConfig::kl16();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(message(|c| c.ch = 100).contains("ch is 100; it must be a multiple of 32"));
        assert!(message(|c| c.groups = 0).contains("groups is 0"));
        assert!(message(|c| c.groups = 48).contains("ch is 128; it must be a multiple of 48"));
        assert!(message(|c| c.ch_mult.clear()).contains("levels in ch_mult is 0"));
        assert!(message(|c| c.ch_mult[2] = 0).contains("a level of ch_mult is 0"));
        assert!(message(|c| c.resolution = 250).contains("resolution is 250; it must be a multiple of 16"));
        assert!(message(|c| c.num_res_blocks = 0).contains("num_res_blocks is 0"));
    }

    proptest! {
        #[test]
        fn no_shape_panics(ch: usize, groups: usize, ch_mult: Vec<usize>, z_channels: usize, embed_dim: usize, resolution: usize) {
            let config = KlConfig { ch, ch_mult, z_channels, embed_dim, resolution, groups, ..KlConfig::kl16() };
            let _ = config.validate();
        }
    }
}
