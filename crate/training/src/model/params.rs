//! The source of parameters: a checkpoint, by official name, or the official initialisation.
//! Appendix B of the paper; Xavier-uniform linears, N(0, 0.02) embeddings, zero modulation and final layers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

use marscope_core::checkpoint::{Checkpoint, CheckpointError, HostTensor};
use marscope_core::random::{Philox, Stream};

/// How a parameter starts.
#[derive(Clone, Copy, Debug)]
pub enum Init {
    /// Uniform with variance 2 / (fan in + fan out); for linear weights.
    Xavier,
    /// Uniform with the bound `1 / sqrt(inputs)`; the default of torch's convolutions.
    Inputs(usize),
    /// Normal with this standard deviation.
    Normal(f64),
    /// All the same value.
    Constant(f32),
}

/// A parameter's official name and memory layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamName {
    /// Official name.
    pub official: String,
    /// Whether the tensor is stored as `[in, out]`, the transpose of the official `[out, in]`.
    pub transposed: bool,
}

/// The official name of every parameter of a model.
pub type Names = Arc<HashMap<ParamId, ParamName>>;

enum Source<'a> {
    Checkpoint { checkpoint: &'a Checkpoint, unused: BTreeSet<&'a str> },
    Random(Stream),
}

/// Provides parameters by official name while a model is built.
pub struct Params<'a> {
    source: Source<'a>,
    device: Device,
    names: HashMap<ParamId, ParamName>,
}

impl<'a> Params<'a> {
    /// Parameters of `checkpoint`, on `device`.
    pub fn load(checkpoint: &'a Checkpoint, device: &Device) -> Self {
        let unused = checkpoint.tensors.keys().map(String::as_str).collect();
        Self { source: Source::Checkpoint { checkpoint, unused }, device: device.clone(), names: HashMap::new() }
    }

    /// Freshly initialised parameters, determined by `seed`.
    pub fn init(seed: u64, device: &Device) -> Self {
        let stream = Philox::new(seed).stream(u32::MAX, u32::MAX);
        Self { source: Source::Random(stream), device: device.clone(), names: HashMap::new() }
    }

    /// The parameters' device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The parameter `name` of `shape`.
    ///
    /// # Errors
    /// As [`Checkpoint::expect`]; never when initialising.
    pub fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<D>>, CheckpointError> {
        let data = self.values(name, &shape, init)?;
        Ok(self.param(name, Tensor::from_data(TensorData::new(data, shape), &self.device), false))
    }

    /// A linear layer's weight: officially `[out, in]`, stored as `[in, out]`.
    ///
    /// # Errors
    /// As [`Self::tensor`].
    pub fn weight(
        &mut self,
        name: &str,
        [d_in, d_out]: [usize; 2],
        init: Init,
    ) -> Result<Param<Tensor<2>>, CheckpointError> {
        let official = self.values(name, &[d_out, d_in], init)?;
        let data = TensorData::new(transpose(&official, d_out, d_in), [d_in, d_out]);
        Ok(self.param(name, Tensor::from_data(data, &self.device), true))
    }

    /// The names of all parameters that were provided.
    ///
    /// # Errors
    /// [`CheckpointError::LeftOver`] when the checkpoint holds other tensors too.
    pub fn finish(self) -> Result<Names, CheckpointError> {
        if let Source::Checkpoint { unused, .. } = &self.source
            && let Some(first) = unused.first()
        {
            return Err(CheckpointError::LeftOver { count: unused.len(), first: (*first).to_owned() });
        }
        Ok(Arc::new(self.names))
    }

    fn param<const D: usize>(&mut self, name: &str, tensor: Tensor<D>, transposed: bool) -> Param<Tensor<D>> {
        let param = Param::from_tensor(tensor);
        self.names.insert(param.id, ParamName { official: name.to_owned(), transposed });
        param
    }

    fn values(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, CheckpointError> {
        match &mut self.source {
            Source::Checkpoint { checkpoint, unused } => {
                let tensor = checkpoint.expect(name, shape)?;
                unused.remove(name);
                Ok(tensor.data.clone())
            }
            Source::Random(stream) => {
                let count = shape.iter().product();
                Ok(match init {
                    Init::Constant(value) => vec![value; count],
                    Init::Normal(std) => (0..count).map(|_| (stream.normal() * std) as f32).collect(),
                    Init::Xavier => within((6.0 / shape.iter().sum::<usize>() as f64).sqrt(), stream, count),
                    Init::Inputs(inputs) => within((1.0 / inputs as f64).sqrt(), stream, count),
                })
            }
        }
    }
}

/// `count` uniform numbers between `-bound` and `bound`.
fn within(bound: f64, stream: &mut Stream, count: usize) -> Vec<f32> {
    (0..count).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect()
}

/// Converts a tensor from the model's layout to the official one.
pub fn to_official(name: &ParamName, mut held: HostTensor) -> HostTensor {
    if name.transposed {
        held.data = transpose(&held.data, held.shape[0], held.shape[1]);
        held.shape.reverse();
    }
    held
}

/// Converts the numbers of a tensor from the official layout to the model's.
pub fn from_official(name: &ParamName, official: &HostTensor) -> Vec<f32> {
    if name.transposed {
        transpose(&official.data, official.shape[0], official.shape[1])
    } else {
        official.data.clone()
    }
}

/// `[rows, columns]` to `[columns, rows]`, row-major.
fn transpose(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| data[r * columns + c])).collect()
}
