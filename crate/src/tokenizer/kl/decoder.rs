//! The autoencoder's decoder: the middle, then levels of residual blocks, each doubling the sides.
//! The encoder's mirror image, with one residual block more a level.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::KlConfig;
use super::layers::{Conv, GroupNorm, Level, Middle};
use crate::checkpoint::CheckpointError;
use crate::model::Params;

/// `decoder` in the official checkpoint.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: Conv,
    mid: Middle,
    /// In the order of the data: coarsest level first.
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
        let mid = Middle::new(params, "decoder.mid", channels)?;
        let (mut up, mut upsample) = (Vec::new(), Vec::new());
        for level in (0..=coarsest).rev() {
            let name = format!("decoder.up.{level}");
            let attends = config.decoder_attn_resolutions.contains(&config.side(level));
            let shape = [channels, config.channels(level)];
            up.push(Level::new(params, &name, shape, config.num_res_blocks + 1, attends)?);
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
            norm_out: GroupNorm::new(params, "decoder.norm_out", channels)?,
            conv_out: Conv::new(params, "decoder.conv_out", [channels, 3], 3)?,
        })
    }

    /// `[n, z_channels, h, w]` to images `[n, 3, stride h, stride w]`.
    pub fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid.forward(self.conv_in.forward(z));
        for (i, level) in self.up.iter().enumerate() {
            x = level.forward(x);
            if let Some(upsample) = self.upsample.get(i) {
                x = upsample.forward(double(x));
            }
        }
        self.conv_out.forward(self.norm_out.forward_silu(x))
    }
}

/// Every position four times: nearest-neighbour upsampling by two.
fn double(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let each: Tensor<6> = x.reshape([n, c, h, 1, w, 1]);
    each.expand([n, c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn doubling_repeats_rows_and_columns() {
        let x = Tensor::from_data(TensorData::new(vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 1, 2, 3]), &Device::flex());
        let doubled = double(x);
        assert_eq!(doubled.dims(), [1, 1, 4, 6]);
        let (top, bottom) = ([1f32, 1.0, 2.0, 2.0, 3.0, 3.0], [4f32, 4.0, 5.0, 5.0, 6.0, 6.0]);
        assert_eq!(doubled.into_data().try_into_vec::<f32>().unwrap(), [top, top, bottom, bottom].concat());
    }
}
