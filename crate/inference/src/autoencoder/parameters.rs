//! The autoencoder's parameters as an engine keeps them, read from a source by their official names, one tensor at a time.
//! Encoder and decoder are lists of layers, in the order in which features go through them.

use marscope_core::checkpoint::{CheckpointError, TensorSource};
use marscope_core::tokenizer::KlConfig;

use crate::tensors::{Outputs, Tensors};
use crate::weights::Parts;

/// What a convolution does to the sides of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sides {
    /// Keeps them: zeros around.
    Same,
    /// Halves them: stride 2, zeros below and on the right only.
    Halve,
    /// Doubles them: each position is repeated twice in both directions, then zeros around.
    Double,
}

impl Sides {
    /// The side of the output.
    pub fn of(self, side: usize) -> usize {
        match self {
            Self::Same => side,
            Self::Halve => side / 2,
            Self::Double => 2 * side,
        }
    }
}

/// The shape of a square convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Side of the kernel: 1, or 3.
    pub kernel: usize,
    /// What it does to the sides; a kernel of 1 keeps them.
    pub sides: Sides,
}

/// How an engine keeps parameters.
pub trait Store {
    /// A convolution with bias.
    type Conv;
    /// Group norm with scale and shift.
    type Norm;

    /// A convolution of `shape`, whose outputs come in parts.
    ///
    /// # Errors
    /// Those of `parts`.
    fn conv(&mut self, shape: ConvShape, parts: Parts<'_, Outputs<'_>>) -> Result<Self::Conv, CheckpointError>;

    /// A norm over `groups` groups of channels, of scale and shift, `[channels]` each.
    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>, groups: usize) -> Self::Norm;
}

/// A convolution.
pub struct Conv<E: Store> {
    /// Its shape.
    pub shape: ConvShape,
    /// Weights and bias.
    pub parameters: E::Conv,
}

/// A group norm.
pub struct Norm<E: Store> {
    /// Channels.
    pub channels: usize,
    /// Scale and shift.
    pub parameters: E::Norm,
}

/// `x + conv2(silu(norm2(conv1(silu(norm1(x))))))`.
pub struct ResnetBlock<E: Store> {
    /// Before the first convolution.
    pub norm1: Norm<E>,
    /// The first convolution.
    pub conv1: Conv<E>,
    /// Before the second.
    pub norm2: Norm<E>,
    /// The second convolution.
    pub conv2: Conv<E>,
    /// What x goes through where the channels change.
    pub nin_shortcut: Option<Conv<E>>,
}

/// `x + proj_out(attention(norm(x)))`, one head, every position attending to every position.
pub struct AttnBlock<E: Store> {
    /// Before the attention.
    pub norm: Norm<E>,
    /// To queries, keys and values, one after the other.
    pub qkv: Conv<E>,
    /// Out of the attention.
    pub proj_out: Conv<E>,
}

/// A layer of the encoder or the decoder.
pub enum Layer<E: Store> {
    /// A convolution, at the end of a stack after group norm and `SiLU`.
    Conv(Option<Norm<E>>, Conv<E>),
    /// A residual block.
    Resnet(ResnetBlock<E>),
    /// An attention block.
    Attention(AttnBlock<E>),
}

/// The whole autoencoder.
pub struct Parameters<E: Store> {
    /// Its shape.
    pub config: KlConfig,
    /// Number of parameters.
    pub parameters: usize,
    /// From an image `[3, side, side]` to mean and log variance of its latents, `[2 embed_dim, ..]`.
    pub encoder: Vec<Layer<E>>,
    /// From latents to an image.
    pub decoder: Vec<Layer<E>>,
}

impl<E: Store> Parameters<E> {
    /// Reads the autoencoder of `config`, which is valid, from `source` into `store`. Tensors under `loss.` are left out:
    /// official files carry the discriminator of the training.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &KlConfig, source: &dyn TensorSource, store: &mut E) -> Result<Self, CheckpointError> {
        let mut reader = Reader { tensors: Tensors::new(source).without_prefix("loss."), store, config };
        let (encoder, decoder) = (reader.encoder()?, reader.decoder()?);
        Ok(Self { config: config.clone(), parameters: reader.tensors.finish()?, encoder, decoder })
    }
}

struct Reader<'a, E> {
    tensors: Tensors<'a>,
    store: &'a mut E,
    config: &'a KlConfig,
}

