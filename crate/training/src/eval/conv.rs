//! A convolution with pooling, of which the small networks of the evaluation are made.
//! Not from the paper, which uses Inception.

use burn::module::{Module, Param};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation, module};

use crate::model::{Init, Params};
use marscope_core::checkpoint::CheckpointError;

/// A 3x3 convolution that keeps the sides, pooling that halves them, and `ReLU`.
#[derive(Module, Debug)]
pub(super) struct Conv {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Conv {
    /// The convolution `name`, from `d_in` to `d_out` channels.
    pub fn new(params: &mut Params, name: &str, [d_in, d_out]: [usize; 2]) -> Result<Self, CheckpointError> {
        // He's initialisation: keeps the variance through the `ReLU` that follows.
        let start = Init::Normal((2.0 / (9 * d_in) as f64).sqrt());
        Ok(Self {
            weight: params.tensor(&format!("{name}.weight"), [d_out, d_in, 3, 3], start)?,
            bias: params.tensor(&format!("{name}.bias"), [d_out], Init::Constant(0.0))?,
        })
    }

    /// `[n, in, side, side]` to `[n, out, side / 2, side / 2]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let same = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let x = module::conv2d(x, self.weight.val(), Some(self.bias.val()), same);
        activation::relu(module::max_pool2d(x, MaxPoolOptions::new([2, 2])))
    }
}
