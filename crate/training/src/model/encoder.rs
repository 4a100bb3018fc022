//! The encoder: buffer positions that hold the class, then the tokens known so far. Masked tokens are dropped.
//! Section 3.3 of the paper (masked autoencoder, encoder half).

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::block::Block;
use super::ops::{LayerNorm, Linear};
use super::params::{Init, Params};
use marscope_core::checkpoint::CheckpointError;
use marscope_core::config::MarConfig;

/// Known tokens to features.
#[derive(Module, Debug)]
pub struct Encoder {
    z_proj: Linear,
    z_proj_ln: LayerNorm,
    positions: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<Block>,
    norm: LayerNorm,
    #[module(skip)]
    buffer: usize,
}

impl Encoder {
    /// The encoder of `config`.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(params: &mut Params, config: &MarConfig) -> Result<Self, CheckpointError> {
        let width = config.encoder_embed_dim;
        let hidden = (width as f64 * config.mlp_ratio) as usize;
        let rows = config.buffer_size + config.tokens();
        Ok(Self {
            z_proj: Linear::new(params, "z_proj", [config.token_dim(), width], Init::Xavier)?,
            z_proj_ln: LayerNorm::new(params, "z_proj_ln", width)?,
            positions: params.tensor("encoder_pos_embed_learned", [1, rows, width], Init::Normal(0.02))?,
            blocks: (0..config.encoder_depth)
                .map(|i| Block::new(params, &format!("encoder_blocks.{i}"), width, config.encoder_num_heads, hidden))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::new(params, "encoder_norm", width)?,
            buffer: config.buffer_size,
        })
    }

    /// `tokens` `[batch, known, C]` at the grid positions `places` `[batch * known]`, and `class` `[batch, width]`, to
    /// features `[batch, buffer + known, width]`. `watch` receives every block's attention weights.
    pub fn forward(
        &self,
        tokens: Option<(Tensor<3>, Tensor<1, Int>)>,
        class: Tensor<2>,
        mut watch: Option<&mut Vec<Tensor<4>>>,
    ) -> Tensor<3> {
        let [batch, width] = class.dims();
        let table = self.positions.val().reshape([-1, width as i32]);
        let class: Tensor<3> = class.unsqueeze_dim(1);
        let buffer =
            class.expand([batch, self.buffer, width]) + table.clone().narrow(0, 0, self.buffer).unsqueeze::<3>();
        let x = match tokens {
            None => buffer,
            Some((tokens, places)) => {
                let known = tokens.dims()[1];
                let positions = table.select(0, places + self.buffer as i32).reshape([batch, known, width]);
                Tensor::cat(vec![buffer, self.z_proj.forward(tokens) + positions], 1)
            }
        };
        let x = self.z_proj_ln.forward(x);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, watch.as_deref_mut()));
        self.norm.forward(x)
    }
}
