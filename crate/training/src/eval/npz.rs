//! Reference statistics and batches of images in numpy's `.npz`, with the array names of ADM's evaluator.
//! `mu` and `sigma` of Inception's features, `mu_s` and `sigma_s` of the spatial ones, `arr_0` the images.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use npyz::{DType, NpyFile, NpyHeader, Order, WriterBuilder};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::frechet::Gaussian;
use crate::data::ImageSet;

/// Longest accepted header of an array; numpy's headers have 118 bytes.
const LONGEST_HEADER: usize = 1024;

/// The content of a reference file: statistics of real images, the images, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReferenceBatch {
    /// `mu` and `sigma`, `mu_s` and `sigma_s`.
    pub statistics: Option<Statistics>,
    /// `arr_0`; all labels are 0, since the file holds no labels.
    pub images: Option<ImageSet>,
}

/// The Gaussians of a set of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The features.
    pub features: Gaussian,
    /// The spatial features, if there are any.
    pub spatial: Option<Gaussian>,
}

/// Why an `.npz` file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct NpzError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: NpzProblem,
}

/// What is wrong with an `.npz` file.
#[derive(Debug, thiserror::Error)]
pub enum NpzProblem {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a zip archive.
    #[error("not a whole .npz file ({0}). Download it again, or save it again with numpy.savez")]
    Zip(#[from] ZipError),
    /// Neither statistics nor images.
    #[error(
        "it has no key 'mu' and no key 'arr_0'; it has {found}. Give statistics (mu and sigma) or images (arr_0) in the form \
         of ADM's reference batches"
    )]
    Keys {
        /// The keys that are there.
        found: String,
    },
    /// A mean without its covariance.
    #[error("it has key '{has}' but no key '{lacks}'")]
    Lacks {
        /// The key that is there.
        has: &'static str,
        /// The missing key.
        lacks: &'static str,
    },
    /// An array of an unexpected kind, or damaged.
    #[error("array '{key}': {problem}")]
    Array {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads statistics of `width` features and, if the file has them, of `spatial_width` spatial features (0: not wanted).
/// Reads its images if it has no statistics, or if `images` requests them.
///
/// # Errors
/// Names the key that is missing, or whose array is damaged or of another shape or type.
pub fn read_npz(path: &Path, width: usize, spatial_width: usize, images: bool) -> Result<ReferenceBatch, NpzError> {
    let open = || Ok(BufReader::new(File::open(path)?));
    let read = open().and_then(|file| parse(file, width, spatial_width, images));
    read.map_err(|problem| NpzError { path: path.to_owned(), problem })
}

/// Reads images of `channels` channels with the labels that they were generated for, as [`write_images`] leaves them: `arr_0`
/// and `arr_1`. Of grey images that were written as colour, one channel is read.
///
/// # Errors
/// As [`read_npz`].
pub fn read_samples(path: &Path, channels: usize) -> Result<ImageSet, NpzError> {
    let read = || -> Result<ImageSet, NpzProblem> {
        let mut archive = Archive(ZipArchive::new(BufReader::new(File::open(path)?))?);
        let lacks = |has, lacks| NpzProblem::Lacks { has, lacks };
        let labels = archive.array("arr_1", read_labels)?.ok_or(lacks("arr_0", "arr_1"))?;
        let images = archive.array("arr_0", read_images)?.ok_or(lacks("arr_1", "arr_0"))?;
        if images.len() != labels.len() {
            let problem = format!("{} labels for {} images", labels.len(), images.len());
            return Err(NpzProblem::Array { key: "arr_1", problem });
        }
        let images = if channels == 1 { grey(images) } else { images };
        Ok(ImageSet { labels, ..images })
    };
    read().map_err(|problem| NpzError { path: path.to_owned(), problem })
}

/// The first channel of `images`.
fn grey(images: ImageSet) -> ImageSet {
    let plane = images.side * images.side;
    let planes = images.pixels.chunks_exact(images.channels * plane);
    ImageSet { pixels: planes.flat_map(|image| &image[..plane]).copied().collect(), channels: 1, ..images }
}

/// Labels, `[n]` in 64 bits.
fn read_labels(header: &NpyHeader, data: &mut dyn Read) -> Result<Vec<u16>, String> {
    let numbers = NpyFile::with_header(header.clone(), data).data::<i64>();
    let numbers = numbers.map_err(|_| format!("elements of type {}, not i64", header.dtype().descr()))?;
    let label = |number: std::io::Result<i64>| {
        let number = number.map_err(|error| error.to_string())?;
        u16::try_from(number).map_err(|_| format!("label {number}, not one from 0 to 65535"))
    };
    numbers.map(label).collect()
}

fn parse(
    file: impl Read + Seek,
    width: usize,
    spatial_width: usize,
    images: bool,
) -> Result<ReferenceBatch, NpzProblem> {
    let mut archive = Archive(ZipArchive::new(file)?);
    let statistics = match archive.gaussian("mu", "sigma", width)? {
        None => None,
        Some(features) => {
            let spatial = match spatial_width {
                0 => None,
                width => archive.gaussian("mu_s", "sigma_s", width)?,
            };
            Some(Statistics { features, spatial })
        }
    };
    let images = if images || statistics.is_none() { archive.array("arr_0", read_images)? } else { None };
    if statistics.is_none() && images.is_none() {
        let names = archive.0.file_names().flatten();
        let keys: Vec<_> = names.take(8).map(|name| format!("'{}'", name.trim_end_matches(".npy"))).collect();
        let found = if keys.is_empty() { "no keys at all".to_owned() } else { keys.join(", ") };
        return Err(NpzProblem::Keys { found });
    }
    Ok(ReferenceBatch { statistics, images })
}

struct Archive<R>(ZipArchive<R>);

impl<R: Read + Seek> Archive<R> {
    /// Applies `read` to the array `key`, which it must read to the end; `None` if there is no such key.
    fn array<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&NpyHeader, &mut dyn Read) -> Result<T, String>,
    ) -> Result<Option<T>, NpzProblem> {
        let name = npyz::npz::file_name_from_array_name(key);
        let Some(index) = self.0.index_for_name(&name) else { return Ok(None) };
        let wrong = |problem| NpzProblem::Array { key, problem };
        let file = self.0.by_index(index).map_err(|error| match error {
            ZipError::CompressionMethodNotSupported(_) => {
                wrong(format!("{error}; numpy stores arrays or deflates them"))
            }
            error => NpzProblem::Zip(error),
        })?;
        let mut data = BufReader::new(file);
        let all = |data: &mut dyn Read| {
            let header = header(data)?;
            let found = read(&header, data)?;
            // At the end of the data the archive compares checksums.
            match data.read(&mut [0]).map_err(|error| error.to_string())? {
                0 => Ok(found),
                _ => Err("it is longer than its shape says".to_owned()),
            }
        };
        all(&mut data).map(Some).map_err(wrong)
    }

    fn gaussian(
        &mut self,
        mean: &'static str,
        covariance: &'static str,
        width: usize,
    ) -> Result<Option<Gaussian>, NpzProblem> {
        let found = self.array(mean, |header, data| read_floats(header, data, &[width]))?;
        let Some(found) = found else { return Ok(None) };
        let sigma = self.array(covariance, |header, data| read_floats(header, data, &[width, width]))?;
        let sigma = sigma.ok_or(NpzProblem::Lacks { has: mean, lacks: covariance })?;
        let gaussian = Gaussian::new(found, sigma).ok_or_else(|| NpzProblem::Array {
            key: covariance,
            problem: format!("it or '{mean}' holds a number that is not finite"),
        })?;
        Ok(Some(gaussian))
    }
}

