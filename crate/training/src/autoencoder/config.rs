//! The autoencoder's shape: channels, levels and attention.
//! Appendix A of Rombach et al., arXiv 2112.10752; the MAR paper's KL-16 is [`KlConfig::kl16`].

use serde::{Deserialize, Serialize};

use marscope_core::config::ConfigError;

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

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// Names the field that is missing or does not fit, or what is not JSON.
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

    /// Multiplications of convolutions and attention on one image of the side `resolution`, encoder and decoder together.
    pub fn multiplications(&self) -> usize {
        let coarsest = self.ch_mult.len() - 1;
        let conv = |side: usize, c_in: usize, c_out: usize, kernel: usize| (side * kernel).pow(2) * c_in * c_out;
        let block = |side, c_in, c_out| {
            let shortcut = if c_in == c_out { 0 } else { conv(side, c_in, c_out, 1) };
            conv(side, c_in, c_out, 3) + conv(side, c_out, c_out, 3) + shortcut
        };
        let attention = |side: usize, c| 4 * conv(side, c, c, 1) + 2 * side.pow(4) * c;
        let level = |level: usize, c_in, count: usize, attends: &[usize]| {
            let (side, c) = (self.side(level), self.channels(level));
            let each = if attends.contains(&side) { attention(side, c) } else { 0 };
            block(side, c_in, c) + (count - 1) * block(side, c, c) + count * each
        };
        let (last, widest) = (self.side(coarsest), self.channels(coarsest));
        let middle = 2 * block(last, widest, widest) + attention(last, widest);
        let (z, latent) = (self.z_channels, self.embed_dim);
        let mut all = 2 * middle + conv(self.resolution, 3, self.ch, 3) + conv(self.resolution, self.ch, 3, 3);
        all += conv(last, widest, 2 * z, 3) + conv(last, 2 * z, 2 * latent, 1);
        all += conv(last, latent, z, 1) + conv(last, z, widest, 3);
        for at in 0..=coarsest {
            let (c, side) = (self.channels(at), self.side(at));
            let finer = if at == 0 { self.ch } else { self.channels(at - 1) };
            let coarser = self.channels((at + 1).min(coarsest));
            all += level(at, finer, self.num_res_blocks, &self.encoder_attn_resolutions);
            all += level(at, coarser, self.num_res_blocks + 1, &self.decoder_attn_resolutions);
            if at > 0 {
                all += conv(side, finer, finer, 3) + conv(2 * side, c, c, 3);
            }
        }
        all
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
        assert!(message(|c| c.ch = 100).contains("ch is 100; it must be a multiple of 32"));
        assert!(message(|c| c.groups = 0).contains("groups is 0"));
        assert!(message(|c| c.groups = 48).contains("ch is 128; it must be a multiple of 48"));
        assert!(message(|c| c.ch_mult.clear()).contains("levels in ch_mult is 0"));
        assert!(message(|c| c.ch_mult[2] = 0).contains("a level of ch_mult is 0"));
        assert!(message(|c| c.resolution = 250).contains("resolution is 250; it must be a multiple of 16"));
        assert!(message(|c| c.num_res_blocks = 0).contains("num_res_blocks is 0"));
    }

    /// A convolution multiplies every number of its kernel once at each of its outputs, and the names say where those are.
    #[test]
    fn multiplications_are_those_of_the_tensors() {
        use super::super::Kl;
        use crate::model::to_checkpoint;

        let config = KlConfig { ch: 32, ch_mult: vec![1, 2, 3], resolution: 16, ..KlConfig::kl16() };
        let config = KlConfig { encoder_attn_resolutions: vec![8], ..config };
        let kl = Kl::init(&config, 0, &burn::tensor::Device::flex()).unwrap();
        let mut expected = 0;
        for (name, tensor) in to_checkpoint(&kl, kl.names()).tensors {
            let parts: Vec<&str> = name.split('.').collect();
            let level = |at: usize| parts[at].parse::<usize>().unwrap();
            let side = match parts[..] {
                ["encoder", "down", _, "downsample", ..] => 16 >> (level(2) + 1),
                ["decoder", "up", _, "upsample", ..] => 16 >> (level(2) - 1),
                [_, "down" | "up", ..] => 16 >> level(2),
                ["encoder", "conv_in", ..] | ["decoder", "conv_out", ..] => 16,
                _ => 4,
            };
            if let [c_out, c_in, k, _] = tensor.shape[..] {
                expected += side * side * c_out * c_in * k * k;
                if parts.contains(&"q") {
                    // Scores, and their products with the values.
                    expected += 2 * (side * side).pow(2) * c_in;
                }
            }
        }
        assert_eq!(config.multiplications(), expected);
    }

    proptest! {
        #[test]
        fn no_shape_panics(ch: usize, groups: usize, ch_mult: Vec<usize>, z_channels: usize, embed_dim: usize, resolution: usize) {
            let config = KlConfig { ch, ch_mult, z_channels, embed_dim, resolution, groups, ..KlConfig::kl16() };
            let _ = config.validate();
        }
    }
}
