//! The model's costly operations, each as a function, so that a faster kernel can replace it.
//! On the CPU in f32 they call [`marscope_kernels`]; on a GPU and in bf16 they are plain Burn, which the kernels are tested
//! against.

#[cfg(all(test, feature = "train"))]
mod tests;

use burn::module::{Module, Param};
use burn::nn::DropoutConfig;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, activation, module};

use super::params::{Init, Params};
use marscope_core::checkpoint::CheckpointError;
use marscope_kernels::{self as kernels, Activation, NORM_EPSILON};

/// `x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// The layer `name`, from `d_in` to `d_out` numbers. `weight` is its initialisation; the bias starts at zero.
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
        linear(x, self.weight.val(), self.bias.val())
    }

    /// As [`Self::forward`], with the output split into N equal parts: `[rows, d_in]` to N times `[rows, d_out / N]`.
    pub fn forward_parts<const N: usize>(&self, x: Tensor<2>) -> [Tensor<2>; N] {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let width = bias.dims()[0] / N;
        if kernels::take(&x) {
            // Splits the weights: the gradient of each part of a split output would be as large as the whole output.
            return std::array::from_fn(|i| {
                let (weight, bias) = (&weight, &bias);
                let part = (weight.clone().narrow(1, i * width, width), bias.clone().narrow(0, i * width, width));
                linear(x.clone(), part.0, part.1)
            });
        }
        let all = linear(x, weight, bias);
        std::array::from_fn(|i| all.clone().narrow(1, i * width, width))
    }

    /// The layer's device.
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
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if kernels::take(&x) { kernels::norm(x, weight, bias) } else { plain_norm(x, weight, bias) }
    }
}

/// `x W + b`, computed in the precision of `x`.
fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    if kernels::take(&x) {
        let mut shape = x.dims();
        let d_in = shape[D - 1];
        let rows = x.shape().num_elements() / d_in;
        shape[D - 1] = bias.dims()[0];
        return kernels::linear(x.reshape([rows, d_in]), weight, bias).reshape(shape);
    }
    let dtype = x.dtype();
    module::linear(x, weight.cast(dtype), Some(bias.cast(dtype)))
}

fn then<const D: usize>(x: Tensor<D>, then: Activation) -> Tensor<D> {
    if kernels::take(&x) { kernels::then(x, then) } else { plain_then(x, then) }
}

pub(super) fn plain_then<const D: usize>(x: Tensor<D>, then: Activation) -> Tensor<D> {
    match then {
        Activation::Gelu => activation::gelu(x),
        Activation::Silu => activation::silu(x),
    }
}

pub(super) fn plain_norm<const D: usize>(x: Tensor<D>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<D> {
    module::layer_norm(x, scale, Some(shift), NORM_EPSILON.into())
}

/// Linear, then exact (erf) GELU.
pub fn linear_gelu<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    then(layer.forward(x), Activation::Gelu)
}

/// Linear, then `SiLU`.
pub fn linear_silu<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    then(layer.forward(x), Activation::Silu)
}

/// `SiLU` of `[rows, width]`.
pub fn silu(x: Tensor<2>) -> Tensor<2> {
    then(x, Activation::Silu)
}

/// `norm(x) * (1 + scale) + shift`, each `[rows, width]`.
pub fn norm_modulate(norm: &LayerNorm, x: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    modulate(x, [norm.weight.val(), norm.bias.val()], [shift, scale])
}

/// As [`norm_modulate`], for a norm without parameters.
pub fn bare_norm_modulate(x: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    let (width, device) = (x.dims()[1], x.device());
    modulate(x, [Tensor::ones([width], &device), Tensor::zeros([width], &device)], [shift, scale])
}

fn modulate(x: Tensor<2>, norm: [Tensor<1>; 2], modulation: [Tensor<2>; 2]) -> Tensor<2> {
    let kernel = if kernels::take(&x) { kernels::modulated_norm } else { plain_modulated_norm };
    kernel(x, norm, modulation)
}

pub(super) fn plain_modulated_norm(x: Tensor<2>, norm: [Tensor<1>; 2], [shift, scale]: [Tensor<2>; 2]) -> Tensor<2> {
    let [norm_scale, norm_shift] = norm;
    plain_norm(x, norm_scale, norm_shift) * (scale + 1.0) + shift
}

/// `x + gate * y`, each `[rows, width]`.
pub fn add_gated(x: Tensor<2>, gate: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    if kernels::take(&x) { kernels::gate(x, gate, y) } else { plain_gate(x, gate, y) }
}

pub(super) fn plain_gate(x: Tensor<2>, gate: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    x + gate * y
}

/// Attention within `[batch, seq, 3 width]`, queries, keys and values of `heads` heads side by side: `[batch, seq,
/// width]`. While gradients are tracked, a share `p` of the weights is dropped. `watch` receives the attention weights.
pub fn self_attention(qkv: Tensor<3>, heads: usize, p: f64, watch: Option<&mut Vec<Tensor<4>>>) -> Tensor<3> {
    let dropped = p > 0.0 && qkv.device().is_autodiff();
    if kernels::take(&qkv) && !dropped && watch.is_none() {
        return kernels::attention(qkv, heads);
    }
    plain_self_attention(qkv, heads, p, watch)
}

pub(super) fn plain_self_attention(
    qkv: Tensor<3>,
    heads: usize,
    p: f64,
    watch: Option<&mut Vec<Tensor<4>>>,
) -> Tensor<3> {
    let [batch, seq, three] = qkv.dims();
    let width = three / 3;
    let qkv = qkv.reshape([batch, seq, 3, heads, width / heads]);
    let [q, k, v] = [0, 1, 2].map(|i| {
        let part: Tensor<4> = qkv.clone().narrow(2, i, 1).squeeze_dim(2);
        part.swap_dims(1, 2)
    });
    if let Some(seen) = watch {
        seen.push(attention_weights(q.clone(), k.clone()));
    }
    attention(q, k, v, p).swap_dims(1, 2).reshape([batch, seq, width])
}

/// `softmax(q k^T / sqrt(d)) v`, every tensor `[batch, heads, seq, d]`. While gradients are tracked, a share `p` of the
/// weights is dropped.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, p: f64) -> Tensor<4> {
    if p > 0.0 && q.device().is_autodiff() {
        return dropout(attention_weights(q, k), p).matmul(v);
    }
    module::attention(q, k, v, None, None, AttentionModuleOptions::default())
}

/// While gradients are tracked, drops a share `p` of the numbers and scales up the others; otherwise does nothing.
pub fn dropout<const D: usize>(x: Tensor<D>, p: f64) -> Tensor<D> {
    if p > 0.0 { DropoutConfig::new(p).init().forward(x) } else { x }
}

/// `softmax(q k^T / sqrt(d))`, `[batch, heads, seq, seq]`: the weight of each key's value for each query. For display
/// only; [`attention`] does not store them.
pub fn attention_weights(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
    let scale = (q.dims()[3] as f64).sqrt();
    activation::softmax(q.matmul(k.swap_dims(2, 3)) / scale, 3)
}
