//! The parameters as an engine keeps them, read from a source by their official names, one tensor at a time.
//! Appendix B of the paper; every tensor is checked, and none may be left over.

use marscope_core::checkpoint::{CheckpointError, TensorSource};
use marscope_core::config::MarConfig;

use crate::tensors::{Outputs, Tensors};
use crate::time::TimeEmbedding;

/// Parts of a parameter. Each is read when it is asked for, so that one is in memory at a time.
pub type Parts<'p, T> = &'p mut dyn Iterator<Item = Result<T, CheckpointError>>;

/// How an engine keeps parameters.
pub trait Store {
    /// `x W + b`.
    type Linear;
    /// Layer norm with scale and shift.
    type Norm;
    /// Rows to look up.
    type Table;

    /// A linear layer of `[in, out]`, whose outputs come in parts.
    ///
    /// # Errors
    /// Those of `parts`.
    fn linear(&mut self, shape: [usize; 2], parts: Parts<'_, Outputs<'_>>) -> Result<Self::Linear, CheckpointError>;

    /// A norm of scale and shift, `[width]` each.
    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>) -> Self::Norm;

    /// A table of rows of `width` numbers.
    fn table(&mut self, rows: Vec<f32>, width: usize) -> Self::Table;
}

/// A transformer block.
pub struct BlockParameters<E: Store> {
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
pub struct BackboneParameters<E: Store> {
    /// Class embeddings, `[classes + 1, width]`; the last row is the unconditional one.
    pub classes: E::Table,
    /// Tokens into the encoder.
    pub z_proj: E::Linear,
    /// Over the encoder's input.
    pub z_proj_ln: E::Norm,
    /// `[buffer + L, width]`.
    pub encoder_positions: E::Table,
    /// The encoder's blocks.
    pub encoder: Vec<BlockParameters<E>>,
    /// Its attention heads.
    pub encoder_heads: usize,
    /// Over the encoder's output.
    pub encoder_norm: E::Norm,
    /// From the encoder's width to the decoder's.
    pub decoder_embed: E::Linear,
    /// Takes the place of masked tokens, one row.
    pub mask_token: E::Table,
    /// `[buffer + L, width]`.
    pub decoder_positions: E::Table,
    /// The decoder's blocks.
    pub decoder: Vec<BlockParameters<E>>,
    /// Its attention heads.
    pub decoder_heads: usize,
    /// Over the decoder's output.
    pub decoder_norm: E::Norm,
    /// Added to every z, `[L, width]`.
    pub z_positions: E::Table,
}

/// A residual block of the head, without its modulation.
pub struct ResBlockParameters<E: Store> {
    /// Before the modulation.
    pub norm: E::Norm,
    /// Into the MLP.
    pub fc1: E::Linear,
    /// Out of it.
    pub fc2: E::Linear,
}

/// The denoising head.
pub struct HeadParameters<E: Store> {
    /// Embeds timesteps; on the host, once a schedule.
    pub time: TimeEmbedding,
    /// Embeds z.
    pub condition: E::Linear,
    /// Every modulation of the head as one layer: shift, scale and gate of each block, then shift and scale of the final
    /// layer, `[width, (3 blocks + 2) width]`. It depends on timestep and z alone, so it is computed ahead for all steps.
    pub modulation: E::Linear,
    /// Tokens into the head.
    pub input: E::Linear,
    /// The residual blocks.
    pub blocks: Vec<ResBlockParameters<E>>,
    /// To the predicted noise and the variance interpolation, `[width, 2C]`.
    pub output: E::Linear,
}

/// The whole network.
pub struct Parameters<E: Store> {
    /// Its shape.
    pub config: MarConfig,
    /// Number of parameters.
    pub parameters: usize,
    /// Encoder and decoder.
    pub backbone: BackboneParameters<E>,
    /// The denoising head.
    pub head: HeadParameters<E>,
}

impl<E: Store> Parameters<E> {
    /// Reads the network of `config` from `source` into `store`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &MarConfig, source: &dyn TensorSource, store: &mut E) -> Result<Self, CheckpointError> {
        let mut reader = Reader { tensors: Tensors::new(source), store };
        let (backbone, head) = (reader.backbone(config)?, reader.head(config)?);
        Ok(Self { config: config.clone(), parameters: reader.tensors.finish()?, backbone, head })
    }
}

