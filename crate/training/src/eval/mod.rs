//! Measures generated images: their quality, their distribution, and whether they copy training images.
//! The paper's FID, Inception Score, precision and recall (section 5), through Inception or a classifier of the data's
//! own.

pub mod axes;
pub mod classifier;
pub mod features;
pub mod frechet;
mod gathered;
mod generate;
pub mod inception;
pub mod inception_score;
pub mod neighbours;
pub mod npz;
pub mod precision_recall;
mod report;
pub mod similarity;
#[cfg(feature = "train")]
pub mod train_classifier;

use serde::{Deserialize, Serialize};

pub use self::generate::{Generated, generate};
pub use self::report::{ClassShares, Report};
pub use self::similarity::{Similarity, similarity};
use crate::data::ImageSet;
use classifier::{ClassifierShape, SMALLEST, share};
use features::FeatureExtractor;
use frechet::{FrechetError, frechet_distance};
use gathered::Gathered;
use marscope_core::config::WeightsConfig;
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{SampleError, Settings};
use marscope_core::tokenizer::TokenizerError;
use neighbours::{Neighbours, nearest};
use npz::{ReferenceBatch, Statistics};
use precision_recall::{FEWEST, PrecisionRecall, precision_recall};

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
}

impl EvalOptions {
    /// 1,000 images from seed 1 with the default settings of the weights.
    pub fn of(pipeline: &Pipeline) -> Self {
        Self { settings: pipeline.settings(), count: 1_000, seed: 1, precision_recall: false }
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

/// Why the images cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Decoding.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Pictures of the tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Features.
    #[error(transparent)]
    Frechet(#[from] FrechetError),
    /// Images or a classifier that do not match the network.
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
    /// A label beyond the network's classes.
    #[error("the {what} holds label {label}, but the weights have {classes} classes: give the data of these weights")]
    Label {
        /// Which data.
        what: &'static str,
        /// The label.
        label: u16,
        /// Classes of the network.
        classes: usize,
    },
    /// Images too small for the classifier's three poolings.
    #[error("images of {0} pixels a side are too small for the classifier: it needs at least 8")]
    Small(usize),
    /// Fewer images than classes.
    #[error("{count} images do not cover {classes} classes: give a --count of at least {classes}")]
    Count {
        /// Asked for.
        count: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// Images that Inception cannot take.
    #[error("the {what} has {channels} channels: Inception takes images of 1 or 3 channels")]
    Channels {
        /// Which images.
        what: &'static str,
        /// Their channels.
        channels: usize,
    },
    /// No real images to measure against.
    #[error("there are no real images to measure against: give --data, --reference, or both")]
    NoReference,
    /// A reference without images.
    #[error(
        "precision and recall compare images, but the reference has statistics alone: give one that also holds arr_0, \
         or a folder of images"
    )]
    NoImages,
    /// Too few images to have neighbours.
    #[error("precision and recall need {FEWEST} images of each kind, but there are {0} of one: give more")]
    Few(usize),
    /// More classes than a label of two bytes allows.
    #[error("the weights have {0} classes; eval supports at most 65,536")]
    Classes(usize),
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

/// The results of real images, to compare generated images with.
pub struct Baseline<'a> {
    config: &'a WeightsConfig,
    extractor: &'a dyn FeatureExtractor,
    real: &'a Real,
    options: &'a EvalOptions,
    reference: Statistics,
    /// The reference's images, if they were needed.
    images: Option<Gathered>,
    /// The test set, if the classifier has the network's classes.
    test: Option<Gathered>,
    /// As many training images as generated ones.
    train: Option<Statistics>,
}

impl<'a> Baseline<'a> {
    /// Measures the real images with `extractor` and shows progress on stderr.
    ///
    /// # Errors
    /// When data, extractor and weights do not fit each other ([`EvalError::Shape`], [`EvalError::Label`],
    /// [`EvalError::Small`], [`EvalError::Channels`]), when `options` are out of range, or when the reference lacks
    /// what they ask for ([`EvalError::NoReference`], [`EvalError::NoImages`], [`EvalError::Few`]).
    pub fn measure_real(
        config: &'a WeightsConfig,
        extractor: &'a dyn FeatureExtractor,
        real: &'a Real,
        options: &'a EvalOptions,
    ) -> Result<Self, EvalError> {
        check(config, extractor, real, options)?;
        let classes = config.model.class_num;
        let gather = |images: &ImageSet, what: &str| Gathered::of(extractor, images, what, options.precision_recall);
        let data = real.data.as_ref();
        let test = match data {
            Some(data) if extractor.shape().is_some() || real.reference.is_none() => {
                Some(gather(&data.test, "the test set")?)
            }
            _ => None,
        };
        let (statistics, images) = match &real.reference {
            Some(ReferenceBatch { statistics, images }) => {
                // Images beside statistics are for precision and recall and for their Inception Score.
                let images = images.as_ref().map(|images| gather(images, "the reference")).transpose()?;
                (statistics.clone(), images)
            }
            None => (None, test.clone()),
        };
        let reference = statistics.or_else(|| images.as_ref().map(|images| images.statistics.clone()));
        let train = data.map(|data| first_of_each(&data.train, classes, options.count));
        let train = train.map(|images| Gathered::of(extractor, &images, "training images", false)).transpose()?;
        Ok(Self {
            config,
            extractor,
            real,
            options,
            reference: reference.ok_or(EvalError::NoReference)?,
            images,
            test: test.filter(|_| extractor.shape().is_some()),
            train: train.map(|train| train.statistics),
        })
    }

