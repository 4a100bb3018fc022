//! The transformer block of encoder and decoder: pre-norm attention and MLP, each added to its input.
//! Section 3.3 and appendix B of the paper (a plain ViT block).

use burn::module::Module;
use burn::tensor::{FloatDType, Tensor};

use super::ops::{LayerNorm, Linear, dropout, linear_gelu, self_attention};
use super::params::{Init, Params};
use marscope_core::checkpoint::CheckpointError;

/// Dropout and precision of a block; dropout applies only while gradients are tracked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockOptions {
    /// Dropout rate of the attention weights.
    pub attention_dropout: f64,
    /// Dropout rate after the attention's projection, inside the MLP and after it.
    pub projection_dropout: f64,
    /// Precision of matrix products and attention; norms and residual sums are always f32.
    pub dtype: FloatDType,
}

impl Default for BlockOptions {
    /// No dropout, everything in f32.
    fn default() -> Self {
        Self { attention_dropout: 0.0, projection_dropout: 0.0, dtype: FloatDType::F32 }
    }
}

/// `x + Attn(LN(x))`, then `x + MLP(LN(x))`.
#[derive(Module, Debug)]
pub struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    heads: usize,
    /// Dropout and precision.
    #[module(skip)]
    pub options: BlockOptions,
}

impl Block {
    /// The block `name` of `width`, with `heads` heads and an MLP of `hidden`.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(
        params: &mut Params,
        name: &str,
        width: usize,
        heads: usize,
        hidden: usize,
    ) -> Result<Self, CheckpointError> {
        let mut linear = |part: &str, shape| Linear::new(params, &format!("{name}.{part}"), shape, Init::Xavier);
        let qkv = linear("attn.qkv", [width, 3 * width])?;
        let proj = linear("attn.proj", [width, width])?;
        let fc1 = linear("mlp.fc1", [width, hidden])?;
        let fc2 = linear("mlp.fc2", [hidden, width])?;
        let norm1 = LayerNorm::new(params, &format!("{name}.norm1"), width)?;
        let norm2 = LayerNorm::new(params, &format!("{name}.norm2"), width)?;
        Ok(Self { norm1, qkv, proj, norm2, fc1, fc2, heads, options: BlockOptions::default() })
    }

    /// `[batch, seq, width]` to the same. `watch` receives the attention weights, `[batch, heads, seq, seq]`.
    pub fn forward(&self, x: Tensor<3>, watch: Option<&mut Vec<Tensor<4>>>) -> Tensor<3> {
        let BlockOptions { projection_dropout: p, dtype, .. } = self.options;
        let attended = self.attend(self.norm1.forward(x.clone()).cast(dtype), watch);
        let x = x + dropout(attended, p).cast(FloatDType::F32);
        let hidden = linear_gelu(&self.fc1, self.norm2.forward(x.clone()).cast(dtype));
        x + dropout(self.fc2.forward(dropout(hidden, p)), p).cast(FloatDType::F32)
    }

    fn attend(&self, x: Tensor<3>, watch: Option<&mut Vec<Tensor<4>>>) -> Tensor<3> {
        let qkv = self.qkv.forward(x);
        self.proj.forward(self_attention(qkv, self.heads, self.options.attention_dropout, watch))
    }
}