struct Reader<'a, E> {
    tensors: Tensors<'a>,
    store: &'a mut E,
}

impl<E: Store> Reader<'_, E> {
    fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<E::Linear, CheckpointError> {
        self.store.linear(shape, &mut std::iter::once_with(|| self.tensors.layer(name, shape)))
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<E::Norm, CheckpointError> {
        let [scale, shift] = self.tensors.norm(name, width)?;
        Ok(self.store.norm(scale, shift))
    }

    fn table(&mut self, name: &str, shape: &[usize]) -> Result<E::Table, CheckpointError> {
        let rows = self.tensors.take(name, shape)?.to_f32();
        Ok(self.store.table(rows, shape[shape.len() - 1]))
    }

    fn blocks(
        &mut self,
        name: &str,
        count: usize,
        width: usize,
        ratio: f64,
    ) -> Result<Vec<BlockParameters<E>>, CheckpointError> {
        let hidden = (width as f64 * ratio) as usize;
        (0..count)
            .map(|i| {
                let part = |part: &str| format!("{name}.{i}.{part}");
                Ok(BlockParameters {
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

    fn backbone(&mut self, config: &MarConfig) -> Result<BackboneParameters<E>, CheckpointError> {
        let (encoder, decoder) = (config.encoder_embed_dim, config.decoder_embed_dim);
        let (tokens, positions) = (config.tokens(), config.buffer_size + config.tokens());
        let mut classes = self.tensors.take("class_emb.weight", &[config.class_num, encoder])?.to_f32();
        classes.extend(self.tensors.take("fake_latent", &[1, encoder])?.to_f32());
        Ok(BackboneParameters {
            classes: self.store.table(classes, encoder),
            z_proj: self.linear("z_proj", [config.token_dim(), encoder])?,
            z_proj_ln: self.norm("z_proj_ln", encoder)?,
            encoder_positions: self.table("encoder_pos_embed_learned", &[1, positions, encoder])?,
            encoder: self.blocks("encoder_blocks", config.encoder_depth, encoder, config.mlp_ratio)?,
            encoder_heads: config.encoder_num_heads,
            encoder_norm: self.norm("encoder_norm", encoder)?,
            decoder_embed: self.linear("decoder_embed", [encoder, decoder])?,
            mask_token: self.table("mask_token", &[1, 1, decoder])?,
            decoder_positions: self.table("decoder_pos_embed_learned", &[1, positions, decoder])?,
            decoder: self.blocks("decoder_blocks", config.decoder_depth, decoder, config.mlp_ratio)?,
            decoder_heads: config.decoder_num_heads,
            decoder_norm: self.norm("decoder_norm", decoder)?,
            z_positions: self.table("diffusion_pos_embed_learned", &[1, tokens, decoder])?,
        })
    }

    fn head(&mut self, config: &MarConfig) -> Result<HeadParameters<E>, CheckpointError> {
        let (width, dim) = (config.diffloss_w, config.token_dim());
        let name = |part: &str| format!("diffloss.net.{part}");
        let blocks = (0..config.diffloss_d).map(|i| (format!("res_blocks.{i}"), 3));
        let groups: Vec<(String, usize)> = blocks.chain([("final_layer".into(), 2)]).collect();
        let columns = groups.iter().map(|(_, count)| count * width).sum();
        let mut parts = groups.iter().map(|(part, count)| {
            self.tensors.layer(&name(&format!("{part}.adaLN_modulation.1")), [width, count * width])
        });
        let modulation = self.store.linear([width, columns], &mut parts)?;
        let mut layer = |part: &str, shape| {
            let Outputs { weight, bias } = self.tensors.layer(&name(part), shape)?;
            Ok::<_, CheckpointError>([weight.to_f32(), bias.to_f32()])
        };
        let first = layer("time_embed.mlp.0", [TimeEmbedding::FREQUENCIES, width])?;
        let second = layer("time_embed.mlp.2", [width, width])?;
        Ok(HeadParameters {
            time: TimeEmbedding::new(first, second),
            condition: self.linear(&name("cond_embed"), [config.decoder_embed_dim, width])?,
            modulation,
            input: self.linear(&name("input_proj"), [dim, width])?,
            blocks: (0..config.diffloss_d)
                .map(|i| {
                    let part = |part: &str| name(&format!("res_blocks.{i}.{part}"));
                    Ok(ResBlockParameters {
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
