//! Measures generated images: recognisable, distributed as real ones, and no copies of training images.
//! In the place of the paper's FID and Inception Score (section 5), on the data set's own terms.

pub mod axes;
pub mod classifier;
pub mod frechet;
mod generate;
pub mod neighbours;
mod report;
#[cfg(feature = "train")]
pub mod train_classifier;

use serde::{Deserialize, Serialize};

pub use self::generate::{Generated, generate};
pub use self::report::{ClassShares, Report};
use crate::config::WeightsConfig;
use crate::data::ImageSet;
use crate::engine::Engine;
use crate::sampler::{SampleError, Settings};
use classifier::{Classified, Classifier, ClassifierShape, FEATURES, SMALLEST, share};
use frechet::{FrechetError, Gaussian, frechet_distance};
use neighbours::{Neighbours, nearest};

/// What is generated to be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvalOptions {
    /// What the images are decoded under; `stride` has no effect on them.
    pub settings: Settings,
    /// Number of images, at least one a class.
    pub count: usize,
    /// Seed of the first image; each further one has the next.
    pub seed: u64,
}

impl EvalOptions {
    /// 1,000 images from seed 1 under the settings that the weights name as theirs.
    pub fn of(engine: &Engine) -> Self {
        Self { settings: engine.settings(), count: 1_000, seed: 1 }
    }
}

/// The real images to measure against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalData {
    /// What the network learnt from.
    pub train: ImageSet,
    /// What it never saw.
    pub test: ImageSet,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Decoding.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Features.
    #[error(transparent)]
    Frechet(#[from] FrechetError),
    /// Images of another kind than the network's.
    #[error(
        "the {what} is for {found:?}, but the weights generate {expected:?}: \
         give the data and the classifier that belong to the weights"
    )]
    Shape {
        /// What does not fit.
        what: &'static str,
        /// What it is for.
        found: ClassifierShape,
        /// What the network generates.
        expected: ClassifierShape,
    },
    /// A label that the network has no class for.
    #[error("the {what} holds label {label}, but the weights know {classes} classes: give the data they belong to")]
    Label {
        /// Which data.
        what: &'static str,
        /// The label.
        label: u16,
        /// Classes of the network.
        classes: usize,
    },
    /// Images that the classifier's three poolings leave nothing of.
    #[error("images of {0} pixels a side are too small for the classifier: it takes 8 and more")]
    Small(usize),
    /// Fewer images than classes.
    #[error("{count} images do not cover {classes} classes: give at least {classes}")]
    Count {
        /// Asked for.
        count: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// More classes than a label's byte can tell apart.
    #[error("the weights know {0} classes; measuring works for at most 256")]
    Classes(usize),
}

/// Generates images and measures them against `data`, showing progress on stderr.
///
/// # Errors
/// Before anything is generated: when data, classifier and weights do not fit each other ([`EvalError::Shape`],
/// [`EvalError::Label`], [`EvalError::Small`]), or when `options` are out of range. Later only when the device fails.
pub fn evaluate(
    engine: &Engine,
    classifier: &Classifier,
    data: &EvalData,
    options: &EvalOptions,
) -> Result<Report, EvalError> {
    check(&engine.config, classifier, data, options)?;
    let classes = engine.config.model.class_num;
    let real = classifier.classify(&data.test);
    let test = Gaussian::fit(&real.features, FEATURES)?;
    let from_train = classifier.classify(&first_of_each(&data.train, classes, options.count));
    let frechet_floor = frechet_distance(&Gaussian::fit(&from_train.features, FEATURES)?, &test);

    let Generated { images, seconds } = generate(engine, options)?;
    let found = classifier.classify(&images);
    let frechet = frechet_distance(&Gaussian::fit(&found.features, FEATURES)?, &test);
    let names = engine.config.classes.iter().enumerate();
    Ok(Report {
        weights: engine.config.name.clone(),
        options: options.clone(),
        classified: recognised(&found, &images, None),
        classifier_accuracy: recognised(&real, &data.test, None),
        classes: names
            .map(|(class, name)| ClassShares {
                name: name.clone(),
                generated: recognised(&found, &images, Some(class)),
                real: recognised(&real, &data.test, Some(class)),
            })
            .collect(),
        frechet,
        frechet_floor,
        neighbours: Neighbours::compare(
            &nearest(&images, &data.train),
            &nearest(&first_of_each(&data.test, classes, options.count), &data.train),
        ),
        seconds,
        images_per_second: images.len() as f64 / seconds,
    })
}

fn check(
    config: &WeightsConfig,
    classifier: &Classifier,
    data: &EvalData,
    options: &EvalOptions,
) -> Result<(), EvalError> {
    let model = &config.model;
    let classes = model.class_num;
    let expected = ClassifierShape { channels: model.vae_embed_dim, side: model.img_size, classes };
    let fits = |what, found| if found == expected { Ok(()) } else { Err(EvalError::Shape { what, found, expected }) };
    fits("classifier", classifier.shape())?;
    for (what, images) in [("training data", &data.train), ("test data", &data.test)] {
        fits(what, ClassifierShape { channels: images.channels, side: images.side, classes })?;
        measurable(what, images, classes)?;
    }
    if options.count < classes {
        return Err(EvalError::Count { count: options.count, classes });
    }
    Ok(())
}

/// Checks that a classifier of `classes` classes can take `images` and has a class for every label.
fn measurable(what: &'static str, images: &ImageSet, classes: usize) -> Result<(), EvalError> {
    if images.side < SMALLEST {
        return Err(EvalError::Small(images.side));
    }
    match images.labels.iter().find(|&&label| usize::from(label) >= classes) {
        Some(&label) => Err(EvalError::Label { what, label, classes }),
        None => Ok(()),
    }
}

/// Share of `images` taken for their label; of those of `class` alone where one is given.
fn recognised(found: &Classified, images: &ImageSet, class: Option<usize>) -> f64 {
    let pairs = found.classes.iter().zip(&images.labels).map(|(&found, &label)| (found, usize::from(label)));
    share(pairs.filter(|&(_, label)| class.is_none_or(|class| class == label)))
}

/// The first `count` images of `images`, as many of each class, or as many as there are.
fn first_of_each(images: &ImageSet, classes: usize, count: usize) -> ImageSet {
    let mut left: Vec<usize> = (0..classes).map(|class| (count + classes - 1 - class) / classes).collect();
    let mut taken = ImageSet { pixels: Vec::new(), labels: Vec::new(), ..*images };
    for (i, &label) in images.labels.iter().enumerate() {
        let left = &mut left[usize::from(label)];
        if *left > 0 {
            *left -= 1;
            taken.labels.push(label);
            taken.pixels.extend_from_slice(images.image(i));
        }
    }
    taken
}

#[cfg(test)]
mod tests;
