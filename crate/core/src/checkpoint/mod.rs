//! Named tensors, as read from or written to a file; names are the official checkpoint's own.
//! A missing, misshapen, left-over or non-finite tensor is an error that names it.

mod error;
mod safetensors;
mod source;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

pub use self::error::CheckpointError;
#[cfg(not(target_family = "wasm"))]
pub use self::safetensors::DiskFile;
pub use self::safetensors::{ByteSource, Precision, Safetensors, read_safetensors, write_safetensors};
pub use self::source::TensorSource;
pub use self::view::{Dtype, TensorInfo, TensorView};

/// One tensor on the host, row-major f32.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// Elements, last dimension fastest.
    pub data: Vec<f32>,
}

/// Whether AdamW decays a parameter: not biases, norms and other 1-D ones, and not the head. The official `add_weight_decay`.
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
