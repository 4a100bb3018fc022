//! Measures generated images: their quality, their distribution, and whether they copy training images.
//! The paper's FID, Inception Score, precision and recall (section 5), through Inception or a classifier of the data's
//! own.

pub mod axes;
mod baseline;
mod check;
pub mod classifier;
mod conv;
mod error;
pub mod features;
#[cfg(feature = "train")]
mod fit;
pub mod frechet;
mod gathered;
mod generate;
pub mod inception;
pub mod inception_score;
pub mod neighbours;
pub mod npz;
pub mod parts;
pub mod precision_recall;
mod report;
pub mod seams;
pub mod similarity;
#[cfg(feature = "train")]
pub mod train_classifier;
pub mod tune;

use serde::{Deserialize, Serialize};

pub use self::baseline::Baseline;
pub use self::check::shape_of;
pub use self::error::EvalError;
#[cfg(feature = "train")]
pub use self::fit::Training;
pub use self::generate::{Generated, generate, generate_until};
pub use self::report::{ClassShares, Report};
pub use self::similarity::{Similarity, similarity};
use crate::data::ImageSet;
#[cfg(feature = "train")]
use check::measurable;
use features::FeatureExtractor;
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::Settings;
use npz::ReferenceBatch;

/// What to generate and measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvalOptions {
    /// The decoding settings.
    pub settings: Settings,
    /// Number of images, at least one per class.
    pub count: usize,
    /// Seed of the first image; image i uses this seed plus i.
    pub seed: u64,
    /// Whether to measure precision and recall too; the reference must then have images.
    #[serde(default)]
    pub precision_recall: bool,
    /// Whether to measure the distances to the nearest training images, which takes long for large training sets.
    #[serde(default = "yes")]
    pub neighbours: bool,
}

fn yes() -> bool {
    true
}

impl EvalOptions {
    /// 1,000 images from seed 1 with the default settings of the weights.
    pub fn of(pipeline: &Pipeline) -> Self {
        Self { settings: pipeline.settings(), count: 1_000, seed: 1, precision_recall: false, neighbours: true }
    }
}

/// The real images to measure against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalData {
    /// The training set.
    pub train: ImageSet,
    /// The test set.
    pub test: ImageSet,
}

/// The real images to measure against; at least one of the two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Real {
    /// The data set: for the results of real images, for neighbours, and as the reference if there is no other.
    pub data: Option<EvalData>,
    /// The reference of the distances: statistics or images of another set, usually of the whole training set.
    pub reference: Option<ReferenceBatch>,
}

/// Generates images, measures them and shows progress on stderr.
///
/// # Errors
/// As [`Baseline::measure_real`], before anything is generated; later only when the device fails.
pub fn evaluate(
    pipeline: &Pipeline,
    extractor: &dyn FeatureExtractor,
    real: &Real,
    options: &EvalOptions,
) -> Result<Report, EvalError> {
    let baseline = Baseline::measure_real(&pipeline.config, extractor, real, options)?;
    baseline.compare(&generate(pipeline, options)?)
}

#[cfg(test)]
mod tests;
