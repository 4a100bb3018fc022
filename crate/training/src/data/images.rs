//! Labelled images, read one at a time: the interface of the layouts on disk.

use super::crop::{Picture, centre_crop};
use super::{DataError, ImageSet};

/// Labelled square images of one size.
pub trait Images: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels of an image: 1 or 3.
    fn channels(&self) -> usize;

    /// Side of an image in pixels.
    fn side(&self) -> usize;

    /// The bytes of image `index`, `[channels, side, side]`, and its label.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] names the file.
    fn image(&self, index: usize) -> Result<(Vec<u8>, usize), DataError>;
}

impl Images for ImageSet {
    fn len(&self) -> usize {
        self.len()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn side(&self) -> usize {
        self.side
    }

    fn image(&self, index: usize) -> Result<(Vec<u8>, usize), DataError> {
        Ok((self.image(index).to_vec(), usize::from(self.labels[index])))
    }
}

/// Images that are scaled to another side when read.
pub(super) struct Scaled {
    pub images: ImageSet,
    pub side: usize,
}

impl Images for Scaled {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn channels(&self) -> usize {
        self.images.channels
    }

    fn side(&self) -> usize {
        self.side
    }

    fn image(&self, index: usize) -> Result<(Vec<u8>, usize), DataError> {
        let picture = Picture::from_planes(self.images.image(index), self.images.channels, self.images.side);
        Ok((centre_crop(picture, self.side).planes(), usize::from(self.images.labels[index])))
    }
}