    /// Means and covariances of the reference.
    pub fn reference(&self) -> &Statistics {
        &self.reference
    }

    /// Measures `generated`, which must come from the same options that the real images were measured for.
    ///
    /// # Errors
    /// [`EvalError::Frechet`] when the extractor computes features that are not finite.
    pub fn compare(&self, generated: &Generated) -> Result<Report, EvalError> {
        let Generated { images, seconds } = generated;
        let Self { config, extractor, options, .. } = *self;
        let classes = config.model.class_num;
        let found = Gathered::of(extractor, images, "generated images", options.precision_recall)?;
        let distance = |to: &Statistics| frechet_distance(&to.features, &self.reference.features);
        let spatial = |to: &Statistics| match (&to.spatial, &self.reference.spatial) {
            (Some(to), Some(reference)) => Some(frechet_distance(to, reference)),
            _ => None,
        };
        let (frechet, spatial_frechet) = (distance(&found.statistics), spatial(&found.statistics));
        // The score uses Inception's classes; for the classifier, the report has a share per class.
        let score = |gathered: &Gathered| gathered.score.filter(|_| extractor.shape().is_none());
        let data = self.real.data.as_ref();
        let test = self.test.as_ref().zip(data.map(|data| &data.test));
        let neighbours = data.map(|data| {
            let few = first_of_each(&data.test, classes, options.count);
            Neighbours::compare(&nearest(images, &data.train), &nearest(&few, &data.train))
        });
        let shares = |(real, test): (&Gathered, &ImageSet)| -> Vec<ClassShares> {
            let share = |(class, name): (usize, &String)| ClassShares {
                name: name.clone(),
                generated: recognised(&found, images, Some(class)),
                real: recognised(real, test, Some(class)),
            };
            config.classes.iter().enumerate().map(share).collect()
        };
        Ok(Report {
            weights: config.name.clone(),
            options: options.clone(),
            features: extractor.name().to_owned(),
            reference: if self.real.reference.is_some() { "reference" } else { "test set" }.to_owned(),
            classified: extractor.shape().map(|_| recognised(&found, images, None)),
            classifier_accuracy: test.map(|(real, test)| recognised(real, test, None)),
            classes: test.map(shares).unwrap_or_default(),
            frechet,
            frechet_floor: self.train.as_ref().map(distance),
            spatial_frechet,
            spatial_frechet_floor: self.train.as_ref().and_then(spatial),
            inception_score: score(&found),
            real_inception_score: self.images.as_ref().and_then(score),
            precision_recall: self.precision_recall(&found),
            neighbours,
            seconds: *seconds,
            images_per_second: images.len() as f64 / seconds,
        })
    }

    fn precision_recall(&self, found: &Gathered) -> Option<PrecisionRecall> {
        let real = self.images.as_ref().filter(|_| self.options.precision_recall)?;
        Some(precision_recall(&real.first, &found.first, self.extractor.width()))
    }
}

fn check(
    config: &WeightsConfig,
    extractor: &dyn FeatureExtractor,
    real: &Real,
    options: &EvalOptions,
) -> Result<(), EvalError> {
    let model = &config.model;
    let classes = model.class_num;
    let expected = ClassifierShape { channels: config.channels(), side: model.img_size, classes };
    let fits = |what, found| if found == expected { Ok(()) } else { Err(EvalError::Shape { what, found, expected }) };
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
            for (what, channels) in all.into_iter().chain([("weights' image", expected.channels)]) {
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

/// Checks that a classifier of `classes` classes takes `images` and has a class for every label.
fn measurable(what: &'static str, images: &ImageSet, classes: usize) -> Result<(), EvalError> {
    if images.side < SMALLEST {
        return Err(EvalError::Small(images.side));
    }
    match images.labels.iter().find(|&&label| usize::from(label) >= classes) {
        Some(&label) => Err(EvalError::Label { what, label, classes }),
        None => Ok(()),
    }
}

/// Share of `images` classified as their label; with `class`, among the images of that class.
fn recognised(found: &Gathered, images: &ImageSet, class: Option<usize>) -> f64 {
    let pairs = found.classes.iter().zip(&images.labels).map(|(&found, &label)| (found, usize::from(label)));
    share(pairs.filter(|&(_, label)| class.is_none_or(|class| class == label)))
}

/// The first `count` images of `images`, balanced over the classes, or all if there are fewer.
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
