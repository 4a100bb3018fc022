//! Labelled images on disk, as training and measuring read them.
//! Grey idx files (MNIST's layout), plain or gzipped.

mod dataset;
mod error;
mod idx;
mod loader;

use std::path::{Path, PathBuf};

pub use self::dataset::{Dataset, Example, TokenShape};
pub use self::error::DataError;
pub use self::idx::read_idx;
pub use self::loader::{Bad, Loader, LoaderOptions};

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What it never sees.
    Test,
}

/// Labelled square images, one byte a pixel and channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// `[count, channels, side, side]`.
    pub pixels: Vec<u8>,
    /// `[count]`.
    pub labels: Vec<u16>,
    /// Channels of an image.
    pub channels: usize,
    /// Side of an image.
    pub side: usize,
}

impl ImageSet {
    /// Reads one split from a folder of idx files: `train-*` or `t10k-*`, else a lone pair such as `tiny500-*` for both.
    ///
    /// # Errors
    /// Names the file that is missing, damaged or does not match its labels.
    pub fn read(folder: &Path, split: Split) -> Result<Self, DataError> {
        let images = find(folder, split, "images-idx3-ubyte")?;
        let labels = find(folder, split, "labels-idx1-ubyte")?;
        let (shape, pixels) = read_idx(&images)?;
        let (label_shape, labels_read) = read_idx(&labels)?;
        let [count, height, width] = shape[..] else {
            return Err(DataError::Damaged { path: images, what: format!("{} dimensions, not 3", shape.len()) });
        };
        if height != width {
            return Err(DataError::Damaged { path: images, what: format!("images are {height}x{width}, not square") });
        }
        if label_shape != [count] {
            return Err(DataError::Damaged {
                path: labels,
                what: format!("{label_shape:?} labels for {count} images"),
            });
        }
        Ok(Self { pixels, labels: labels_read.into_iter().map(u16::from).collect(), channels: 1, side: height })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of image `index`, `[channels, side, side]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let each = self.channels * self.side * self.side;
        &self.pixels[index * each..(index + 1) * each]
    }
}

/// The file of `folder` that holds `kind` of `split`, `.gz` or plain.
fn find(folder: &Path, split: Split, kind: &str) -> Result<PathBuf, DataError> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    [prefix, "tiny500"]
        .iter()
        .flat_map(|prefix| [format!("{prefix}-{kind}.gz"), format!("{prefix}-{kind}")])
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::Missing { folder: folder.to_owned(), name: format!("{prefix}-{kind}[.gz]") })
}
