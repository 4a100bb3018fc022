//! The decoder: encoder features at their positions, a mask token at all others. Its output is the condition z.
//! Section 3.3 of the paper (masked autoencoder, decoder half).

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::block::Block;
use super::ops::{LayerNorm, Linear};
use super::params::{Init, Params};
use marscope_core::checkpoint::CheckpointError;
use marscope_core::config::MarConfig;

/// Features of the known tokens to a condition z for every token.
#[derive(Module, Debug)]
pub struct Decoder {
    embed: Linear,
    mask_token: Param<Tensor<3>>,
    positions: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<Block>,
    norm: LayerNorm,
    z_positions: Param<Tensor<3>>,
    #[module(skip)]
    buffer: usize,
}

impl Decoder {
    /// The decoder of `config`.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(params: &mut Params, config: &MarConfig) -> Result<Self, CheckpointError> {
        let width = config.decoder_embed_dim;
        let hidden = (width as f64 * config.mlp_ratio) as usize;
        let (tokens, rows) = (config.tokens(), config.buffer_size + config.tokens());
        let embedding = Init::Normal(0.02);
        Ok(Self {
            embed: Linear::new(params, "decoder_embed", [config.encoder_embed_dim, width], Init::Xavier)?,
            mask_token: params.tensor("mask_token", [1, 1, width], embedding)?,
            positions: params.tensor("decoder_pos_embed_learned", [1, rows, width], embedding)?,
            blocks: (0..config.decoder_depth)
                .map(|i| Block::new(params, &format!("decoder_blocks.{i}"), width, config.decoder_num_heads, hidden))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::new(params, "decoder_norm", width)?,
            z_positions: params.tensor("diffusion_pos_embed_learned", [1, tokens, width], embedding)?,
            buffer: config.buffer_size,
        })
    }

    /// `features` `[batch, buffer + known, encoder width]` to z `[batch, L, width]`. `sources` `[batch * (buffer + L)]`
    /// holds, for every position, the row of the features (batch-major) to place there; the row after the last one is
    /// the mask token. `watch` receives every block's attention weights.
    pub fn forward(
        &self,
        features: Tensor<3>,
        sources: Tensor<1, Int>,
        mut watch: Option<&mut Vec<Tensor<4>>>,
    ) -> Tensor<3> {
        let x = self.embed.forward(features);
        let [batch, seen, width] = x.dims();
        let mask_token = self.mask_token.val().reshape([1, width]);
        let rows = Tensor::cat(vec![x.reshape([batch * seen, width]), mask_token], 0);
        let positions = self.positions.val();
        let seq = positions.dims()[1];
        let x = rows.select(0, sources).reshape([batch, seq, width]) + positions;
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, watch.as_deref_mut()));
        let z = self.norm.forward(x).narrow(1, self.buffer, seq - self.buffer);
        z + self.z_positions.val()
    }
}
