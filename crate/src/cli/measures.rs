//! What `eval` and `tune` measure with: real images, and the networks that compare images with them.
//! The classifier and the parts network lie beside the weights. If one is missing, it is trained once and saved there.

use std::path::Path;

use clap::ValueEnum;

use super::device::{DeviceKind, TrainDevice};
use super::{Failure, read};
use marscope_core::checkpoint::read_safetensors;
use marscope_core::config::WeightsConfig;
use marscope_training::checkpoint::{Weights, read_weights};
use marscope_training::data::{DataError, ImageSet, Parts, Split, read_parts};
use marscope_training::eval::classifier::Classifier;
use marscope_training::eval::features::FeatureExtractor;
use marscope_training::eval::inception::Inception;
use marscope_training::eval::parts::{PartsNetwork, Questions};
use marscope_training::eval::{Baseline, EvalData, EvalOptions, Real, shape_of};

/// The network whose features images are compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Features {
    /// The small classifier beside the weights
    Classifier,
    /// The network that sees which parts a picture has; for data with train.jsonl and val.jsonl beside its pictures
    Parts,
    /// `InceptionV3`, the network of FID and Inception Score; needs --inception
    Inception,
}

/// A data set, and what its pictures were made of if it says so.
pub struct Data {
    /// Training and test images.
    pub images: EvalData,
    /// What the training and the test images were made of.
    parts: Option<[Vec<Parts>; 2]>,
}

impl Data {
    /// Reads the folder `path` for the images of `config`.
    ///
    /// # Errors
    /// Names the file that is missing, damaged or does not fit.
    pub fn read(path: &Path, config: &WeightsConfig) -> Result<Self, Failure> {
        let [train, test] = [Split::Train, Split::Test].map(|split| read_parts(path, split));
        let parts = match (train?, test?) {
            (Some(train), Some(test)) => Some([train, test]),
            (None, None) => None,
            _ => {
                let folder = path.display();
                return Err(format!("{folder}: parts need both train.jsonl and val.jsonl, and one is missing").into());
            }
        };
        let images = |split| read_images(path, split, config);
        Ok(Self { images: EvalData { train: images(Split::Train)?, test: images(Split::Test)? }, parts })
    }
}

/// Reads the images of the folder `path`: at their own size, or image files at that of the images of `config`.
pub fn read_images(path: &Path, split: Split, config: &WeightsConfig) -> Result<ImageSet, DataError> {
    match ImageSet::read(path, split) {
        Err(DataError::NeedsSide(_)) => ImageSet::read_scaled(path, split, Some(config.model.img_size)),
        read => read,
    }
}

/// The networks that measure.
pub struct Measures {
    parts: Option<PartsNetwork>,
    /// The network to compare features of, if it is not the parts network.
    other: Option<Box<dyn FeatureExtractor>>,
}

impl Measures {
    /// Opens the networks beside the weights in `folder`, and trains those that are missing on `data`. Compares features of
    /// `features`: if it is not given, of the parts network where the data has parts, and of the classifier elsewhere.
    ///
    /// # Errors
    /// Names the file that is missing or does not fit, or says what to give.
    pub fn open(
        folder: &Path,
        config: &WeightsConfig,
        data: Option<&Data>,
        features: Option<Features>,
        inception: Option<&Path>,
        device: DeviceKind,
    ) -> Result<Self, Failure> {
        let described = data.and_then(|data| data.parts.as_ref().map(|parts| (&data.images, parts)));
        let parts = described.map(|(images, parts)| parts_network(folder, config, images, parts)).transpose()?;
        let of = features.unwrap_or(if parts.is_some() { Features::Parts } else { Features::Classifier });
        let other: Option<Box<dyn FeatureExtractor>> = match (of, inception) {
            (Features::Inception, Some(path)) => Some(Box::new(self::inception(path, device)?)),
            (Features::Inception, None) => return Err("--features inception needs --inception PATH".into()),
            (Features::Classifier, _) => {
                Some(Box::new(classifier(folder, config, data.map(|data| &data.images.train))?))
            }
            (Features::Parts, _) if parts.is_some() => None,
            (Features::Parts, _) => {
                return Err("--features parts needs --data with train.jsonl and val.jsonl beside its pictures".into());
            }
        };
        Ok(Self { parts, other })
    }

    /// The network whose features are compared.
    ///
    /// # Panics
    /// Never: one of the two is there.
    pub fn extractor(&self) -> &dyn FeatureExtractor {
        let parts = || self.parts.as_ref().map(|parts| parts as &dyn FeatureExtractor);
        self.other.as_deref().or_else(parts).expect("open leaves one of them")
    }

    /// Measures real images.
    ///
    /// # Errors
    /// As [`Baseline::measure_real`] and [`Baseline::with_parts`].
    pub fn baseline<'a>(
        &'a self,
        config: &'a WeightsConfig,
        real: &'a Real,
        options: &'a EvalOptions,
    ) -> Result<Baseline<'a>, Failure> {
        let baseline = Baseline::measure_real(config, self.extractor(), real, options)?;
        Ok(match &self.parts {
            Some(parts) => baseline.with_parts(parts)?,
            None => baseline,
        })
    }
}

