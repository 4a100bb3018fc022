//! The layers of encoder and decoder: convolution, group norm, residual block and attention block.
//! The layers of latent diffusion's autoencoder (Rombach et al., arXiv 2112.10752).

use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, activation, module};

use crate::model::{Init, Params, ops};
use marscope_core::checkpoint::CheckpointError;
use marscope_kernels::{self as kernels, Sides, take};

/// Epsilon of every group norm.
const NORM_EPSILON: f64 = 1e-6;

/// Converts features `[n, channels, h, w]` to the layout of the layers. The CPU kernels take channels last, `[n, h, w,
/// channels]`; plain Burn takes channels first. The shapes below are written channels first.
pub(super) fn lay(x: Tensor<4>) -> Tensor<4> {
    if take(&x) { x.permute([0, 2, 3, 1]) } else { x }
}

/// The reverse of [`lay`].
pub(super) fn unlay(x: Tensor<4>) -> Tensor<4> {
    if take(&x) { x.permute([0, 3, 1, 2]) } else { x }
}

/// A square convolution with bias.
#[derive(Module, Debug)]
pub(super) struct Conv {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Conv {
    /// The convolution `name`, from `c_in` to `c_out` channels.
    pub fn new(
        params: &mut Params,
        name: &str,
        [c_in, c_out]: [usize; 2],
        kernel: usize,
    ) -> Result<Self, CheckpointError> {
        let start = Init::Inputs(c_in * kernel * kernel);
        Ok(Self {
            weight: params.tensor(&format!("{name}.weight"), [c_out, c_in, kernel, kernel], start)?,
            bias: params.tensor(&format!("{name}.bias"), [c_out], start)?,
        })
    }

    /// The device of the parameters.
    pub fn device(&self) -> Device {
        self.weight.val().device()
    }

    /// Keeps the size: pads all sides with zeros.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.convolve(x, Sides::Same)
    }

    /// Halves the sides: stride 2, padded with zeros at the bottom and the right only.
    pub fn halve(&self, x: Tensor<4>) -> Tensor<4> {
        self.convolve(x, Sides::Halve)
    }

    /// Doubles the sides: nearest-neighbour upsampling, then the convolution.
    pub fn double(&self, x: Tensor<4>) -> Tensor<4> {
        self.convolve(x, Sides::Double)
    }

    fn convolve(&self, x: Tensor<4>, sides: Sides) -> Tensor<4> {
        if take(&x) {
            return kernels::conv(x, self.weight.val(), self.bias.val(), sides);
        }
        self.plain(x, sides)
    }

