//! Checkpoints of `PyTorch` (`.pth`, `.ckpt`): a zip archive of a pickle of what was saved and a record per storage.
//! Sizes in the file are checked against what is there before anything is allocated for them.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::rc::Rc;

use zip::{CompressionMethod, ZipArchive};

use super::WeightsError;
use super::pickle::{self, Dtype, Object, Pickle, Storage, Tensor};
use marscope_core::checkpoint::{Checkpoint, CheckpointError, HostTensor, decays};

/// A set of weights in a training checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The trained weights: `model` (MAR), `state_dict` (latent diffusion) or a bare state dict.
    Raw,
    /// Their moving average, which gives better images: `model_ema`.
    Ema,
    /// A part of the optimizer's state, by parameter name.
    Optimizer(Moment),
}

/// AdamW's state of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Running mean of the gradient.
    First,
    /// Running mean of its square.
    Second,
    /// Steps made, a scalar.
    Steps,
}

/// The first bytes of a file in `PyTorch`'s format before 1.6: a pickled magic number.
const OLD_MAGIC: [u8; 14] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether a file starts like one of `torch.save`.
pub fn is_pth(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&OLD_MAGIC)
}

/// Reads one set of weights of a checkpoint that `torch.save` wrote, under the names in its state dict.
///
/// Batch norm's `num_batches_tracked` (in the discriminator that an autoencoder's file may carry) is left out: it
/// counts steps and is no parameter.
///
/// # Errors
/// [`WeightsError::Zip`], [`WeightsError::OldPth`], [`WeightsError::Record`] and [`WeightsError::Pickle`]
/// when the file is damaged or of another kind; [`WeightsError::NoWeights`] when it has no such weights;
/// [`WeightsError::View`], [`CheckpointError::Dtype`] or [`WeightsError::Inflated`] for an invalid tensor.
pub fn read_pth(bytes: &[u8], weights: Weights) -> Result<Checkpoint, WeightsError> {
    if bytes.starts_with(&OLD_MAGIC) {
        return Err(WeightsError::OldPth);
    }
    let mut archive = Archive::open(bytes)?;
    let pickle = pickle::parse(&archive.record("data.pkl")?)?;
    let views = views(&pickle, weights)?;

    let mut numbers = 0usize;
    let mut by_storage = HashMap::<Rc<str>, Vec<(&str, &Tensor)>>::new();
    for (name, view) in views {
        numbers = numbers.saturating_add(extent(name, view)?);
        if numbers > bytes.len() {
            return Err(WeightsError::Inflated { name: name.to_owned(), bytes: bytes.len() });
        }
        by_storage.entry(view.storage.key.clone()).or_default().push((name, view));
    }
    // One storage at a time, so that memory holds the result and one storage.
    let mut tensors = BTreeMap::new();
    for (key, views) in by_storage {
        let record = format!("data/{key}");
        let stored = archive.record(&record)?;
        for (name, view) in views {
            tensors.insert(name.to_owned(), read_view(name, view, &record, &stored)?);
        }
    }
    Ok(Checkpoint { tensors })
}

/// The archive of a checkpoint.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that further records may take. Without this limit, overlapping records could claim the same bytes
    /// repeatedly.
    left: u64,
    /// The folder of all records, with its slash; named after the saved file.
    folder: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, WeightsError> {
        let zip = ZipArchive::new(Cursor::new(bytes))?;
        let names = zip.file_names().flatten();
        let in_folder = |folder: &String| folder.is_empty() || folder.ends_with('/');
        let folder = names.filter_map(|name| name.strip_suffix("data.pkl").map(str::to_owned)).find(in_folder);
        let folder = folder.ok_or_else(|| record_error("data.pkl", "is missing, so torch.save did not write this"))?;
        let mut archive = Self { zip, left: bytes.len() as u64, folder };
        // PyTorch before 2.1 wrote no such record; its numbers are little-endian on nearly every machine.
        let has_order = archive.zip.index_for_name(&format!("{}byteorder", archive.folder)).is_some();
        if has_order && archive.record("byteorder")? != b"little" {
            return Err(record_error("byteorder", "is not 'little'; only little-endian numbers can be read"));
        }
        Ok(archive)
    }

    /// The bytes of a record, after checking its checksum.
    fn record(&mut self, name: &str) -> Result<Vec<u8>, WeightsError> {
        let file = self.zip.by_name(&format!("{}{name}", self.folder));
        let mut file = file.map_err(|error| record_error(name, &error.to_string()))?;
        // torch.save does not compress, so all records together are smaller than the file.
        if file.compression() != CompressionMethod::Stored {
            return Err(record_error(name, "is compressed, so torch.save did not write this"));
        }
        let size = file.size();
        self.left =
            self.left.checked_sub(size).ok_or_else(|| record_error(name, "claims more bytes than there are"))?;
        let mut content = Vec::with_capacity(size as usize);
        file.read_to_end(&mut content).map_err(|error| record_error(name, &error.to_string()))?;
        Ok(content)
    }
}

fn record_error(record: &str, problem: &str) -> WeightsError {
    WeightsError::Record { record: record.to_owned(), problem: problem.to_owned() }
}