/// Reads an array's header. First checks its length and the sizes that npyz multiplies.
fn header(data: &mut dyn Read) -> Result<NpyHeader, String> {
    let io = |error: std::io::Error| error.to_string();
    let mut bytes = vec![0; 10];
    data.read_exact(&mut bytes).map_err(io)?;
    let short = u16::from_le_bytes([bytes[8], bytes[9]]);
    let length = if bytes[6] == 1 {
        usize::from(short)
    } else {
        let mut high = [0; 2];
        data.read_exact(&mut high).map_err(io)?;
        bytes.extend(high);
        usize::from(short) | usize::from(u16::from_le_bytes(high)) << 16
    };
    if length > LONGEST_HEADER {
        return Err(format!("a header of {length} bytes, which numpy does not write"));
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    data.read_exact(&mut bytes[start..]).map_err(io)?;
    // Sizes with at most 18 digits in total have a product below 2^64.
    if bytes[start..].iter().filter(|byte| byte.is_ascii_digit()).count() > 18 {
        return Err("a shape that no file holds".to_owned());
    }
    NpyHeader::from_reader(&bytes[..]).map_err(io)
}

/// The numbers of an f64 or f32 array that must have `shape`. The order does not matter: a covariance is symmetric.
fn read_floats(header: &NpyHeader, data: &mut dyn Read, shape: &[usize]) -> Result<Vec<f64>, String> {
    if !header.shape().iter().copied().eq(shape.iter().map(|&extent| extent as u64)) {
        return Err(format!("shape {:?}, but these features need {shape:?}", header.shape()));
    }
    let io = |error: std::io::Error| error.to_string();
    match NpyFile::with_header(header.clone(), data).try_data::<f64>() {
        Ok(numbers) => numbers.collect::<Result<_, _>>().map_err(io),
        Err(file) => match file.data::<f32>() {
            Ok(numbers) => numbers.map(|number| number.map(f64::from)).collect::<Result<_, _>>().map_err(io),
            Err(_) => Err(format!("elements of type {}, not f64 or f32", header.dtype().descr())),
        },
    }
}

/// Images, `[n, side, side, channels]` in bytes with 1 or 3 channels.
fn read_images(header: &NpyHeader, data: &mut dyn Read) -> Result<ImageSet, String> {
    let bytes = matches!(header.dtype(), DType::Plain(kind) if kind.to_string().ends_with("u1"));
    if !bytes || header.order() != Order::C {
        return Err(format!("elements of type {}, not unsigned bytes in C order", header.dtype().descr()));
    }
    let (count, side, channels) = match *header.shape() {
        [count, height, width, channels @ (1 | 3)] if height == width && height > 0 => (count, height, channels),
        ref shape => return Err(format!("shape {shape:?}, not that of square images, [n, side, side, 3]")),
    };
    let (side, channels) = (side as usize, channels as usize);
    let plane = side * side;
    let mut set = ImageSet { pixels: Vec::new(), labels: Vec::new(), channels, side };
    let mut image = Vec::new();
    for _ in 0..count {
        image.clear();
        let read = data.take((plane * channels) as u64).read_to_end(&mut image).map_err(|error| error.to_string())?;
        if read < plane * channels {
            return Err(format!("cut short after {} of {count} images", set.len()));
        }
        for channel in 0..channels {
            set.pixels.extend(image[channel..].iter().step_by(channels));
        }
        set.labels.push(0);
    }
    Ok(set)
}

/// Writes statistics in the form that ADM's evaluator reads.
///
/// # Errors
/// When the file cannot be written; an earlier file is then unchanged.
pub fn write_statistics(path: &Path, statistics: &Statistics) -> Result<(), NpzError> {
    let spatial = statistics.spatial.as_ref().map(|spatial| ("mu_s", "sigma_s", spatial));
    write_npz(path, |zip| {
        for (mean, covariance, gaussian) in [("mu", "sigma", &statistics.features)].into_iter().chain(spatial) {
            let width = gaussian.mean().len() as u64;
            write_array(zip, mean, &[width], gaussian.mean().iter().copied())?;
            write_array(zip, covariance, &[width, width], gaussian.covariance().iter().copied())?;
        }
        Ok(())
    })
}

/// Writes images and labels as ADM's sampling script does: `arr_0`, `[n, side, side, 3]`, and `arr_1`, `[n]`. A grey
/// image gets three equal channels.
///
/// # Errors
/// As [`write_statistics`].
pub fn write_images(path: &Path, images: &ImageSet) -> Result<(), NpzError> {
    let ImageSet { channels, side, .. } = *images;
    let plane = side * side;
    let pixel = |i: usize, at: usize| {
        (0..3).map(move |channel| images.image(i)[if channels == 3 { channel * plane + at } else { at }])
    };
    let pixels = (0..images.len()).flat_map(|i| (0..plane).flat_map(move |at| pixel(i, at)));
    let (count, extent) = (images.len() as u64, side as u64);
    write_npz(path, |zip| {
        write_array(zip, "arr_0", &[count, extent, extent, 3], pixels)?;
        write_array(zip, "arr_1", &[count], images.labels.iter().map(|&label| i64::from(label)))
    })
}

type Writer = ZipWriter<BufWriter<File>>;

/// Writes a temporary file, then renames it, so that no partial file is ever found.
fn write_npz(path: &Path, content: impl FnOnce(&mut Writer) -> Result<(), NpzProblem>) -> Result<(), NpzError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let write = || {
        let mut zip = ZipWriter::new(BufWriter::new(File::create(&beside)?));
        content(&mut zip)?;
        let file = zip.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        Ok(())
    };
    write().map_err(|problem| NpzError { path: path.to_owned(), problem })
}

fn write_array<T: npyz::AutoSerialize>(
    zip: &mut Writer,
    key: &str,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> Result<(), NpzProblem> {
    // Sizes are 64 bits long: 50,000 images of 256 pixels a side are 10 GB.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    zip.start_file(npyz::npz::file_name_from_array_name(key), options)?;
    let mut array = npyz::WriteOptions::new().default_dtype().shape(shape).writer(zip.by_ref()).begin_nd()?;
    array.extend(values)?;
    array.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests;
