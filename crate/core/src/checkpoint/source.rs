//! Where tensors come from, one at a time: a checkpoint in memory, or a file that is read in parts.
//! An engine that loads from a source needs its own memory and that of the largest tensor, never the file's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Checkpoint, CheckpointError, Dtype, HostTensor, TensorInfo, TensorView};

/// Named tensors that can be read one by one.
pub trait TensorSource {
    /// Every tensor, by name.
    fn infos(&self) -> Vec<TensorInfo<'_>>;

    /// The tensor `name`, whatever its shape.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`], or [`CheckpointError::Read`] where its bytes cannot be read.
    fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError>;
}

impl TensorSource for Checkpoint {
    fn infos(&self) -> Vec<TensorInfo<'_>> {
        self.tensors.iter().map(|(name, tensor)| info(name, tensor)).collect()
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        let missing = || CheckpointError::Missing { name: name.to_owned() };
        let (name, tensor) = self.tensors.get_key_value(name).ok_or_else(missing)?;
        let bytes = if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(&tensor.data))
        } else {
            Cow::Owned(tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect())
        };
        Ok(TensorView { info: info(name, tensor), bytes })
    }
}

fn info<'a>(name: &'a str, tensor: &'a HostTensor) -> TensorInfo<'a> {
    TensorInfo { name, dtype: Dtype::F32, shape: &tensor.shape }
}

impl Checkpoint {
    /// All tensors of `source`, as f32.
    ///
    /// # Errors
    /// [`CheckpointError::Read`].
    pub fn read(source: &dyn TensorSource) -> Result<Self, CheckpointError> {
        let mut tensors = BTreeMap::new();
        for TensorInfo { name, shape, .. } in source.infos() {
            let tensor = HostTensor { shape: shape.to_vec(), data: source.tensor(name)?.to_f32() };
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(Self { tensors })
    }
}
