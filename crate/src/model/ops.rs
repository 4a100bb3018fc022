//! The operations that carry the model's cost, each a function of its own so that a kernel can take its place.
//! Plain Burn: what any faster version is tested against.

use burn::module::{Module, Param};
use burn::nn::DropoutConfig;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, activation, module};

use super::params::{Init, Params};
use crate::checkpoint::CheckpointError;

/// Epsilon of every layer norm.
const NORM_EPSILON: f64 = 1e-6;

/// `x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// The layer `name`, from `d_in` to `d_out` numbers; `weight` is how it starts, the bias starts at zero.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(
        params: &mut Params,
        name: &str,
        [d_in, d_out]: [usize; 2],
        weight: Init,
    ) -> Result<Self, CheckpointError> {
        Ok(Self {
            weight: params.weight(&format!("{name}.weight"), [d_in, d_out], weight)?,
            bias: params.tensor(&format!("{name}.bias"), [d_out], Init::Constant(0.0))?,
        })
    }

    /// `[.., d_in]` to `[.., d_out]`, computed in the precision of `x`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        module::linear(x, self.weight.val().cast(dtype), Some(self.bias.val().cast(dtype)))
    }

    /// Where the layer lives.
    pub fn device(&self) -> Device {
        self.weight.val().device()
    }
}

/// Layer norm with scale and shift.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// The norm `name` over `width` numbers.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(params: &mut Params, name: &str, width: usize) -> Result<Self, CheckpointError> {
        Ok(Self {
            weight: params.tensor(&format!("{name}.weight"), [width], Init::Constant(1.0))?,
            bias: params.tensor(&format!("{name}.bias"), [width], Init::Constant(0.0))?,
        })
    }

    /// Normalises the last dimension.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        module::layer_norm(x, self.weight.val(), Some(self.bias.val()), NORM_EPSILON)
    }
}

/// Linear, then exact (erf) GELU.
pub fn linear_gelu<const D: usize>(linear: &Linear, x: Tensor<D>) -> Tensor<D> {
    activation::gelu(linear.forward(x))
}

/// Linear, then `SiLU`.
pub fn linear_silu<const D: usize>(linear: &Linear, x: Tensor<D>) -> Tensor<D> {
    activation::silu(linear.forward(x))
}

/// `norm(x) * (1 + scale) + shift`, each `[rows, width]`.
pub fn norm_modulate(norm: &LayerNorm, x: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    modulate(norm.forward(x), shift, scale)
}

/// As [`norm_modulate`], for a norm without scale and shift of its own.
pub fn bare_norm_modulate(x: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    let ones = Tensor::ones([x.dims()[1]], &x.device());
    modulate(module::layer_norm(x, ones, None, NORM_EPSILON), shift, scale)
}

fn modulate(x: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    x * (scale + 1.0) + shift
}

/// `softmax(q k^T / sqrt(d)) v`, every tensor `[batch, heads, seq, d]`. Where gradients are tracked, a share `p` of the
/// weights is dropped.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, p: f64) -> Tensor<4> {
    if p > 0.0 && q.device().is_autodiff() {
        return dropout(attention_weights(q, k), p).matmul(v);
    }
    module::attention(q, k, v, None, None, AttentionModuleOptions::default())
}

/// Where gradients are tracked, drops a share `p` of the numbers and scales the others up; else nothing.
pub fn dropout<const D: usize>(x: Tensor<D>, p: f64) -> Tensor<D> {
    if p > 0.0 { DropoutConfig::new(p).init().forward(x) } else { x }
}

/// `softmax(q k^T / sqrt(d))`, `[batch, heads, seq, seq]`: how much each query takes of each key's value. For people to
/// look at; [`attention`] gets by without holding them.
pub fn attention_weights(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
    let scale = (q.dims()[3] as f64).sqrt();
    activation::softmax(q.matmul(k.swap_dims(2, 3)) / scale, 3)
}
