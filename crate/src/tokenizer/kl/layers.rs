//! What encoder and decoder are made of: convolution, group norm, residual block and attention block.
//! The layers of latent diffusion's autoencoder (Rombach et al., arXiv 2112.10752).

use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, activation, module};

use crate::checkpoint::CheckpointError;
use crate::model::{Init, Params, ops};

/// Groups of every group norm.
pub(super) const GROUPS: usize = 32;

/// Epsilon of every group norm.
const NORM_EPSILON: f64 = 1e-6;

/// The autoencoder is only ever loaded, so the value that a parameter would start from is never used.
const LOADED: Init = Init::Constant(0.0);

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
        Ok(Self {
            weight: params.tensor(&format!("{name}.weight"), [c_out, c_in, kernel, kernel], LOADED)?,
            bias: params.tensor(&format!("{name}.bias"), [c_out], LOADED)?,
        })
    }

    /// Keeps the sides: zeros all around.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let around = self.weight.dims()[2] / 2;
        self.convolve(x, 1, (around, around))
    }

    /// Halves the sides: stride 2, zeros at the bottom and the right only.
    pub fn halve(&self, x: Tensor<4>) -> Tensor<4> {
        self.convolve(x, 2, (0, 1))
    }

    fn convolve(&self, x: Tensor<4>, stride: usize, padding: (usize, usize)) -> Tensor<4> {
        let options = ConvOptions { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups: 1 };
        module::conv2d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Group norm with scale and shift.
#[derive(Module, Debug)]
pub(super) struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl GroupNorm {
    /// The norm `name` over `channels`, a multiple of [`GROUPS`].
    pub fn new(params: &mut Params, name: &str, channels: usize) -> Result<Self, CheckpointError> {
        Ok(Self {
            weight: params.tensor(&format!("{name}.weight"), [channels], LOADED)?,
            bias: params.tensor(&format!("{name}.bias"), [channels], LOADED)?,
        })
    }

    /// `[n, channels, h, w]` to the same; mean and (biased) variance of each image's group of channels.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, channels, h, w] = x.dims();
        let groups = x.reshape([n, GROUPS, channels / GROUPS * h * w]);
        let (variance, mean) = groups.clone().var_mean_bias(2);
        let normal = (groups - mean) / (variance + NORM_EPSILON).sqrt();
        let per_channel = |param: &Param<Tensor<1>>| param.val().reshape([1, channels, 1, 1]);
        normal.reshape([n, channels, h, w]) * per_channel(&self.weight) + per_channel(&self.bias)
    }

    /// The norm, then `SiLU`.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        activation::silu(self.forward(x))
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
    pub fn new(params: &mut Params, name: &str, [c_in, c_out]: [usize; 2]) -> Result<Self, CheckpointError> {
        Ok(Self {
            norm1: GroupNorm::new(params, &format!("{name}.norm1"), c_in)?,
            conv1: Conv::new(params, &format!("{name}.conv1"), [c_in, c_out], 3)?,
            norm2: GroupNorm::new(params, &format!("{name}.norm2"), c_out)?,
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
    pub fn new(params: &mut Params, name: &str, channels: usize) -> Result<Self, CheckpointError> {
        let norm = GroupNorm::new(params, &format!("{name}.norm"), channels)?;
        let mut conv = |part: &str| Conv::new(params, &format!("{name}.{part}"), [channels, channels], 1);
        Ok(Self { norm, q: conv("q")?, k: conv("k")?, v: conv("v")?, proj_out: conv("proj_out")? })
    }

    /// `[n, channels, h, w]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let [n, channels, h, w] = shape;
        let normal = self.norm.forward(x.clone());
        let positions = |conv: &Conv| conv.forward(normal.clone()).reshape([n, 1, channels, h * w]).swap_dims(2, 3);
        let out = ops::attention(positions(&self.q), positions(&self.k), positions(&self.v), 0.0);
        x + self.proj_out.forward(out.swap_dims(2, 3).reshape(shape))
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
    pub fn new(params: &mut Params, name: &str, channels: usize) -> Result<Self, CheckpointError> {
        Ok(Self {
            block_1: ResnetBlock::new(params, &format!("{name}.block_1"), [channels, channels])?,
            attn_1: AttnBlock::new(params, &format!("{name}.attn_1"), channels)?,
            block_2: ResnetBlock::new(params, &format!("{name}.block_2"), [channels, channels])?,
        })
    }

    /// `[n, channels, h, w]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block_2.forward(self.attn_1.forward(self.block_1.forward(x)))
    }
}

/// Residual blocks at one resolution, each followed by attention where the level attends.
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
    ) -> Result<Self, CheckpointError> {
        let mut level = Self { block: Vec::new(), attn: Vec::new() };
        for i in 0..count {
            let from = if i == 0 { c_in } else { c_out };
            level.block.push(ResnetBlock::new(params, &format!("{name}.block.{i}"), [from, c_out])?);
            if attends {
                level.attn.push(AttnBlock::new(params, &format!("{name}.attn.{i}"), c_out)?);
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
