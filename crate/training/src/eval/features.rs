//! The networks that images are compared with: they compute features and class scores.
//! The paper uses Inception (section 5); for small data sets there is a classifier trained on the data.

use indicatif::{ProgressBar, ProgressStyle};

use super::classifier::ClassifierShape;
use crate::data::ImageSet;

/// The output of a network for some images, on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// `[n, width]`.
    pub features: Vec<f32>,
    /// Spatial features, which keep the position in the image, `[n, spatial_width]`.
    pub spatial: Vec<f32>,
    /// Scores before the softmax, `[n, classes]`.
    pub logits: Vec<f32>,
}

/// A network to compare images with.
pub trait FeatureExtractor {
    /// Its name in a report.
    fn name(&self) -> &'static str;

    /// Numbers in a feature vector.
    fn width(&self) -> usize;

    /// Numbers in a vector of spatial features; 0 if there are none.
    fn spatial_width(&self) -> usize {
        0
    }

    /// Number of its classes.
    fn classes(&self) -> usize;

    /// Images that go through it at once.
    fn batch(&self) -> usize;

    /// The only kind of images that it takes, with the same classes as its own. `None` if it takes any square images of
    /// 1 or 3 channels and has unrelated classes.
    fn shape(&self) -> Option<ClassifierShape>;

    /// Runs on `pixels`, `[n, channels, side, side]` with n at most [`Self::batch`].
    fn extract_batch(&self, pixels: &[u8], channels: usize, side: usize) -> Extracted;

    /// Runs on all of `images`, a batch at a time, and shows progress on stderr. `each` receives the output of each
    /// batch, so that only one is in memory. `what` names the images.
    fn extract_each(&self, images: &ImageSet, what: &str, each: &mut dyn FnMut(Extracted)) {
        batches(images, self.batch(), &format!("{} features of {what}", self.name()), &mut |pixels| {
            each(self.extract_batch(pixels, images.channels, images.side));
        });
    }

    /// Features and logits of all of `images`.
    fn extract(&self, images: &ImageSet, what: &str) -> Extracted {
        let mut all = Extracted::default();
        self.extract_each(images, what, &mut |batch| {
            all.features.extend(batch.features);
            all.spatial.extend(batch.spatial);
            all.logits.extend(batch.logits);
        });
        all
    }
}

/// Calls `each` with the pixels of `images`, a batch of at most `batch` images at a time, and shows progress under the name
/// `what` on stderr.
pub(super) fn batches(images: &ImageSet, batch: usize, what: &str, each: &mut dyn FnMut(&[u8])) {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} images, {eta} left")
        .expect("the template names fields that exist");
    let progress = ProgressBar::new(images.len() as u64).with_style(style);
    progress.set_message(what.to_owned());
    let size = images.channels * images.side * images.side;
    for pixels in images.pixels.chunks(batch * size) {
        each(pixels);
        progress.inc((pixels.len() / size) as u64);
    }
    progress.finish_and_clear();
}
