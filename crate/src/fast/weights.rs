//! The parameters as a fast engine keeps them, read from a checkpoint by their official names.
//! Appendix B of the paper; every tensor is checked, and none may be left over.

use std::collections::BTreeSet;

use super::time::TimeEmbedding;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::MarConfig;

/// How an engine keeps parameters.
pub trait Load {
    /// `x W + b`.
    type Linear;
    /// Layer norm with scale and shift.
    type Norm;
    /// Rows to look up.
    type Table;

    /// A linear layer of `weight` `[out, in]` and `bias` `[out]`.
    fn linear(&mut self, weight: &[f32], bias: &[f32]) -> Self::Linear;

    /// A norm of scale and shift, `[width]` each.
    fn norm(&mut self, scale: &[f32], shift: &[f32]) -> Self::Norm;

    /// A table of rows of `width` numbers.
    fn table(&mut self, rows: &[f32], width: usize) -> Self::Table;
}

/// A transformer block.
pub struct Block<E: Load> {
    /// Before the attention.
    pub norm1: E::Norm,
    /// To queries, keys and values.
    pub qkv: E::Linear,
    /// Out of the attention.
    pub proj: E::Linear,
    /// Before the MLP.
    pub norm2: E::Norm,
    /// Into the MLP.
    pub fc1: E::Linear,
    /// Out of it.
    pub fc2: E::Linear,
}

/// Encoder and decoder.
pub struct Backbone<E: Load> {
    /// Class embeddings, `[classes + 1, width]`; the last row is the unconditional one.
    pub classes: E::Table,
    /// Tokens into the encoder.
    pub z_proj: E::Linear,
    /// Over the encoder's input.
    pub z_proj_ln: E::Norm,
    /// `[buffer + L, width]`.
    pub encoder_positions: E::Table,
    /// The encoder's blocks.
    pub encoder: Vec<Block<E>>,
    /// Its attention heads.
    pub encoder_heads: usize,
    /// Over the encoder's output.
    pub encoder_norm: E::Norm,
    /// From the encoder's width to the decoder's.
    pub decoder_embed: E::Linear,
    /// What stands where a token is masked, one row.
    pub mask_token: E::Table,
    /// `[buffer + L, width]`.
    pub decoder_positions: E::Table,
    /// The decoder's blocks.
    pub decoder: Vec<Block<E>>,
    /// Its attention heads.
    pub decoder_heads: usize,
    /// Over the decoder's output.
    pub decoder_norm: E::Norm,
    /// Added to every z, `[L, width]`.
    pub z_positions: E::Table,
}

/// A residual block of the head, without its modulation.
pub struct ResBlock<E: Load> {
    /// Before the modulation.
    pub norm: E::Norm,
    /// Into the MLP.
    pub fc1: E::Linear,
    /// Out of it.
    pub fc2: E::Linear,
}

/// The denoising head.
pub struct Head<E: Load> {
    /// Embeds timesteps; on the host, once a schedule.
    pub time: TimeEmbedding,
    /// Embeds z.
    pub condition: E::Linear,
    /// Every modulation of the head as one layer: shift, scale and gate of each block, then shift and scale of the final
    /// layer, `[width, (3 blocks + 2) width]`. It sees timestep and z alone, never x, so all steps can be done ahead.
    pub modulation: E::Linear,
    /// Tokens into the head.
    pub input: E::Linear,
    /// The residual blocks.
    pub blocks: Vec<ResBlock<E>>,
    /// To the predicted noise and the variance interpolation, `[width, 2C]`.
    pub output: E::Linear,
}

/// The whole network.
pub struct Network<E: Load> {
    /// Its shape.
    pub config: MarConfig,
    /// Numbers it consists of.
    pub parameters: usize,
    /// Encoder and decoder.
    pub backbone: Backbone<E>,
    /// The denoising head.
    pub head: Head<E>,
}

impl<E: Load> Network<E> {
    /// Reads the network of `config` from `checkpoint` into `engine`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &MarConfig, checkpoint: &Checkpoint, engine: &mut E) -> Result<Self, CheckpointError> {
        let unused = checkpoint.tensors.keys().map(String::as_str).collect();
        let mut reader = Reader { checkpoint, unused, engine };
        let network = Self {
            config: config.clone(),
            parameters: checkpoint.tensors.values().map(|tensor| tensor.data.len()).sum(),
            backbone: reader.backbone(config)?,
            head: reader.head(config)?,
        };
        match reader.unused.first() {
            None => Ok(network),
            Some(&first) => Err(CheckpointError::LeftOver { count: reader.unused.len(), first: first.to_owned() }),
        }
    }
}

struct Reader<'a, E> {
    checkpoint: &'a Checkpoint,
    unused: BTreeSet<&'a str>,
    engine: &'a mut E,
}

