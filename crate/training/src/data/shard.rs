//! One file of cached latents: a safetensors file of the moments of every image's latent, and the labels.
//! A read seeks to one row; the file is never read as a whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, serialize};
use serde::{Deserialize, Serialize};

use super::{Bad, DataError, Split};
use marscope_core::checkpoint::Precision;

/// The metadata key of [`Contents`] in the header.
const KEY: &str = "marscope";
/// Largest accepted header; labels are not part of it, so real headers are far smaller.
const MAX_HEADER: u64 = 16 << 20;

/// The properties that all shards of one cache share, and in which caches differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Training or test set.
    pub split: Split,
    /// Images in the data set, including unreadable ones.
    pub images: usize,
    /// Side of the cropped images, in pixels.
    pub image_side: usize,
    /// Checksum of the autoencoder's weights.
    pub kl: String,
    /// Channels of a latent.
    pub channels: usize,
    /// Side of a latent.
    pub side: usize,
    /// Whether mirror images were encoded too.
    pub flips: bool,
    /// How numbers are stored.
    pub precision: Precision,
    /// Images per shard.
    pub per_shard: usize,
}

impl Origin {
    /// Numbers of the moments of one latent: mean and log variance.
    pub fn moments(&self) -> usize {
        2 * self.channels * self.side * self.side
    }

    /// Latents per image: 2 with mirror images.
    pub fn views(&self) -> usize {
        1 + usize::from(self.flips)
    }

    fn number_bytes(&self) -> usize {
        match self.precision {
            Precision::F32 => 4,
            Precision::F16 => 2,
        }
    }
}

/// Sums over the latents of a shard, for computing the scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Numbers summed.
    pub numbers: f64,
    /// Sum of the means.
    pub mean: f64,
    /// Sum of the expected squares of samples: squared mean plus variance.
    pub square: f64,
}

impl Sums {
    /// Adds the moments of one latent: as many means as log variances.
    pub fn add(&mut self, moments: &[f32]) {
        let (mean, logvar) = moments.split_at(moments.len() / 2);
        self.numbers += mean.len() as f64;
        for (&mean, &logvar) in mean.iter().zip(logvar) {
            self.mean += f64::from(mean);
            self.square += f64::from(mean).powi(2) + libm::exp(f64::from(logvar));
        }
    }

    /// Adds other sums.
    pub fn plus(self, other: Self) -> Self {
        Self { numbers: self.numbers + other.numbers, mean: self.mean + other.mean, square: self.square + other.square }
    }

    /// Standard deviation of samples of the latents.
    pub fn deviation(self) -> f64 {
        (self.square / self.numbers - (self.mean / self.numbers).powi(2)).max(0.0).sqrt()
    }
}

/// The metadata of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// The cache it belongs to.
    pub origin: Origin,
    /// Index of its first image in the data set.
    pub first: usize,
    /// Unreadable images, which are left out.
    pub unreadable: Vec<Bad>,
    /// Sums over its latents.
    pub sums: Sums,
}

/// A shard on disk.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    /// Its metadata.
    pub contents: Contents,
    /// The classes of its images.
    pub labels: Vec<u16>,
    /// Offset of the moments in the file, in bytes.
    start: u64,
}

impl Shard {
    /// The name of shard `number`.
    pub fn name(number: usize) -> String {
        format!("latents-{number:05}.safetensors")
    }

    /// Writes a shard: `moments` is `[labels, views, 2 * channels, side, side]`, means before log variances.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn write(path: &Path, contents: &Contents, moments: &[f32], labels: &[u16]) -> Result<(), DataError> {
        let origin = &contents.origin;
        let (dtype, bytes): (_, Vec<u8>) = match origin.precision {
            Precision::F32 => (Dtype::F32, moments.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Precision::F16 => {
                (Dtype::F16, moments.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect())
            }
        };
        let label_bytes: Vec<u8> = labels.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
        let shape = moments_shape(origin, labels.len());
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).expect("as many bytes as the shape says");
        let tensors =
            [("labels", view(Dtype::I64, vec![labels.len()], &label_bytes)), ("moments", view(dtype, shape, &bytes))];
        let json = serde_json::to_string(contents).expect("plain data serialises");
        let file = serialize(tensors, Some(HashMap::from([(KEY.to_owned(), json)])));
        replace(path, &file.expect("what was just made fits itself"))
    }

    /// Reads and checks everything but the moments.
    ///
    /// # Errors
    /// [`DataError::Io`], or [`DataError::Damaged`] when the file is cut short or was written by something else.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let io = |source| DataError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut head = Vec::new();
        (&file).take(8).read_to_end(&mut head).map_err(io)?;
        let size = <[u8; 8]>::try_from(&head[..]).map_or(u64::MAX, u64::from_le_bytes);
        let mut header = Vec::new();
        // An unreasonable size leaves the header empty, which is then refused.
        let wanted = if size > MAX_HEADER { 0 } else { size };
        (&file).take(wanted).read_to_end(&mut header).map_err(io)?;
        let damaged = |what: String| DataError::Damaged { path: path.to_owned(), what };
        let layout = Layout::parse(&header, length.saturating_sub(8 + wanted)).map_err(damaged)?;

        let start = 8 + wanted;
        file.seek(SeekFrom::Start(start + layout.labels.0 as u64)).map_err(io)?;
        let mut bytes = vec![0; layout.labels.1 - layout.labels.0];
        file.read_exact(&mut bytes).map_err(io)?;
        let labels = bytes.chunks_exact(8).map(|b| {
            let label = i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            u16::try_from(label).map_err(|_| damaged(format!("label {label}")))
        });
        Ok(Self {
            path: path.to_owned(),
            contents: layout.contents,
            labels: labels.collect::<Result<_, _>>()?,
            start: start + layout.moments as u64,
        })
    }

    /// The moments of a latent of image `row`, which is below the number of labels: view 0 is the image, view 1 its
    /// mirror image. `[2 * channels, side, side]`, means before log variances.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn moments(&self, row: usize, view: usize) -> Result<Vec<f32>, DataError> {
        let origin = &self.contents.origin;
        let each = origin.moments() * origin.number_bytes();
        let mut bytes = vec![0; each];
        // Opened for each read: thousands of shards would be too many open files, and the system caches what is used.
        File::open(&self.path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(self.start + ((row * origin.views() + view) * each) as u64))?;
                file.read_exact(&mut bytes)
            })
            .map_err(|source| DataError::Io { path: self.path.clone(), source })?;
        Ok(match origin.precision {
            Precision::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Precision::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        })
    }
}

