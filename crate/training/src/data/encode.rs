//! Encodes a data set once, through the KL autoencoder, into shards of cached latents.
//! Appendix B of the paper: training on cached moments equals encoding every image again, and is several times faster.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::latents::{Index, ShardEntry};
use super::pixels::mirror;
use super::shard::{Contents, Origin, Shard, Sums};
use super::{Bad, DataError, OpenedImages, Split};
use marscope_core::tokenizer::from_byte;

use crate::autoencoder::Kl;
use marscope_core::checkpoint::Precision;

/// How a data set is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodeOptions {
    /// The folder of the images, as recorded in `index.json`.
    pub source: String,
    /// Training or test set.
    pub split: Split,
    /// Checksum of the autoencoder's weights, so that latents of different autoencoders are never mixed.
    pub kl: String,
    /// Also encode the mirror images.
    pub flips: bool,
    /// How numbers are stored.
    pub precision: Precision,
    /// Images per file.
    pub per_shard: usize,
    /// Images per forward pass.
    pub batch: usize,
    /// Number of unreadable images to leave out; one more is an error.
    pub max_bad: usize,
    /// Factor to record for the samples; `None` for the measured one.
    pub scale: Option<f64>,
}

/// Why a data set cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// An image or an output file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The folder holds a different cache.
    #[error(
        "{shard} holds latents of other images, of another autoencoder or with other settings. Give another --out, or \
         use the original settings"
    )]
    Other {
        /// The file.
        shard: String,
    },
    /// The autoencoder does not take images of this side.
    #[error("images of side {side}: the autoencoder halves it {halvings} times. Give a --side that {stride} divides")]
    Side {
        /// Side of the images.
        side: usize,
        /// Number of halvings.
        halvings: u32,
        /// The side must be a multiple of this.
        stride: usize,
    },
    /// A latent is not finite, or too large to store.
    #[error("the latent of image {image} holds {value}. Use --f32, or check the autoencoder's weights")]
    NotFinite {
        /// Index of the image.
        image: usize,
        /// The number.
        value: f32,
    },
    /// All latents are equal.
    #[error("the latents do not vary at all: check the images and the autoencoder's weights")]
    Constant,
}

/// Progress of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images done, including those from an earlier run.
    pub images: usize,
    /// Images of the data set.
    pub of: usize,
    /// Images done in an earlier run.
    pub resumed: usize,
}

/// Encodes `data` into the folder `out`; existing shards are kept. Returns the index, or `None` when `stop` was set
/// before the end: finished shards are kept, and the same call continues from there.
///
/// # Errors
/// See [`EncodeError`]; finished shards are kept.
pub fn encode(
    kl: &Kl,
    device: &Device,
    data: &OpenedImages,
    out: &Path,
    options: &EncodeOptions,
    stop: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Result<Option<Index>, EncodeError> {
    let (side, stride) = (data.images.side(), kl.config().stride());
    if !side.is_multiple_of(stride) {
        return Err(EncodeError::Side { side, halvings: stride.ilog2(), stride });
    }
    let of = data.images.len();
    let origin = Origin {
        split: options.split,
        images: of,
        image_side: side,
        kl: options.kl.clone(),
        channels: kl.config().embed_dim,
        side: side / stride,
        flips: options.flips,
        precision: options.precision,
        per_shard: options.per_shard.max(1),
    };
    std::fs::create_dir_all(out).map_err(|source| DataError::Io { path: out.to_owned(), source })?;

    let mut resumed = 0;
    let mut found = Found::default();
    for first in (0..of).step_by(origin.per_shard) {
        let images = first..of.min(first + origin.per_shard);
        let path = out.join(Shard::name(first / origin.per_shard));
        if path.is_file() {
            resumed += images.len();
            progress(Progress { images: images.end, of, resumed });
        } else {
            let sweep = Sweep { kl, device, data, origin: &origin, options, stop, before: found.unreadable.len() };
            let report = |done| progress(Progress { images: first + done, of, resumed });
            let Some(rows) = sweep.run(images.clone(), report)? else { return Ok(None) };
            let contents = Contents { origin: origin.clone(), first, unreadable: rows.unreadable, sums: rows.sums };
            Shard::write(&path, &contents, &rows.moments, &rows.labels)?;
        }
        // Read back in both cases, so that an interruption changes nothing, not even the rounding of a sum.
        let shard = Shard::open(&path)?;
        if shard.contents.origin != origin || shard.contents.first != first {
            return Err(EncodeError::Other { shard: path.display().to_string() });
        }
        found.take(first / origin.per_shard, shard);
    }
    let index = found.index(data, origin, options)?;
    index.write(out)?;
    Ok(Some(index))
}

/// Totals over the shards so far.
#[derive(Default)]
struct Found {
    shards: Vec<ShardEntry>,
    unreadable: Vec<Bad>,
    sums: Sums,
}

impl Found {
    fn take(&mut self, number: usize, shard: Shard) {
        self.shards.push(ShardEntry { file: Shard::name(number), rows: shard.labels.len() });
        self.unreadable.extend(shard.contents.unreadable);
        self.sums = self.sums.plus(shard.contents.sums);
    }

    fn index(self, data: &OpenedImages, origin: Origin, options: &EncodeOptions) -> Result<Index, EncodeError> {
        let count = self.shards.iter().map(|shard| shard.rows).sum();
        let measured_scale = 1.0 / self.sums.deviation();
        if count == 0 {
            return Err(DataError::Empty(options.source.clone()).into());
        }
        if !measured_scale.is_finite() {
            return Err(EncodeError::Constant);
        }
        Ok(Index {
            source: options.source.clone(),
            origin,
            classes: data.classes.clone(),
            count,
            scale: options.scale.unwrap_or(measured_scale),
            measured_scale,
            shards: self.shards,
            unreadable: self.unreadable,
        })
    }
}

/// Encodes one shard.
struct Sweep<'a> {
    kl: &'a Kl,
    device: &'a Device,
    data: &'a OpenedImages,
    origin: &'a Origin,
    options: &'a EncodeOptions,
    stop: &'a AtomicBool,
    /// Unreadable images in earlier shards.
    before: usize,
}

