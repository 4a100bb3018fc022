//! Named tensors on the host, as read from or written to a file; names are the official checkpoint's own.
//! Reading is checking: a missing, misshapen, left-over or non-finite tensor is an error that names it.

mod pickle;
mod pth;
mod safetensors;

use std::collections::BTreeMap;

pub use self::pickle::PickleError;
pub use self::pth::{Moment, Weights, is_pth, read_pth};
pub use self::safetensors::{Precision, read_safetensors, write_safetensors};

/// One tensor on the host, row-major f32.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// Elements, last dimension fastest.
    pub data: Vec<f32>,
}

/// Whether AdamW decays a parameter: not 1-D ones (biases and norms), nor the head. The official `add_weight_decay`.
pub fn decays(name: &str, dimensions: usize) -> bool {
    dimensions > 1 && !name.starts_with("diffloss.")
}

/// Named tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The tensors, by official name.
    pub tensors: BTreeMap<String, HostTensor>,
}

impl Checkpoint {
    /// Reads a weights file of either kind, told apart by how it starts: a checkpoint of `torch.save`, of which
    /// `weights` says which set to take, or a safetensors file, which holds one set.
    ///
    /// # Errors
    /// As [`read_pth`] and [`read_safetensors`].
    pub fn read(bytes: &[u8], weights: Weights) -> Result<Self, CheckpointError> {
        if pth::is_pth(bytes) { read_pth(bytes, weights) } else { read_safetensors(bytes) }
    }

    /// The checkpoint without the tensors whose name starts with `prefix`.
    #[must_use]
    pub fn without_prefix(mut self, prefix: &str) -> Self {
        self.tensors.retain(|name, _| !name.starts_with(prefix));
        self
    }

    /// The tensor `name`, whatever its shape.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`].
    pub fn get(&self, name: &str) -> Result<&HostTensor, CheckpointError> {
        self.tensors.get(name).ok_or_else(|| CheckpointError::Missing { name: name.to_owned() })
    }

    /// The tensor `name`, which must have `shape` and hold finite numbers.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], [`CheckpointError::Shape`] or [`CheckpointError::NotFinite`].
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<&HostTensor, CheckpointError> {
        let tensor = self.get(name)?;
        if tensor.shape != shape {
            return Err(CheckpointError::Shape {
                name: name.to_owned(),
                found: tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        if let Some(at) = tensor.data.iter().position(|value| !value.is_finite()) {
            return Err(CheckpointError::NotFinite { name: name.to_owned(), at, value: tensor.data[at] });
        }
        Ok(tensor)
    }
}

/// Why weights cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is cut short or is no safetensors file.
    #[error("the weights are not a whole safetensors file ({0}). Download or export them again")]
    Safetensors(#[from] ::safetensors::SafeTensorError),
    /// The file is cut short or is no zip archive.
    #[error("the checkpoint is not a whole zip archive ({0}). Download it again, or save it again with torch.save")]
    Zip(#[from] zip::result::ZipError),
    /// The file is in the format of `PyTorch` before 1.6.
    #[error(
        "the checkpoint is in the format of PyTorch before 1.6. Load it in a newer one and save it with torch.save"
    )]
    OldPth,
    /// The archive is not one of `torch.save`, or a record of it is wrong.
    #[error("{record} in the checkpoint: {problem}. Download it again, or save it again with torch.save")]
    Record {
        /// The record's name in the archive.
        record: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The pickle in the archive is damaged or is not that of a plain checkpoint.
    #[error(
        "data.pkl in the checkpoint: {0}. marscope parses a pickle and never runs it, so it reads tensors and plain \
         settings only; save the state dict alone with torch.save, or as safetensors"
    )]
    Pickle(#[from] PickleError),
    /// The checkpoint does not hold the weights that were asked for.
    #[error("the checkpoint has no '{wanted}'; it has {found}. Ask for other weights of it, or for another file")]
    NoWeights {
        /// The key that holds such weights.
        wanted: &'static str,
        /// The keys that are there.
        found: String,
    },
    /// A tensor does not fit the storage it is a view of.
    #[error(
        "tensor '{name}' does not fit its storage ({problem}): the checkpoint is damaged. Download or save it again"
    )]
    View {
        /// Its official name.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// The tensors have more numbers than the file has bytes.
    #[error(
        "the tensors of the checkpoint, '{name}' among them, have more numbers than the file has bytes ({bytes}): they \
         share storages beyond reason, or the file is damaged"
    )]
    Inflated {
        /// The tensor at which it shows.
        name: String,
        /// Bytes of the file.
        bytes: usize,
    },
    /// A tensor is not in the file.
    #[error("the weights have no tensor '{name}'. They belong to another model, or to another config.json")]
    Missing {
        /// Its official name.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor '{name}' has shape {found:?}, but config.json asks for {expected:?}")]
    Shape {
        /// Its official name.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// From the configuration.
        expected: Vec<usize>,
    },
    /// A tensor holds NaN or an infinity.
    #[error(
        "tensor '{name}' holds {value} at element {at}: the training it comes from went wrong, or the file is damaged"
    )]
    NotFinite {
        /// Its official name.
        name: String,
        /// Index of the first such element.
        at: usize,
        /// The value there.
        value: f32,
    },
    /// A tensor is stored in a type that is not a float.
    #[error("tensor '{name}' is stored as {dtype}; marscope reads f32, f16, bf16 and f64")]
    Dtype {
        /// Its official name.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The file holds tensors that the model has no place for.
    #[error("the weights hold {count} tensors that config.json has no place for, the first is '{first}'")]
    LeftOver {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
}