    /// In plain Burn, channels first.
    fn plain(&self, x: Tensor<4>, sides: Sides) -> Tensor<4> {
        let around = self.weight.dims()[2] / 2;
        let (x, stride, padding) = match sides {
            Sides::Same => (x, 1, (around, around)),
            Sides::Halve => (x, 2, (0, 1)),
            Sides::Double => (double(x), 1, (around, around)),
        };
        let options = ConvOptions { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups: 1 };
        module::conv2d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Nearest-neighbour upsampling by two, of `[n, channels, h, w]`.
fn double(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let each: Tensor<6> = x.reshape([n, c, h, 1, w, 1]);
    each.expand([n, c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

/// Group norm with scale and shift.
#[derive(Module, Debug)]
pub(super) struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
}

impl GroupNorm {
    /// The norm `name` over `channels`, a multiple of `groups`.
    pub fn new(params: &mut Params, name: &str, channels: usize, groups: usize) -> Result<Self, CheckpointError> {
        Ok(Self {
            weight: params.tensor(&format!("{name}.weight"), [channels], Init::Constant(1.0))?,
            bias: params.tensor(&format!("{name}.bias"), [channels], Init::Constant(0.0))?,
            groups,
        })
    }

    /// `[n, channels, h, w]` to the same; mean and (biased) variance of each image's group of channels.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalise(x, false)
    }

    /// The norm, then `SiLU`.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalise(x, true)
    }

    fn normalise(&self, x: Tensor<4>, silu: bool) -> Tensor<4> {
        if take(&x) {
            let (scale, shift) = (self.weight.val(), self.bias.val());
            let norm = kernels::GroupNorm { groups: self.groups, epsilon: NORM_EPSILON as f32, silu };
            return kernels::group_norm(x, scale, shift, norm);
        }
        self.plain(x, silu)
    }

    /// In plain Burn, channels first.
    fn plain(&self, x: Tensor<4>, silu: bool) -> Tensor<4> {
        let [n, channels, h, w] = x.dims();
        let groups = x.reshape([n, self.groups, channels / self.groups * h * w]);
        let (variance, mean) = groups.clone().var_mean_bias(2);
        let normal = (groups - mean) / (variance + NORM_EPSILON).sqrt();
        let per_channel = |param: &Param<Tensor<1>>| param.val().reshape([1, channels, 1, 1]);
        let y = normal.reshape([n, channels, h, w]) * per_channel(&self.weight) + per_channel(&self.bias);
        if silu { activation::silu(y) } else { y }
    }
}

/// `x + conv(silu(norm(conv(silu(norm(x))))))`; where the channels change, x goes through a 1x1 convolution.
#[derive(Module, Debug)]
pub(super) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv,
    norm2: GroupNorm,
    conv2: Conv,
    nin_shortcut: Option<Conv>,
}

impl ResnetBlock {
    /// The block `name`, from `c_in` to `c_out` channels.
    pub fn new(
        params: &mut Params,
        name: &str,
        [c_in, c_out]: [usize; 2],
        groups: usize,
    ) -> Result<Self, CheckpointError> {
        Ok(Self {
            norm1: GroupNorm::new(params, &format!("{name}.norm1"), c_in, groups)?,
            conv1: Conv::new(params, &format!("{name}.conv1"), [c_in, c_out], 3)?,
            norm2: GroupNorm::new(params, &format!("{name}.norm2"), c_out, groups)?,
            conv2: Conv::new(params, &format!("{name}.conv2"), [c_out, c_out], 3)?,
            nin_shortcut: if c_in == c_out {
                None
            } else {
                Some(Conv::new(params, &format!("{name}.nin_shortcut"), [c_in, c_out], 1)?)
            },
        })
    }

    /// `[n, c_in, h, w]` to `[n, c_out, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.conv1.forward(self.norm1.forward_silu(x.clone()));
        let h = self.conv2.forward(self.norm2.forward_silu(h));
        match &self.nin_shortcut {
            Some(shortcut) => shortcut.forward(x) + h,
            None => x + h,
        }
    }
}

/// `x + proj_out(attention(norm(x)))`, one head, every position attending to every position.
#[derive(Module, Debug)]
pub(super) struct AttnBlock {
    norm: GroupNorm,
    q: Conv,
    k: Conv,
    v: Conv,
    proj_out: Conv,
}

impl AttnBlock {
    /// The block `name` over `channels`.
    pub fn new(params: &mut Params, name: &str, channels: usize, groups: usize) -> Result<Self, CheckpointError> {
        let norm = GroupNorm::new(params, &format!("{name}.norm"), channels, groups)?;
        let mut conv = |part: &str| Conv::new(params, &format!("{name}.{part}"), [channels, channels], 1);
        Ok(Self { norm, q: conv("q")?, k: conv("k")?, v: conv("v")?, proj_out: conv("proj_out")? })
    }

    /// `[n, channels, h, w]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let normal = self.norm.forward(x.clone());
        let last = take(&x);
        let positions = |conv: &Conv| {
            let y = conv.forward(normal.clone());
            if last {
                let [n, h, w, channels] = shape;
                y.reshape([n, 1, h * w, channels])
            } else {
                let [n, channels, h, w] = shape;
                y.reshape([n, 1, channels, h * w]).swap_dims(2, 3)
            }
        };
        let out = ops::attention(positions(&self.q), positions(&self.k), positions(&self.v), 0.0);
        let out = if last { out } else { out.swap_dims(2, 3) };
        x + self.proj_out.forward(out.reshape(shape))
    }
}

/// The middle of encoder and decoder: residual block, attention, residual block.
#[derive(Module, Debug)]
pub(super) struct Middle {
    block_1: ResnetBlock,
    attn_1: AttnBlock,
    block_2: ResnetBlock,
}

