//! Reads checkpoints of `PyTorch` (`.pth`, `.ckpt`), for instance official ones, as tensors; never executes them.
//! A small machine that accepts only plain data parses the pickle.

mod pickle;
mod pth;

use std::path::Path;

use marscope_core::checkpoint::{
    ByteSource, Checkpoint, CheckpointError, DiskFile, Safetensors, TensorSource, read_safetensors,
};

pub use self::pickle::PickleError;
pub use self::pth::{Moment, Weights, is_pth, read_pth};

/// Reads a weights file of either kind, told apart by how it starts: a checkpoint of `torch.save`, of which `weights`
/// says which set to take, or a safetensors file, which holds one set.
///
/// # Errors
/// As [`read_pth`] and [`read_safetensors`].
pub fn read_weights(bytes: &[u8], weights: Weights) -> Result<Checkpoint, WeightsError> {
    if is_pth(bytes) { read_pth(bytes, weights) } else { Ok(read_safetensors(bytes)?) }
}

/// Opens the weights file at `path`, of either kind. The tensors of a safetensors file are read when they are asked for.
///
/// # Errors
/// As [`read_weights`], or [`CheckpointError::Read`].
pub fn open_weights(path: &Path, weights: Weights) -> Result<Box<dyn TensorSource>, WeightsError> {
    let read = |error| WeightsError::Checkpoint(CheckpointError::Read(error));
    let file = DiskFile::open(path).map_err(read)?;
    let start = file.read(0..file.size().min(16)).map_err(read)?;
    if is_pth(&start) {
        return Ok(Box::new(read_pth(&std::fs::read(path).map_err(read)?, weights)?));
    }
    Ok(Box::new(Safetensors::new(file)?))
}

/// Why a weights file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A tensor, or a safetensors file.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
        "data.pkl in the checkpoint: {0}. marscope parses a pickle without running it, so it reads only tensors and \
         plain settings: save only the state dict with torch.save, or use safetensors"
    )]
    Pickle(#[from] PickleError),
    /// The checkpoint does not hold the weights that were asked for.
    #[error("the checkpoint has no '{wanted}'; it has {found}. Choose other weights of it, or another file")]
    NoWeights {
        /// The key that holds such weights.
        wanted: &'static str,
        /// The keys that are there.
        found: String,
    },
    /// A tensor does not fit its storage.
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
        "the tensors of the checkpoint, '{name}' among them, have more numbers than the file has bytes ({bytes}): the \
         file is damaged, or its tensors share too much storage"
    )]
    Inflated {
        /// The tensor at which it shows.
        name: String,
        /// Bytes of the file.
        bytes: usize,
    },
}