/// Reads Inception's weights from the file `path`.
fn inception(path: &Path, device: DeviceKind) -> Result<Inception, Failure> {
    let named = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let checkpoint = read_weights(&read(path)?, Weights::Raw).map_err(|error| named(&error))?;
    Ok(Inception::load(&checkpoint, &device.burn()?).map_err(|error| named(&error))?)
}

/// Reads the classifier in `folder`, or trains one and saves it there.
fn classifier(folder: &Path, config: &WeightsConfig, train: Option<&ImageSet>) -> Result<Classifier, Failure> {
    let path = folder.join("classifier.safetensors");
    if !path.is_file() {
        let train = train.ok_or_else(|| {
            format!("{} is missing: give --data to train a classifier, or --features inception", path.display())
        })?;
        return training::classifier(&path, config, train);
    }
    let checkpoint = read_safetensors(&read(&path)?)?;
    // It is small: it always runs on the CPU, whatever device generates the images.
    let loaded = Classifier::load(shape_of(config), &checkpoint, &TrainDevice::Cpu.open()?);
    Ok(loaded.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Reads the parts network in `folder`, or trains one and saves it there.
fn parts_network(
    folder: &Path,
    config: &WeightsConfig,
    images: &EvalData,
    parts: &[Vec<Parts>; 2],
) -> Result<PartsNetwork, Failure> {
    let [weights, questions] = ["parts.safetensors", "parts.json"].map(|name| folder.join(name));
    // The questions are written last.
    if !questions.is_file() {
        return training::parts_network([&weights, &questions], config, images, parts);
    }
    let json = String::from_utf8_lossy(&read(&questions)?).into_owned();
    let parsed = Questions::parse(&json).map_err(|error| format!("{}: {error}", questions.display()))?;
    let checkpoint = read_safetensors(&read(&weights)?)?;
    let loaded = PartsNetwork::load(parsed, &checkpoint, &TrainDevice::Cpu.open()?);
    Ok(loaded.map_err(|error| format!("{}: {error}", weights.display()))?)
}

#[cfg(feature = "train")]
mod training {
    use super::{Classifier, EvalData, Failure, ImageSet, Parts, PartsNetwork, Path, TrainDevice, WeightsConfig};
    use super::{Questions, read_safetensors};
    use crate::cli::write;
    use marscope_core::checkpoint::{Precision, write_safetensors};
    use marscope_training::eval::parts::{PARTS_TRAINING, train_parts};
    use marscope_training::eval::train_classifier::{CLASSIFIER_TRAINING, train_classifier};

    pub fn classifier(path: &Path, config: &WeightsConfig, train: &ImageSet) -> Result<Classifier, Failure> {
        let trained = train_classifier(train, config.model.class_num, CLASSIFIER_TRAINING)?;
        let bytes = write_safetensors(&trained.to_checkpoint(), Precision::F16)?;
        write(path, &bytes)?;
        // Images are measured with the saved weights, in f16.
        Ok(Classifier::load(trained.shape(), &read_safetensors(&bytes)?, &TrainDevice::Cpu.open()?)?)
    }

    pub fn parts_network(
        [path, questions]: [&Path; 2],
        config: &WeightsConfig,
        images: &EvalData,
        [train, test]: &[Vec<Parts>; 2],
    ) -> Result<PartsNetwork, Failure> {
        let described = [(&images.train, &train[..]), (&images.test, &test[..])];
        let trained = train_parts(described, &config.classes, PARTS_TRAINING)?;
        eprintln!("{}\n", trained.questions());
        let bytes = write_safetensors(&trained.to_checkpoint(), Precision::F16)?;
        write(path, &bytes)?;
        write(questions, serde_json::to_string_pretty::<Questions>(trained.questions())? + "\n")?;
        let asked = trained.questions().clone();
        Ok(PartsNetwork::load(asked, &read_safetensors(&bytes)?, &TrainDevice::Cpu.open()?)?)
    }
}

#[cfg(not(feature = "train"))]
mod training {
    use super::{Classifier, EvalData, Failure, ImageSet, Parts, PartsNetwork, Path, WeightsConfig};

    fn missing<T>(path: &Path) -> Result<T, Failure> {
        Err(format!("{} is missing: build with --features train, which can train it", path.display()).into())
    }

    pub fn classifier(path: &Path, _: &WeightsConfig, _: &ImageSet) -> Result<Classifier, Failure> {
        missing(path)
    }

    pub fn parts_network(
        [_, questions]: [&Path; 2],
        _: &WeightsConfig,
        _: &EvalData,
        _: &[Vec<Parts>; 2],
    ) -> Result<PartsNetwork, Failure> {
        missing(questions)
    }
}