/// The rows of a shard.
#[derive(Default)]
struct Rows {
    moments: Vec<f32>,
    labels: Vec<u16>,
    unreadable: Vec<Bad>,
    sums: Sums,
}

/// The images of a batch.
type Read = Vec<Result<(Vec<u8>, usize), DataError>>;

impl Sweep<'_> {
    /// Encodes `images`; `None` when stopped. A separate thread reads ahead.
    fn run(&self, images: Range<usize>, report: impl FnMut(usize)) -> Result<Option<Rows>, EncodeError> {
        let (data, batch) = (self.data, self.options.batch.max(1));
        let Range { start, end } = images;
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Read>(2);
            scope.spawn(move || {
                for first in (start..end).step_by(batch) {
                    let batch = first..end.min(first + batch);
                    let read = batch.into_par_iter().map(|index| data.images.image(index)).collect();
                    if sender.send(read).is_err() {
                        return;
                    }
                }
            });
            self.encode(start, receiver, report)
        })
    }

    fn encode(
        &self,
        first: usize,
        batches: Receiver<Read>,
        mut report: impl FnMut(usize),
    ) -> Result<Option<Rows>, EncodeError> {
        let (mut rows, mut done) = (Rows::default(), 0);
        for read in batches {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let count = read.len();
            let (mut pixels, mut kept) = (Vec::new(), Vec::new());
            for (index, image) in (first + done..).zip(read) {
                match image {
                    Ok((bytes, label)) => {
                        kept.push(index);
                        rows.labels.push(label as u16);
                        self.views(&bytes, &mut pixels);
                    }
                    Err(DataError::Unreadable { path, what }) => self.bear(&mut rows, Bad { path, what })?,
                    Err(error) => return Err(error.into()),
                }
            }
            if !kept.is_empty() {
                self.moments(pixels, &kept, &mut rows)?;
            }
            done += count;
            report(done);
        }
        Ok(Some(rows))
    }

    /// Appends an image with three channels and, if requested, its mirror image.
    fn views(&self, bytes: &[u8], pixels: &mut Vec<f32>) {
        let mut image: Vec<f32> = bytes.iter().copied().map(from_byte).collect();
        if self.data.images.channels() == 1 {
            image = image.repeat(3);
        }
        pixels.extend_from_slice(&image);
        if self.origin.flips {
            mirror(&mut image, self.origin.image_side);
            pixels.extend_from_slice(&image);
        }
    }

    fn bear(&self, rows: &mut Rows, bad: Bad) -> Result<(), DataError> {
        rows.unreadable.push(bad.clone());
        let (count, limit) = (self.before + rows.unreadable.len(), self.options.max_bad);
        if count > limit {
            return Err(DataError::TooManyBad { count, limit, last: bad.path, what: bad.what });
        }
        Ok(())
    }

    /// Encodes `pixels`, `[n, 3, side, side]`, of the images `kept`, and appends their moments.
    fn moments(&self, pixels: Vec<f32>, kept: &[usize], rows: &mut Rows) -> Result<(), EncodeError> {
        let side = self.origin.image_side;
        let count = kept.len() * self.origin.views();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [count, 3, side, side]), self.device);
        let posterior = self.kl.encode(images);
        let host =
            |tensor: Tensor<4>| tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("it is f32 now");
        let (mean, logvar) = (host(posterior.mean), host(posterior.logvar));
        let each = self.origin.moments() / 2;
        for (i, (mean, logvar)) in mean.chunks_exact(each).zip(logvar.chunks_exact(each)).enumerate() {
            let stored: Vec<f32> = mean.iter().chain(logvar).map(|&value| self.stored(value)).collect();
            if let Some(at) = stored.iter().position(|value| !value.is_finite()) {
                let value = if at < each { mean[at] } else { logvar[at - each] };
                return Err(EncodeError::NotFinite { image: kept[i / self.origin.views()], value });
            }
            rows.sums.add(&stored);
            rows.moments.extend(stored);
        }
        Ok(())
    }

    /// A number after rounding to the stored precision.
    fn stored(&self, value: f32) -> f32 {
        match self.origin.precision {
            Precision::F32 => value,
            Precision::F16 => half::f16::from_f32(value).to_f32(),
        }
    }
}
