//! Labelled images on disk, as training and measuring read them.
//! Grey idx files (MNIST's layout), plain or gzipped.

mod idx;

use std::path::{Path, PathBuf};

pub use idx::read_idx;

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
    pub labels: Vec<u8>,
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
        Ok(Self { pixels, labels: labels_read, channels: 1, side: height })
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

/// Why images cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such file.
    #[error("{}: no file {name}. Give the folder that holds the idx files as --data", folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// What was looked for.
        name: String,
    },
    /// Cannot be read or unzipped.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not what it should be.
    #[error("{}: {what}. The file is damaged or no idx file; fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}