impl Middle {
    /// The middle `name` over `channels`.
    pub fn new(params: &mut Params, name: &str, channels: usize, groups: usize) -> Result<Self, CheckpointError> {
        Ok(Self {
            block_1: ResnetBlock::new(params, &format!("{name}.block_1"), [channels, channels], groups)?,
            attn_1: AttnBlock::new(params, &format!("{name}.attn_1"), channels, groups)?,
            block_2: ResnetBlock::new(params, &format!("{name}.block_2"), [channels, channels], groups)?,
        })
    }

    /// `[n, channels, h, w]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block_2.forward(self.attn_1.forward(self.block_1.forward(x)))
    }
}

/// Residual blocks at one resolution, each followed by attention if the level has it.
#[derive(Module, Debug)]
pub(super) struct Level {
    block: Vec<ResnetBlock>,
    attn: Vec<AttnBlock>,
}

impl Level {
    /// The level `name`: `count` blocks, the first from `c_in`, all to `c_out` channels.
    pub fn new(
        params: &mut Params,
        name: &str,
        [c_in, c_out]: [usize; 2],
        count: usize,
        attends: bool,
        groups: usize,
    ) -> Result<Self, CheckpointError> {
        let mut level = Self { block: Vec::new(), attn: Vec::new() };
        for i in 0..count {
            let from = if i == 0 { c_in } else { c_out };
            level.block.push(ResnetBlock::new(params, &format!("{name}.block.{i}"), [from, c_out], groups)?);
            if attends {
                level.attn.push(AttnBlock::new(params, &format!("{name}.attn.{i}"), c_out, groups)?);
            }
        }
        Ok(level)
    }

    /// `[n, c_in, h, w]` to `[n, c_out, h, w]`.
    pub fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (i, block) in self.block.iter().enumerate() {
            x = block.forward(x);
            if let Some(attn) = self.attn.get(i) {
                x = attn.forward(x);
            }
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn doubling_repeats_rows_and_columns() {
        let x = Tensor::from_data(TensorData::new(vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0], [1, 1, 2, 3]), &Device::flex());
        let doubled = double(x);
        assert_eq!(doubled.dims(), [1, 1, 4, 6]);
        let (top, bottom) = ([1f32, 1.0, 2.0, 2.0, 3.0, 3.0], [4f32, 4.0, 5.0, 5.0, 6.0, 6.0]);
        assert_eq!(doubled.into_data().try_into_vec::<f32>().unwrap(), [top, top, bottom, bottom].concat());
    }

    /// The CPU kernels and plain Burn give the same result.
    #[test]
    fn channels_last_are_channels_first() {
        use marscope_core::checkpoint::{Checkpoint, HostTensor};
        use marscope_core::random::Philox;

        let random = |shape: &[usize], salt: u32| {
            let mut data = vec![0.0; shape.iter().product()];
            Philox::new(3).normal([salt, 0, 0], &mut data);
            HostTensor { shape: shape.to_vec(), data }
        };
        let shapes: [(&str, &[usize]); 4] =
            [("c.weight", &[6, 8, 3, 3]), ("c.bias", &[6]), ("n.weight", &[8]), ("n.bias", &[8])];
        let tensors = shapes.iter().zip(0..).map(|((name, shape), salt)| ((*name).to_owned(), random(shape, salt)));
        let checkpoint = Checkpoint { tensors: tensors.collect() };
        let mut params = Params::load(&checkpoint, &Device::flex());
        let conv = Conv::new(&mut params, "c", [8, 6], 3).unwrap();
        let norm = GroupNorm::new(&mut params, "n", 8, 2).unwrap();
        let x = Tensor::<4>::from_data(TensorData::new(random(&[2, 8, 4, 6], 9).data, [2, 8, 4, 6]), &Device::flex());
        assert!(take(&x));
        let mut found: Vec<(Tensor<4>, Tensor<4>)> = [Sides::Same, Sides::Halve, Sides::Double]
            .map(|sides| (unlay(conv.convolve(lay(x.clone()), sides)), conv.plain(x.clone(), sides)))
            .into();
        found.extend(
            [false, true].map(|silu| (unlay(norm.normalise(lay(x.clone()), silu)), norm.plain(x.clone(), silu))),
        );
        for (kernel, plain) in found {
            assert_eq!(kernel.dims(), plain.dims());
            assert!((kernel - plain).abs().max().into_scalar::<f32>() < 1e-4);
        }
    }
}
