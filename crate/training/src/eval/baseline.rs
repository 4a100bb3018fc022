//! What real images reach, and generated images beside it.
//! Real images are measured once, however many sets of generated images are compared with them.

use super::check::{check, fits};
use super::classifier::share;
use super::features::FeatureExtractor;
use super::frechet::frechet_distance;
use super::gathered::Gathered;
use super::neighbours::{Neighbours, nearest};
use super::npz::{ReferenceBatch, Statistics};
use super::parts::{PartsFigures, PartsNetwork, Tally};
use super::precision_recall::{FEWEST, PrecisionRecall, precision_recall};
use super::seams::seam_ratio;
use super::{ClassShares, EvalError, EvalOptions, Generated, Real, Report};
use crate::data::ImageSet;
use marscope_core::config::WeightsConfig;

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
    train: Option<Gathered>,
    /// The seam ratio of the test set, or of the reference's images.
    seam_ratio: Option<f64>,
    /// Distances of as many test images to the nearest training images, if they were asked for.
    distances: Option<Vec<f64>>,
    /// The network that sees parts, and what as many training and test images show.
    parts: Option<(&'a PartsNetwork, [Tally; 2])>,
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
        let train = train.map(|images| gather(&images, "training images")).transpose()?;
        let seen = data.map(|data| &data.test).or(real.reference.as_ref().and_then(|of| of.images.as_ref()));
        let distances = data.filter(|_| options.neighbours).map(|data| {
            let few = first_of_each(&data.test, classes, options.count);
            nearest(&few, &data.train)
        });
        Ok(Self {
            config,
            extractor,
            real,
            options,
            reference: reference.ok_or(EvalError::NoReference)?,
            images,
            test: test.filter(|_| extractor.shape().is_some()),
            train,
            seam_ratio: seen.and_then(|images| seam_ratio(images, token_side(config))),
            distances,
            parts: None,
        })
    }

    /// Measures what the real images show of their parts with `network` too. Without a data set, or if the network can tell no
    /// values apart, there is nothing to measure.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when the network is for other images.
    pub fn with_parts(mut self, network: &'a PartsNetwork) -> Result<Self, EvalError> {
        fits("parts network", network.shape(), self.config)?;
        if let Some(data) = self.real.data.as_ref().filter(|_| network.questions().counted() > 0) {
            let classes = self.config.model.class_num;
            let tally = |images: &ImageSet, what: &str| {
                network.tally(&first_of_each(images, classes, self.options.count), what)
            };
            self.parts = Some((network, [tally(&data.train, "training images"), tally(&data.test, "the test set")]));
        }
        Ok(self)
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
        let neighbours = data.zip(self.distances.as_ref());
        let neighbours =
            neighbours.map(|(data, distances)| Neighbours::compare(&nearest(images, &data.train), distances));
        let parts = self
            .parts
            .as_ref()
            .map(|(network, [train, test])| PartsFigures::of(&network.tally(images, "generated images"), train, test));
        let frechet_floor = self.train.as_ref().map(|train| distance(&train.statistics));
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
            frechet_floor,
            frechet_ratio: frechet_floor.filter(|&floor| floor > 0.0).map(|floor| frechet / floor),
            spatial_frechet,
            spatial_frechet_floor: self.train.as_ref().and_then(|train| spatial(&train.statistics)),
            inception_score: score(&found),
            real_inception_score: self.images.as_ref().and_then(score),
            precision_recall: self.precision_recall(&found),
            real_precision_recall: self.train.as_ref().and_then(|train| self.precision_recall(train)),
            seam_ratio: seam_ratio(images, token_side(config)),
            real_seam_ratio: self.seam_ratio,
            parts,
            neighbours,
            seconds: *seconds,
            images_per_second: seconds.map(|seconds| images.len() as f64 / seconds),
        })
    }

    fn precision_recall(&self, found: &Gathered) -> Option<PrecisionRecall> {
        let (real, width) = (self.images.as_ref()?, self.extractor.width());
        let enough = self.options.precision_recall && found.first.len() >= FEWEST * width;
        enough.then(|| precision_recall(&real.first, &found.first, width))
    }
}

/// Pixels that a token covers, per side.
fn token_side(config: &WeightsConfig) -> usize {
    config.model.vae_stride * config.model.patch_size
}

/// Share of `images` classified as their label; with `class`, among the images of that class.
fn recognised(found: &Gathered, images: &ImageSet, class: Option<usize>) -> f64 {
    let pairs = found.classes.iter().zip(&images.labels).map(|(&found, &label)| (found, usize::from(label)));
    share(pairs.filter(|&(_, label)| class.is_none_or(|class| class == label)))
}

/// The first `count` images of `images`, balanced over the classes, or all if there are fewer.
pub(super) fn first_of_each(images: &ImageSet, classes: usize, count: usize) -> ImageSet {
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
