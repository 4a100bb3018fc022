//! The autoencoder's encoder: levels of residual blocks, each halving the sides, then the middle.
//! Its output holds mean and log variance of every latent number, before `quant_conv`.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::{Conv, GroupNorm, Level, Middle};
use crate::model::Params;
use marscope_core::checkpoint::CheckpointError;
use marscope_core::tokenizer::KlConfig;

/// `encoder` in the official checkpoint.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    conv_in: Conv,
    /// Finest level first.
    down: Vec<Level>,
    /// Between a level and the next.
    downsample: Vec<Conv>,
    mid: Middle,
    norm_out: GroupNorm,
    conv_out: Conv,
}

impl Encoder {
    /// The encoder of `config`, which is valid.
    pub fn new(params: &mut Params, config: &KlConfig) -> Result<Self, CheckpointError> {
        let conv_in = Conv::new(params, "encoder.conv_in", [3, config.ch], 3)?;
        let (mut down, mut downsample) = (Vec::new(), Vec::new());
        let mut channels = config.ch;
        for level in 0..config.ch_mult.len() {
            let name = format!("encoder.down.{level}");
            if level > 0 {
                let name = format!("encoder.down.{}.downsample.conv", level - 1);
                downsample.push(Conv::new(params, &name, [channels, channels], 3)?);
            }
            let attends = config.encoder_attn_resolutions.contains(&config.side(level));
            let shape = [channels, config.channels(level)];
            down.push(Level::new(params, &name, shape, config.num_res_blocks, attends, config.groups)?);
            channels = config.channels(level);
        }
        Ok(Self {
            conv_in,
            down,
            downsample,
            mid: Middle::new(params, "encoder.mid", channels, config.groups)?,
            norm_out: GroupNorm::new(params, "encoder.norm_out", channels, config.groups)?,
            conv_out: Conv::new(params, "encoder.conv_out", [channels, 2 * config.z_channels], 3)?,
        })
    }

    /// Images `[n, 3, h, w]` to `[n, 2 z_channels, h / stride, w / stride]`.
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let mut x = self.conv_in.forward(image);
        for (i, level) in self.down.iter().enumerate() {
            x = level.forward(x);
            if let Some(downsample) = self.downsample.get(i) {
                x = downsample.halve(x);
            }
        }
        self.conv_out.forward(self.norm_out.forward_silu(self.mid.forward(x)))
    }
}