fn moments_shape(origin: &Origin, rows: usize) -> Vec<usize> {
    vec![rows, origin.views(), 2 * origin.channels, origin.side, origin.side]
}

/// The parsed header.
struct Layout {
    contents: Contents,
    /// Offsets after the header: start and end of the labels, start of the moments.
    labels: (usize, usize),
    moments: usize,
}

impl Layout {
    /// Parses a header that is followed by `length` bytes.
    fn parse(header: &[u8], length: u64) -> Result<Self, String> {
        let metadata: Metadata = serde_json::from_slice(header).map_err(|error| format!("no header: {error}"))?;
        if metadata.data_len() as u64 != length {
            return Err(format!("{length} bytes after the header, not {}", metadata.data_len()));
        }
        let said = metadata.metadata().as_ref().and_then(|said| said.get(KEY)).ok_or("not of marscope cache")?;
        let contents: Contents = serde_json::from_str(said).map_err(|error| format!("the header's {KEY}: {error}"))?;
        let info = |name| metadata.info(name).ok_or(format!("no {name}"));
        let (labels, moments) = (info("labels")?, info("moments")?);
        let dtype = match contents.origin.precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        };
        let fits = |tensor: &TensorInfo, dtype, shape: &[usize]| tensor.dtype == dtype && tensor.shape == shape;
        let &[rows] = &labels.shape[..] else { return Err("labels of several dimensions".into()) };
        let origin = &contents.origin;
        let in_reach = origin.channels <= 256 && origin.side <= 4096;
        if !in_reach || !fits(labels, Dtype::I64, &[rows]) || !fits(moments, dtype, &moments_shape(origin, rows)) {
            return Err(format!("moments of shape {:?} are not what the header says", moments.shape));
        }
        Ok(Self { labels: labels.data_offsets, moments: moments.data_offsets.0, contents })
    }
}

/// Replaces the file in one step: a killed process leaves the old file, or none.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    crate::replace::replace(path, bytes).map_err(|source| DataError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn origin(precision: Precision, flips: bool) -> Origin {
        let kl = "0".to_owned();
        let (split, images, image_side, per_shard) = (Split::Train, 5, 16, 3);
        Origin { split, images, image_side, kl, channels: 2, side: 2, flips, precision, per_shard }
    }

    fn contents(precision: Precision, flips: bool) -> Contents {
        Contents { origin: origin(precision, flips), first: 0, unreadable: Vec::new(), sums: Sums::default() }
    }

    #[test]
    fn rows_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Shard::name(3));
        for precision in [Precision::F16, Precision::F32] {
            // Exact in both.
            let moments: Vec<f32> = (0..3 * 2 * 16).map(|i| i as f32 / 4.0).collect();
            Shard::write(&path, &contents(precision, true), &moments, &[7, 999, 0]).unwrap();
            let shard = Shard::open(&path).unwrap();
            assert_eq!(shard.labels, [7, 999, 0]);
            assert_eq!(shard.contents, contents(precision, true));
            assert_eq!(shard.moments(2, 1).unwrap(), moments[5 * 16..]);
            assert_eq!(shard.moments(1, 0).unwrap(), moments[2 * 16..3 * 16]);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_shard_cut_short_or_of_another_kind_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents-00000.safetensors");
        Shard::write(&path, &contents(Precision::F16, false), &[0.5; 32], &[1, 2]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, 8, 40, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Shard::open(&path).unwrap_err();
            assert!(matches!(error, DataError::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains("latents-00000.safetensors"), "{error}");
        }
        let other = marscope_core::checkpoint::Checkpoint::default();
        std::fs::write(&path, marscope_core::checkpoint::write_safetensors(&other, Precision::F32).unwrap()).unwrap();
        assert!(Shard::open(&path).unwrap_err().to_string().contains("not of marscope cache"));
    }

    #[test]
    fn the_deviation_is_that_of_a_mixture_of_normals() {
        // Means 1 and 3, variances 4 and 1: the mixture's variance is 1 (of the means) plus 2.5 (mean of the
        // variances).
        let mut sums = Sums::default();
        sums.add(&[1.0, 3.0, 4f32.ln(), 0.0]);
        assert!((sums.deviation() - 3.5f64.sqrt()).abs() < 1e-6, "{}", sums.deviation());
        assert!((sums.plus(sums).deviation() - sums.deviation()).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn no_header_panics(at in 0usize..700, byte: u8, length in 0u64..400, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("shard");
            Shard::write(&path, &contents(Precision::F32, true), &[0.5; 32], &[1]).unwrap();
            let mut whole = std::fs::read(&path).unwrap();
            let place = at % whole.len();
            whole[place] = byte;
            std::fs::write(&path, &whole).unwrap();
            if let Ok(shard) = Shard::open(&path) {
                (0..shard.labels.len()).for_each(|row| drop(shard.moments(row, 0)));
            }
            let _ = Layout::parse(&noise, length);
        }
    }
}
