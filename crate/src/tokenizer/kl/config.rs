//! The autoencoder's shape: channels, levels and where it attends.
//! Appendix A of Rombach et al., arXiv 2112.10752; the MAR paper's KL-16 is [`KlConfig::kl16`].

use serde::{Deserialize, Serialize};

use super::layers::GROUPS;
use crate::config::ConfigError;

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
    /// Side of the images it was trained on, in pixels; it says at which level the attention resolutions fall.
    pub resolution: usize,
    /// Residual blocks of an encoder level; a decoder level has one more.
    pub num_res_blocks: usize,
    /// Sides at which the encoder attends after every residual block (besides its middle, which always does).
    pub encoder_attn_resolutions: Vec<usize>,
    /// The same for the decoder.
    pub decoder_attn_resolutions: Vec<usize>,
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
        }
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// Says what is not JSON, missing, or does not fit.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(json)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that the parts fit each other and stay within what memory can hold.
    ///
    /// # Errors
    /// Names the first field that does not fit, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let whole = |name: &'static str, value: usize, most: usize| {
            if value == 0 || value > most { Err(ConfigError::Range { name, value, most }) } else { Ok(()) }
        };
        let divides = |name: &'static str, value: usize, by: usize| {
            if value.is_multiple_of(by) { Ok(()) } else { Err(ConfigError::Divides { name, value, by }) }
        };
        whole("ch", self.ch, 4096)?;
        divides("ch", self.ch, GROUPS)?;
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
    pub(super) fn channels(&self, level: usize) -> usize {
        self.ch * self.ch_mult[level]
    }

    /// Side of a level's features when the image has the side `resolution`.
    pub(super) fn side(&self, level: usize) -> usize {
        self.resolution >> level
    }
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
        assert!(message(|c| c.ch = 100).contains("ch is 100, which 32 does not divide"));
        assert!(message(|c| c.ch_mult.clear()).contains("levels in ch_mult is 0"));
        assert!(message(|c| c.ch_mult[2] = 0).contains("a level of ch_mult is 0"));
        assert!(message(|c| c.resolution = 250).contains("resolution is 250, which 16 does not divide"));
        assert!(message(|c| c.num_res_blocks = 0).contains("num_res_blocks is 0"));
    }

    proptest! {
        #[test]
        fn no_shape_panics(ch: usize, ch_mult: Vec<usize>, z_channels: usize, embed_dim: usize, resolution: usize) {
            let config = KlConfig { ch, ch_mult, z_channels, embed_dim, resolution, ..KlConfig::kl16() };
            let _ = config.validate();
        }
    }
}
