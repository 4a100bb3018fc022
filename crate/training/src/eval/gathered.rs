//! Everything the measurements need of a set of images, collected in one pass of a network over it.
//! Keeps sums where possible: the features of 50,000 images are never in memory together.

use super::classifier::most_likely;
use super::features::FeatureExtractor;
use super::frechet::{FrechetError, Moments};
use super::inception_score::{InceptionScore, SPLIT, ScoreSums};
use super::npz::Statistics;
use super::precision_recall::MOST;
use crate::data::ImageSet;

/// Statistics of a set of images in a network's features.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gathered {
    /// Means and covariances.
    pub statistics: Statistics,
    /// The most likely class of each image.
    pub classes: Vec<usize>,
    /// Sums of the class probabilities, for the Inception Score.
    pub score: Option<InceptionScore>,
    /// Features of the first images, `[n, width]`, for precision and recall; empty if not requested.
    pub first: Vec<f32>,
}

impl Gathered {
    /// Runs `extractor` over `images` and shows progress under the name `what`; `keep` keeps the first images'
    /// features.
    pub fn of(
        extractor: &dyn FeatureExtractor,
        images: &ImageSet,
        what: &str,
        keep: bool,
    ) -> Result<Self, FrechetError> {
        let (width, spatial_width) = (extractor.width(), extractor.spatial_width());
        let mut features = Moments::new(width);
        let mut spatial = (spatial_width > 0).then(|| Moments::new(spatial_width));
        let mut score = ScoreSums::new(extractor.classes(), SPLIT);
        let (mut classes, mut first) = (Vec::with_capacity(images.len()), Vec::new());
        let most = if keep { MOST * width } else { 0 };
        let mut pushed = Ok(());
        extractor.extract_each(images, what, &mut |batch| {
            classes.extend(most_likely(&batch.logits, extractor.classes()));
            score.push(&batch.logits);
            let wanted = batch.features.len().min(most - first.len());
            first.extend_from_slice(&batch.features[..wanted]);
            if pushed.is_ok() {
                pushed = features.push(&batch.features);
            }
            if let (Ok(()), Some(spatial)) = (&pushed, &mut spatial) {
                pushed = spatial.push(&batch.spatial);
            }
        });
        pushed?;
        let statistics =
            Statistics { features: features.finish()?, spatial: spatial.map(Moments::finish).transpose()? };
        Ok(Self { statistics, classes, score: score.finish(), first })
    }
}