/// The tensors of one set of weights, by name.
fn views(pickle: &Pickle, weights: Weights) -> Result<BTreeMap<&str, &Tensor>, WeightsError> {
    let find = |wanted: &str| pickle.find(pickle.root, wanted);
    let raw = find("model").or_else(|| find("state_dict")).unwrap_or(pickle.root);
    let (wanted, found) = match weights {
        Weights::Raw => ("model", tensors(pickle, raw).collect()),
        Weights::Ema => {
            ("model_ema", find("model_ema").map(|dict| tensors(pickle, dict).collect()).unwrap_or_default())
        }
        Weights::Optimizer(moment) => ("optimizer", optimizer(pickle, raw, moment).unwrap_or_default()),
    };
    let found: BTreeMap<&str, &Tensor> = found;
    if found.is_empty() {
        let keys: Vec<_> = pickle.entries(pickle.root).take(8).map(|(key, _)| format!("'{key}'")).collect();
        let found = if keys.is_empty() { "no names at all".to_owned() } else { keys.join(", ") };
        return Err(WeightsError::NoWeights { wanted, found });
    }
    Ok(found)
}

/// The tensors of a state dict, in its order.
fn tensors(pickle: &Pickle, dict: pickle::Id) -> impl Iterator<Item = (&str, &Tensor)> {
    let tensor = |(name, id)| if let Object::Tensor(tensor) = pickle.get(id) { Some((name, &**tensor)) } else { None };
    pickle.entries(dict).filter_map(tensor).filter(|(name, _)| !name.ends_with("num_batches_tracked"))
}

/// A part of the optimizer's state. It identifies parameters by number, counted over the two groups that the official
/// `add_weight_decay` makes of the state dict `raw`: first those without weight decay.
fn optimizer(pickle: &Pickle, raw: pickle::Id, moment: Moment) -> Option<BTreeMap<&str, &Tensor>> {
    let state = pickle.find(pickle.find(pickle.root, "optimizer")?, "state")?;
    let (decayed, plain): (Vec<_>, Vec<_>) =
        tensors(pickle, raw).partition(|(name, tensor)| decays(name, tensor.shape.len()));
    let key = match moment {
        Moment::First => "exp_avg",
        Moment::Second => "exp_avg_sq",
        Moment::Steps => "step",
    };
    let of = |(number, (name, _))| {
        let kept = pickle.find(pickle.at(state, number as i64)?, key)?;
        if let Object::Tensor(tensor) = pickle.get(kept) { Some((name, &**tensor)) } else { None }
    };
    plain.into_iter().chain(decayed).enumerate().map(of).collect()
}

/// The count of numbers in a view, after checking that its storage has all of them.
fn extent(name: &str, view: &Tensor) -> Result<usize, WeightsError> {
    let broken = |problem: String| WeightsError::View { name: name.to_owned(), problem };
    let Tensor { storage, offset, shape, stride } = view;
    if shape.len() != stride.len() {
        return Err(broken(format!("shape {shape:?} with strides {stride:?}")));
    }
    if [*offset, storage.count].iter().chain(shape).chain(stride).any(|&number| usize::try_from(number).is_err()) {
        let problem = format!("shape {shape:?}, strides {stride:?} and offset {offset} must fit a size in memory");
        return Err(broken(problem));
    }
    let too_large = || broken(format!("shape {shape:?} with strides {stride:?} is too large"));
    let mut numbers = 1i64;
    let mut last = *offset;
    for (&size, &step) in shape.iter().zip(stride) {
        numbers = numbers.checked_mul(size).ok_or_else(too_large)?;
        let reach = (size - 1).max(0).checked_mul(step).ok_or_else(too_large)?;
        last = last.checked_add(reach).ok_or_else(too_large)?;
    }
    if numbers > 0 && last >= storage.count {
        return Err(broken(format!("it reaches number {last} of a storage of {}", storage.count)));
    }
    usize::try_from(numbers).map_err(|_| too_large())
}

/// Copies a view out of the bytes of its storage, row-major.
fn read_view(name: &str, view: &Tensor, record: &str, stored: &[u8]) -> Result<HostTensor, WeightsError> {
    let Storage { dtype, count, .. } = &view.storage;
    let (size, read): (usize, fn(&[u8]) -> f32) = match *dtype {
        Dtype::F16 => (2, |b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()),
        Dtype::Bf16 => (2, |b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()),
        Dtype::F32 => (4, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        Dtype::F64 => (8, |b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32),
        Dtype::Other(storage) => {
            return Err(CheckpointError::Dtype { name: name.to_owned(), dtype: storage.to_owned() }.into());
        }
    };
    if usize::try_from(*count).ok().and_then(|count| count.checked_mul(size)) != Some(stored.len()) {
        let problem = format!("has {} bytes, which is not {count} numbers of {size} bytes", stored.len());
        return Err(record_error(record, &problem));
    }
    // `extent` has checked that all of these fit usize and that every number lies within the storage.
    let shape: Vec<usize> = view.shape.iter().map(|&size| size as usize).collect();
    let stride: Vec<usize> = view.stride.iter().map(|&step| step as usize).collect();
    let numbers = shape.iter().product();
    let mut data = Vec::with_capacity(numbers);
    let mut place = vec![0; shape.len()];
    let mut at = view.offset as usize;
    while data.len() < numbers {
        data.push(read(&stored[at * size..]));
        for dimension in (0..shape.len()).rev() {
            place[dimension] += 1;
            at = at.wrapping_add(stride[dimension]);
            if place[dimension] < shape[dimension] {
                break;
            }
            at = at.wrapping_sub(stride[dimension].wrapping_mul(shape[dimension]));
            place[dimension] = 0;
        }
    }
    Ok(HostTensor { shape, data })
}
