//! The autoencoder's decoder: the middle, then levels of residual blocks, each doubling the sides.
//! It mirrors the encoder, with one more residual block per level.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::{Conv, GroupNorm, Level, Middle};
use crate::model::Params;
use marscope_core::checkpoint::CheckpointError;
use marscope_core::tokenizer::KlConfig;

/// `decoder` in the official checkpoint.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: Conv,
    mid: Middle,
    /// Coarsest level first.
    up: Vec<Level>,
    /// Between a level and the next.
    upsample: Vec<Conv>,
    norm_out: GroupNorm,
    conv_out: Conv,
}

impl Decoder {
    /// The decoder of `config`, which is valid.
    pub fn new(params: &mut Params, config: &KlConfig) -> Result<Self, CheckpointError> {
        let coarsest = config.ch_mult.len() - 1;
        let mut channels = config.channels(coarsest);
        let conv_in = Conv::new(params, "decoder.conv_in", [config.z_channels, channels], 3)?;
        let mid = Middle::new(params, "decoder.mid", channels, config.groups)?;
        let (mut up, mut upsample) = (Vec::new(), Vec::new());
        for level in (0..=coarsest).rev() {
            let name = format!("decoder.up.{level}");
            let attends = config.decoder_attn_resolutions.contains(&config.side(level));
            let shape = [channels, config.channels(level)];
            up.push(Level::new(params, &name, shape, config.num_res_blocks + 1, attends, config.groups)?);
            channels = config.channels(level);
            if level > 0 {
                upsample.push(Conv::new(params, &format!("{name}.upsample.conv"), [channels, channels], 3)?);
            }
        }
        Ok(Self {
            conv_in,
            mid,
            up,
            upsample,
            norm_out: GroupNorm::new(params, "decoder.norm_out", channels, config.groups)?,
            conv_out: Conv::new(params, "decoder.conv_out", [channels, 3], 3)?,
        })
    }

    /// `[n, z_channels, h, w]` to images `[n, 3, stride h, stride w]`.
    pub fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid.forward(self.conv_in.forward(z));
        for (i, level) in self.up.iter().enumerate() {
            x = level.forward(x);
            if let Some(upsample) = self.upsample.get(i) {
                x = upsample.double(x);
            }
        }
        self.conv_out.forward(self.norm_out.forward_silu(x))
    }
}
