//! The safetensors format in and out, in f32 or rounded to f16.
//! Values are widened to f32 on the way in; integers are refused, since no parameter is one.

use std::collections::BTreeMap;

use ::safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, CheckpointError, HostTensor};

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as computed.
    F32,
    /// 16 bits, rounded to nearest even: half the bytes.
    F16,
}

/// Reads every tensor of a safetensors file, but for batch norm's `num_batches_tracked`: it counts steps and is no
/// parameter.
///
/// # Errors
/// [`CheckpointError::Safetensors`] when the bytes are not a whole file, [`CheckpointError::Dtype`] for other types.
pub fn read_safetensors(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked")) {
        let raw = view.data();
        let data = match view.dtype() {
            Dtype::F32 => raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => raw.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => raw.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::F64 => raw
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
            other => return Err(CheckpointError::Dtype { name: name.to_owned(), dtype: format!("{other:?}") }),
        };
        tensors.insert(name.to_owned(), HostTensor { shape: view.shape().to_vec(), data });
    }
    Ok(Checkpoint { tensors })
}

/// The bytes of a safetensors file with every tensor of `checkpoint`.
///
/// # Errors
/// [`CheckpointError::Safetensors`] when a shape does not fit its data.
pub fn write_safetensors(checkpoint: &Checkpoint, precision: Precision) -> Result<Vec<u8>, CheckpointError> {
    let stored: Vec<(&String, &[usize], Vec<u8>)> = checkpoint
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = match precision {
                Precision::F32 => tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect(),
                Precision::F16 => tensor.data.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
            };
            (name, tensor.shape.as_slice(), bytes)
        })
        .collect();
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(dtype, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, CheckpointError>>()?;
    Ok(::safetensors::serialize(views, None)?)
}