impl<E: Store> Reader<'_, E> {
    /// The convolution whose outputs are those of all `names`, one after the other.
    fn joined(&mut self, names: &[String], shape: ConvShape) -> Result<Conv<E>, CheckpointError> {
        let ConvShape { channels: [c_in, c_out], kernel, .. } = shape;
        let each = c_out / names.len();
        let mut parts = names.iter().map(|name| {
            Ok(Outputs {
                weight: self.tensors.take(&format!("{name}.weight"), &[each, c_in, kernel, kernel])?,
                bias: self.tensors.take(&format!("{name}.bias"), &[each])?,
            })
        });
        Ok(Conv { shape, parameters: self.store.conv(shape, &mut parts)? })
    }

    fn conv(
        &mut self,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        sides: Sides,
    ) -> Result<Conv<E>, CheckpointError> {
        self.joined(&[name.to_owned()], ConvShape { channels, kernel, sides })
    }

    fn norm(&mut self, name: &str, channels: usize) -> Result<Norm<E>, CheckpointError> {
        let [scale, shift] = self.tensors.norm(name, channels)?;
        Ok(Norm { channels, parameters: self.store.norm(scale, shift, self.config.groups) })
    }

    fn resnet(&mut self, name: &str, [c_in, c_out]: [usize; 2]) -> Result<Layer<E>, CheckpointError> {
        let part = |part: &str| format!("{name}.{part}");
        Ok(Layer::Resnet(ResnetBlock {
            norm1: self.norm(&part("norm1"), c_in)?,
            conv1: self.conv(&part("conv1"), [c_in, c_out], 3, Sides::Same)?,
            norm2: self.norm(&part("norm2"), c_out)?,
            conv2: self.conv(&part("conv2"), [c_out, c_out], 3, Sides::Same)?,
            nin_shortcut: if c_in == c_out {
                None
            } else {
                Some(self.conv(&part("nin_shortcut"), [c_in, c_out], 1, Sides::Same)?)
            },
        }))
    }

    fn attention(&mut self, name: &str, channels: usize) -> Result<Layer<E>, CheckpointError> {
        let qkv = ["q", "k", "v"].map(|part| format!("{name}.{part}"));
        let shape = ConvShape { channels: [channels, 3 * channels], kernel: 1, sides: Sides::Same };
        Ok(Layer::Attention(AttnBlock {
            norm: self.norm(&format!("{name}.norm"), channels)?,
            qkv: self.joined(&qkv, shape)?,
            proj_out: self.conv(&format!("{name}.proj_out"), [channels, channels], 1, Sides::Same)?,
        }))
    }

    fn middle(&mut self, name: &str, channels: usize) -> Result<[Layer<E>; 3], CheckpointError> {
        Ok([
            self.resnet(&format!("{name}.block_1"), [channels, channels])?,
            self.attention(&format!("{name}.attn_1"), channels)?,
            self.resnet(&format!("{name}.block_2"), [channels, channels])?,
        ])
    }

    /// `count` residual blocks, the first from `c_in`, all to `c_out` channels; each with attention if the level `attends`.
    fn level(
        &mut self,
        name: &str,
        [c_in, c_out]: [usize; 2],
        count: usize,
        attends: bool,
        layers: &mut Vec<Layer<E>>,
    ) -> Result<(), CheckpointError> {
        for i in 0..count {
            let from = if i == 0 { c_in } else { c_out };
            layers.push(self.resnet(&format!("{name}.block.{i}"), [from, c_out])?);
            if attends {
                layers.push(self.attention(&format!("{name}.attn.{i}"), c_out)?);
            }
        }
        Ok(())
    }

    /// A convolution that keeps the sides, without a norm.
    fn plain(&mut self, name: &str, channels: [usize; 2], kernel: usize) -> Result<Layer<E>, CheckpointError> {
        Ok(Layer::Conv(None, self.conv(name, channels, kernel, Sides::Same)?))
    }

    /// The last convolution of a stack.
    fn last(&mut self, name: &str, channels: [usize; 2]) -> Result<Layer<E>, CheckpointError> {
        let norm = self.norm(&format!("{name}.norm_out"), channels[0])?;
        Ok(Layer::Conv(Some(norm), self.conv(&format!("{name}.conv_out"), channels, 3, Sides::Same)?))
    }

    fn encoder(&mut self) -> Result<Vec<Layer<E>>, CheckpointError> {
        let config = self.config;
        let mut layers = vec![self.plain("encoder.conv_in", [3, config.ch], 3)?];
        let mut channels = config.ch;
        for level in 0..config.ch_mult.len() {
            if level > 0 {
                let name = format!("encoder.down.{}.downsample.conv", level - 1);
                layers.push(Layer::Conv(None, self.conv(&name, [channels, channels], 3, Sides::Halve)?));
            }
            let attends = config.encoder_attn_resolutions.contains(&config.side(level));
            let shape = [channels, config.channels(level)];
            self.level(&format!("encoder.down.{level}"), shape, config.num_res_blocks, attends, &mut layers)?;
            channels = config.channels(level);
        }
        layers.extend(self.middle("encoder.mid", channels)?);
        let moments = 2 * config.z_channels;
        layers.push(self.last("encoder", [channels, moments])?);
        layers.push(self.plain("quant_conv", [moments, 2 * config.embed_dim], 1)?);
        Ok(layers)
    }

    fn decoder(&mut self) -> Result<Vec<Layer<E>>, CheckpointError> {
        let config = self.config;
        let coarsest = config.ch_mult.len() - 1;
        let mut channels = config.channels(coarsest);
        let mut layers = vec![
            self.plain("post_quant_conv", [config.embed_dim, config.z_channels], 1)?,
            self.plain("decoder.conv_in", [config.z_channels, channels], 3)?,
        ];
        layers.extend(self.middle("decoder.mid", channels)?);
        for level in (0..=coarsest).rev() {
            let name = format!("decoder.up.{level}");
            let attends = config.decoder_attn_resolutions.contains(&config.side(level));
            let shape = [channels, config.channels(level)];
            self.level(&name, shape, config.num_res_blocks + 1, attends, &mut layers)?;
            channels = config.channels(level);
            if level > 0 {
                let conv = self.conv(&format!("{name}.upsample.conv"), [channels, channels], 3, Sides::Double)?;
                layers.push(Layer::Conv(None, conv));
            }
        }
        layers.push(self.last("decoder", [channels, 3])?);
        Ok(layers)
    }
}
