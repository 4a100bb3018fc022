//! What images are compared by: a network that makes features of them, and scores of its classes.
//! The paper's is Inception (section 5); a data set of its own kind has a classifier of its own.

use indicatif::{ProgressBar, ProgressStyle};

use super::classifier::ClassifierShape;
use crate::data::ImageSet;

/// What a network made of images, on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// `[n, width]`.
    pub features: Vec<f32>,
    /// Features that still know where in the image they are from, `[n, spatial_width]`.
    pub spatial: Vec<f32>,
    /// Scores before the softmax, `[n, classes]`.
    pub logits: Vec<f32>,
}

/// A network to compare images by.
pub trait FeatureExtractor {
    /// What it is called in a report.
    fn name(&self) -> &'static str;

    /// Numbers in a feature vector.
    fn width(&self) -> usize;

    /// Numbers in a vector of spatial features; 0 where there are none.
    fn spatial_width(&self) -> usize {
        0
    }

    /// Number of its classes.
    fn classes(&self) -> usize;

    /// Images that go through it at once.
    fn batch(&self) -> usize;

    /// The only images that it takes, and whose classes its own are; `None` where it takes square images of 1 or 3
    /// channels of any kind, and knows nothing of their classes.
    fn shape(&self) -> Option<ClassifierShape>;

    /// Looks at `pixels`, `[n, channels, side, side]` with n at most [`Self::batch`].
    fn extract_batch(&self, pixels: &[u8], channels: usize, side: usize) -> Extracted;

    /// Looks at all of `images`, a batch at a time, showing progress on stderr; `each` takes what each batch gave, so
    /// that no more than one need be in memory. `what` names the images.
    fn extract_each(&self, images: &ImageSet, what: &str, each: &mut dyn FnMut(Extracted)) {
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} images, {eta} left")
            .expect("the template names fields that exist");
        let progress = ProgressBar::new(images.len() as u64).with_style(style);
        progress.set_message(format!("{} features of {what}", self.name()));
        let size = images.channels * images.side * images.side;
        for pixels in images.pixels.chunks(self.batch() * size) {
            each(self.extract_batch(pixels, images.channels, images.side));
            progress.inc((pixels.len() / size) as u64);
        }
        progress.finish_and_clear();
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