impl<'a, E: Load> Reader<'a, E> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<&'a [f32], CheckpointError> {
        let tensor = self.checkpoint.expect(name, shape)?;
        self.unused.remove(name);
        Ok(&tensor.data)
    }

    /// Weight and bias of the layer `name`.
    fn layer(&mut self, name: &str, [d_in, d_out]: [usize; 2]) -> Result<[&'a [f32]; 2], CheckpointError> {
        Ok([self.values(&format!("{name}.weight"), &[d_out, d_in])?, self.values(&format!("{name}.bias"), &[d_out])?])
    }

    fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<E::Linear, CheckpointError> {
        let [weight, bias] = self.layer(name, shape)?;
        Ok(self.engine.linear(weight, bias))
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<E::Norm, CheckpointError> {
        let scale = self.values(&format!("{name}.weight"), &[width])?;
        let shift = self.values(&format!("{name}.bias"), &[width])?;
        Ok(self.engine.norm(scale, shift))
    }

    fn table(&mut self, name: &str, shape: &[usize]) -> Result<E::Table, CheckpointError> {
        let rows = self.values(name, shape)?;
        Ok(self.engine.table(rows, shape[shape.len() - 1]))
    }

    fn blocks(&mut self, name: &str, count: usize, width: usize, ratio: f64) -> Result<Vec<Block<E>>, CheckpointError> {
        let hidden = (width as f64 * ratio) as usize;
        (0..count)
            .map(|i| {
                let part = |part: &str| format!("{name}.{i}.{part}");
                Ok(Block {
                    norm1: self.norm(&part("norm1"), width)?,
                    qkv: self.linear(&part("attn.qkv"), [width, 3 * width])?,
                    proj: self.linear(&part("attn.proj"), [width, width])?,
                    norm2: self.norm(&part("norm2"), width)?,
                    fc1: self.linear(&part("mlp.fc1"), [width, hidden])?,
                    fc2: self.linear(&part("mlp.fc2"), [hidden, width])?,
                })
            })
            .collect()
    }

    fn backbone(&mut self, config: &MarConfig) -> Result<Backbone<E>, CheckpointError> {
        let (encoder, decoder) = (config.encoder_embed_dim, config.decoder_embed_dim);
        let (tokens, places) = (config.tokens(), config.buffer_size + config.tokens());
        let mut classes = self.values("class_emb.weight", &[config.class_num, encoder])?.to_vec();
        classes.extend_from_slice(self.values("fake_latent", &[1, encoder])?);
        Ok(Backbone {
            classes: self.engine.table(&classes, encoder),
            z_proj: self.linear("z_proj", [config.token_dim(), encoder])?,
            z_proj_ln: self.norm("z_proj_ln", encoder)?,
            encoder_positions: self.table("encoder_pos_embed_learned", &[1, places, encoder])?,
            encoder: self.blocks("encoder_blocks", config.encoder_depth, encoder, config.mlp_ratio)?,
            encoder_heads: config.encoder_num_heads,
            encoder_norm: self.norm("encoder_norm", encoder)?,
            decoder_embed: self.linear("decoder_embed", [encoder, decoder])?,
            mask_token: self.table("mask_token", &[1, 1, decoder])?,
            decoder_positions: self.table("decoder_pos_embed_learned", &[1, places, decoder])?,
            decoder: self.blocks("decoder_blocks", config.decoder_depth, decoder, config.mlp_ratio)?,
            decoder_heads: config.decoder_num_heads,
            decoder_norm: self.norm("decoder_norm", decoder)?,
            z_positions: self.table("diffusion_pos_embed_learned", &[1, tokens, decoder])?,
        })
    }

    fn head(&mut self, config: &MarConfig) -> Result<Head<E>, CheckpointError> {
        let (width, dim) = (config.diffloss_w, config.token_dim());
        let name = |part: &str| format!("diffloss.net.{part}");
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        let mut modulate = |reader: &mut Self, part: &str, parts: usize| {
            let [w, b] = reader.layer(&name(&format!("{part}.adaLN_modulation.1")), [width, parts * width])?;
            weight.extend_from_slice(w);
            bias.extend_from_slice(b);
            Ok::<(), CheckpointError>(())
        };
        for i in 0..config.diffloss_d {
            modulate(self, &format!("res_blocks.{i}"), 3)?;
        }
        modulate(self, "final_layer", 2)?;
        let [w1, b1] = self.layer(&name("time_embed.mlp.0"), [TimeEmbedding::FREQUENCIES, width])?;
        let [w2, b2] = self.layer(&name("time_embed.mlp.2"), [width, width])?;
        Ok(Head {
            time: TimeEmbedding::new([w1, b1], [w2, b2]),
            condition: self.linear(&name("cond_embed"), [config.decoder_embed_dim, width])?,
            modulation: self.engine.linear(&weight, &bias),
            input: self.linear(&name("input_proj"), [dim, width])?,
            blocks: (0..config.diffloss_d)
                .map(|i| {
                    let part = |part: &str| name(&format!("res_blocks.{i}.{part}"));
                    Ok(ResBlock {
                        norm: self.norm(&part("in_ln"), width)?,
                        fc1: self.linear(&part("mlp.0"), [width, width])?,
                        fc2: self.linear(&part("mlp.2"), [width, width])?,
                    })
                })
                .collect::<Result<_, CheckpointError>>()?,
            output: self.linear(&name("final_layer.linear"), [width, 2 * dim])?,
        })
    }
}
