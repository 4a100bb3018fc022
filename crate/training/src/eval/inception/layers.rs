//! The network's layers: a convolution with its batch norm folded in, and the poolings inside blocks.
//! Weights are read by their published names, and all of them must be used.

use std::collections::BTreeSet;

use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation, module};

use marscope_core::checkpoint::{Checkpoint, CheckpointError};

/// Epsilon of every batch norm.
const NORM_EPSILON: f64 = 1e-3;

/// Provides tensors by published name while the network is built.
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    unused: BTreeSet<&'a str>,
    device: &'a Device,
}

impl<'a> Loader<'a> {
    /// Loads the tensors of `checkpoint` onto `device`.
    pub fn new(checkpoint: &'a Checkpoint, device: &'a Device) -> Self {
        Self { checkpoint, unused: checkpoint.tensors.keys().map(String::as_str).collect(), device }
    }

    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<&'a [f32], CheckpointError> {
        let tensor = self.checkpoint.expect(name, shape)?;
        self.unused.remove(name);
        Ok(&tensor.data)
    }

    fn upload<const D: usize>(&self, numbers: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(numbers, shape), self.device)
    }

    /// The tensor `name` of `shape`.
    ///
    /// # Errors
    /// As [`Checkpoint::expect`].
    pub fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, CheckpointError> {
        let numbers = self.numbers(name, &shape)?.to_vec();
        Ok(self.upload(numbers, shape))
    }

    /// Checks that every tensor was used.
    ///
    /// # Errors
    /// [`CheckpointError::LeftOver`].
    pub fn finish(self) -> Result<(), CheckpointError> {
        match self.unused.first() {
            None => Ok(()),
            Some(first) => Err(CheckpointError::LeftOver { count: self.unused.len(), first: (*first).to_owned() }),
        }
    }
}

/// A convolution without bias, batch norm, `ReLU`.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    options: ConvOptions<2>,
}

impl Conv {
    /// The convolution `name` with a kernel of `[height, width]`; `around` pads every side with zeros, so that stride 1
    /// keeps the size.
    ///
    /// # Errors
    /// As [`Checkpoint::expect`].
    pub fn new(
        loader: &mut Loader,
        name: &str,
        [c_in, c_out]: [usize; 2],
        kernel: [usize; 2],
        stride: usize,
        around: bool,
    ) -> Result<Self, CheckpointError> {
        let shape = [c_out, c_in, kernel[0], kernel[1]];
        let weight = loader.numbers(&format!("{name}.conv.weight"), &shape)?;
        let mut norm = |part: &str| loader.numbers(&format!("{name}.bn.{part}"), &[c_out]);
        let (scale, shift) = (norm("weight")?, norm("bias")?);
        let (mean, variance) = (norm("running_mean")?, norm("running_var")?);

        // scale * (conv(x) - mean) / sqrt(variance + epsilon) + shift is a convolution with bias.
        let factor = |c: usize| f64::from(scale[c]) / (f64::from(variance[c]) + NORM_EPSILON).sqrt();
        let each = c_in * kernel[0] * kernel[1];
        let folded = weight.iter().enumerate().map(|(i, &w)| (f64::from(w) * factor(i / each)) as f32).collect();
        let bias = (0..c_out).map(|c| (f64::from(shift[c]) - f64::from(mean[c]) * factor(c)) as f32).collect();
        let padding = if around { kernel.map(|size| size / 2) } else { [0, 0] };
        Ok(Self {
            weight: loader.upload(folded, shape),
            bias: loader.upload(bias, [c_out]),
            options: ConvOptions::new([stride; 2], padding, [1, 1], 1),
        })
    }

    /// `[n, c_in, h, w]` to `[n, c_out, h', w']`, none below 0.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        activation::relu(module::conv2d(x, self.weight.clone(), Some(self.bias.clone()), self.options.clone()))
    }
}

/// 3x3 average pooling that keeps the size; positions outside are not counted, as in TensorFlow.
pub fn average(x: Tensor<4>) -> Tensor<4> {
    let options = AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]).with_count_include_pad(false);
    module::avg_pool2d(x, options)
}

/// 3x3 max pooling that keeps the size.
pub fn maximum(x: Tensor<4>) -> Tensor<4> {
    module::max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]))
}

/// 3x3 max pooling with stride 2, which halves the sides.
pub fn halve(x: Tensor<4>) -> Tensor<4> {
    module::max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2]))
}
