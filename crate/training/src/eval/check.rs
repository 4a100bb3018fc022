//! Checks that weights, data and the network that measures them fit each other.

use super::classifier::{ClassifierShape, SMALLEST};
use super::features::FeatureExtractor;
use super::precision_recall::FEWEST;
use super::{EvalError, EvalOptions, Real};
use crate::data::ImageSet;
use marscope_core::config::WeightsConfig;

/// Checks everything that an evaluation depends on but the parts network.
pub(super) fn check(
    config: &WeightsConfig,
    extractor: &dyn FeatureExtractor,
    real: &Real,
    options: &EvalOptions,
) -> Result<(), EvalError> {
    let model = &config.model;
    let classes = model.class_num;
    let fits = |what, found| fits(what, Some(found), config);
    if let Some(shape) = extractor.shape() {
        fits("classifier", shape)?;
    }
    for (what, images) in real.data.iter().flat_map(|data| [("training data", &data.train), ("test data", &data.test)])
    {
        fits(what, ClassifierShape { channels: images.channels, side: images.side, classes })?;
        measurable(what, images, classes)?;
    }
    let reference = real.reference.as_ref().and_then(|reference| reference.images.as_ref());
    match (extractor.shape(), reference) {
        (Some(_), Some(images)) => {
            fits("reference", ClassifierShape { channels: images.channels, side: images.side, classes })?;
        }
        (None, reference) => {
            let all = reference.map(|images| ("reference", images.channels));
            for (what, channels) in all.into_iter().chain([("weights' image", config.channels())]) {
                if channels != 1 && channels != 3 {
                    return Err(EvalError::Channels { what, channels });
                }
            }
        }
        (Some(_), None) => {}
    }
    if options.count < classes && real.data.is_some() {
        return Err(EvalError::Count { count: options.count, classes });
    }
    if options.precision_recall {
        let real = match &real.reference {
            Some(reference) => reference.images.as_ref().ok_or(EvalError::NoImages)?.len(),
            None => real.data.as_ref().ok_or(EvalError::NoReference)?.test.len(),
        };
        if real.min(options.count) < FEWEST {
            return Err(EvalError::Few(real.min(options.count)));
        }
    }
    Ok(())
}

/// Checks that `found`, the shape of `what`, is that of the images of `config`; without a shape anything fits.
pub(super) fn fits(
    what: &'static str,
    found: Option<ClassifierShape>,
    config: &WeightsConfig,
) -> Result<(), EvalError> {
    let expected = shape_of(config);
    match found {
        Some(found) if found != expected => Err(EvalError::Shape { what, found, expected }),
        _ => Ok(()),
    }
}

/// The images that the weights of `config` generate, and their classes.
pub fn shape_of(config: &WeightsConfig) -> ClassifierShape {
    let model = &config.model;
    ClassifierShape { channels: config.channels(), side: model.img_size, classes: model.class_num }
}

/// Checks that a classifier of `classes` classes takes `images` and has a class for every label.
pub(super) fn measurable(what: &'static str, images: &ImageSet, classes: usize) -> Result<(), EvalError> {
    if images.side < SMALLEST {
        return Err(EvalError::Small { side: images.side, least: SMALLEST });
    }
    match images.labels.iter().find(|&&label| usize::from(label) >= classes) {
        Some(&label) => Err(EvalError::Label { what, label, classes }),
        None => Ok(()),
    }
}
