//! Labelled images in memory: for evaluation and for small data sets.

use std::path::Path;

use rayon::prelude::*;

use super::{DataError, Images, Split, open_images};

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
    /// Reads one split of a folder of idx or CIFAR files, at the size of its images.
    ///
    /// # Errors
    /// Names the file that is missing, damaged or does not match its labels.
    pub fn read(folder: &Path, split: Split) -> Result<Self, DataError> {
        Self::read_scaled(folder, split, None)
    }

    /// Reads one split of a folder of images in any layout, scaled and cropped to `side`. A folder of image files needs
    /// a side.
    ///
    /// # Errors
    /// Names the file that is missing, damaged or unreadable, or reports a missing side.
    pub fn read_scaled(folder: &Path, split: Split, side: Option<usize>) -> Result<Self, DataError> {
        Self::collect(&*open_images(folder, split, side)?.images)
    }

    /// All of `images`, in memory.
    ///
    /// # Errors
    /// Names the first file that cannot be read.
    pub fn collect(images: &dyn Images) -> Result<Self, DataError> {
        let read: Vec<_> =
            (0..images.len()).into_par_iter().map(|index| images.image(index)).collect::<Result<_, _>>()?;
        let mut pixels = Vec::with_capacity(read.len() * images.channels() * images.side().pow(2));
        let mut labels = Vec::with_capacity(read.len());
        for (image, label) in read {
            pixels.extend(image);
            labels.push(label as u16);
        }
        Ok(Self { pixels, labels, channels: images.channels(), side: images.side() })
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
