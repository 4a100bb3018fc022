//! The safetensors format: a header of names, types, shapes and offsets, then the numbers.
//! Tensors are read one by one, from bytes in memory or in ranges; written in f32 or rounded to f16.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use ::safetensors::SafeTensorError;
use ::safetensors::tensor::{Dtype as StoredDtype, Metadata, TensorView as StoredView};
use serde::{Deserialize, Serialize};

use super::{Checkpoint, CheckpointError, Dtype, TensorInfo, TensorSource, TensorView};

/// Bytes at the start of a file that say how long its header is.
const LENGTH_BYTES: u64 = 8;
/// The longest header; that of MAR-H has 150 KB.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as computed.
    F32,
    /// 16 bits, rounded to nearest even: half the bytes.
    F16,
}

/// The bytes of a file, read in ranges.
pub trait ByteSource {
    /// Bytes there are.
    fn size(&self) -> u64;

    /// The bytes of `range`, which is within [`Self::size`].
    ///
    /// # Errors
    /// What the disk or the network says.
    fn read(&self, range: Range<u64>) -> std::io::Result<Cow<'_, [u8]>>;
}

impl ByteSource for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, range: Range<u64>) -> std::io::Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self[range.start as usize..range.end as usize]))
    }
}

/// A file on disk.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug)]
pub struct DiskFile {
    file: std::sync::Mutex<std::fs::File>,
    size: u64,
}

#[cfg(not(target_family = "wasm"))]
impl DiskFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When it does not exist or may not be read.
    pub fn open(path: &std::path::Path) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        Ok(Self { size: file.metadata()?.len(), file: file.into() })
    }
}

#[cfg(not(target_family = "wasm"))]
impl ByteSource for DiskFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> std::io::Result<Cow<'_, [u8]>> {
        use std::io::{Read, Seek, SeekFrom};

        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A safetensors file whose header is read.
#[derive(Debug)]
pub struct Safetensors<B> {
    bytes: B,
    tensors: BTreeMap<String, Entry>,
}

/// A tensor of the header.
#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<u64>,
}

impl<B: ByteSource> Safetensors<B> {
    /// Reads and checks the header of the file in `bytes`. Batch norm's `num_batches_tracked` is left out: it counts steps
    /// and is no parameter.
    ///
    /// # Errors
    /// [`CheckpointError::Safetensors`] when this is no whole file, [`CheckpointError::Dtype`] for a tensor that holds no
    /// floats, [`CheckpointError::Read`].
    pub fn new(bytes: B) -> Result<Self, CheckpointError> {
        let size = bytes.size();
        if size < LENGTH_BYTES {
            return Err(SafeTensorError::HeaderTooSmall.into());
        }
        let mut length = [0; LENGTH_BYTES as usize];
        length.copy_from_slice(&bytes.read(0..LENGTH_BYTES)?);
        let length = u64::from_le_bytes(length);
        if length > MOST_HEADER_BYTES {
            return Err(SafeTensorError::HeaderTooLarge.into());
        }
        let start = LENGTH_BYTES + length;
        if start > size {
            return Err(SafeTensorError::InvalidHeaderLength.into());
        }
        let header: Metadata = serde_json::from_slice(&bytes.read(LENGTH_BYTES..start)?)
            .map_err(SafeTensorError::InvalidHeaderDeserialization)?;
        if start + header.data_len() as u64 != size {
            return Err(SafeTensorError::MetadataIncompleteBuffer.into());
        }
        let mut tensors = BTreeMap::new();
        for (name, info) in header.tensors() {
            if name.ends_with("num_batches_tracked") {
                continue;
            }
            let dtype = match info.dtype {
                StoredDtype::F32 => Dtype::F32,
                StoredDtype::F16 => Dtype::F16,
                StoredDtype::BF16 => Dtype::BF16,
                StoredDtype::F64 => Dtype::F64,
                other => return Err(CheckpointError::Dtype { name, dtype: format!("{other:?}") }),
            };
            let (from, to) = info.data_offsets;
            let range = start + from as u64..start + to as u64;
            tensors.insert(name, Entry { dtype, shape: info.shape.clone(), range });
        }
        Ok(Self { bytes, tensors })
    }
}

#[cfg(not(target_family = "wasm"))]
impl Safetensors<DiskFile> {
    /// The file at `path`, whose tensors are read when they are asked for.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn open(path: &std::path::Path) -> Result<Self, CheckpointError> {
        Self::new(DiskFile::open(path)?)
    }
}

impl<B: ByteSource> TensorSource for Safetensors<B> {
    fn infos(&self) -> Vec<TensorInfo<'_>> {
        self.tensors
            .iter()
            .map(|(name, Entry { dtype, shape, .. })| TensorInfo { name, dtype: *dtype, shape })
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        let missing = || CheckpointError::Missing { name: name.to_owned() };
        let (name, Entry { dtype, shape, range }) = self.tensors.get_key_value(name).ok_or_else(missing)?;
        let bytes = self.bytes.read(range.clone())?;
        Ok(TensorView { info: TensorInfo { name, dtype: *dtype, shape }, bytes })
    }
}

/// Every tensor of the safetensors file `bytes`, as f32.
///
/// # Errors
/// As [`Safetensors::new`].
pub fn read_safetensors(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::read(&Safetensors::new(bytes)?)
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
        Precision::F32 => StoredDtype::F32,
        Precision::F16 => StoredDtype::F16,
    };
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, StoredView::new(dtype, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, CheckpointError>>()?;
    Ok(::safetensors::serialize(views, None)?)
}
