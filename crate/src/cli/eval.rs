//! `marscope eval`: measures generated images with Inception, as the field does, or with a small classifier.
//! The classifier lies beside the weights. If it is missing, it is trained once and saved there.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::autoencoder::KlArgs;
use super::device::{DeviceKind, TrainDevice};
use super::sample::open;
use super::settings::SettingsArgs;
use super::{Failure, read, write};
use marscope_core::checkpoint::read_safetensors;
use marscope_core::pipeline::Pipeline;
use marscope_training::checkpoint::{Weights, read_weights};
use marscope_training::data::{ImageSet, Split};
use marscope_training::eval::classifier::{Classifier, ClassifierShape};
use marscope_training::eval::features::FeatureExtractor;
use marscope_training::eval::inception::Inception;
use marscope_training::eval::npz::{ReferenceBatch, read_npz, write_images, write_statistics};
use marscope_training::eval::{Baseline, EvalData, EvalOptions, Real, generate};

/// The network whose features images are compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Features {
    /// The small classifier beside the weights
    Classifier,
    /// `InceptionV3`, the network of FID and Inception Score; needs --inception
    Inception,
}

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json, model.safetensors and optionally classifier.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    /// Folder of the real images, training and test set
    #[arg(long, required_unless_present = "reference")]
    data: Option<PathBuf>,
    /// Reference that distances are measured to: an .npz file in ADM's form (statistics or images), or a folder, whose
    /// training images are used [default: the test images of --data]
    #[arg(long, value_name = "STATS.npz|DIR")]
    reference: Option<PathBuf>,
    /// Network whose features images are compared in
    #[arg(long, value_enum, default_value_t = Features::Classifier)]
    features: Features,
    /// Inception's weights, as published by pytorch-fid (pt_inception-2015-12-05-6726825d.pth)
    #[arg(long, value_name = "PATH", required_if_eq("features", "inception"))]
    inception: Option<PathBuf>,
    /// Also measure precision and recall (Kynkäänniemi et al.), over at most 10,000 images of each kind
    #[arg(long)]
    precision_recall: bool,
    /// Number of images to generate: with --data, at least one per class; the paper uses 50,000
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seed of the first image; image i uses this seed plus i
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Also write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the reference's mu and sigma, to use as --reference later
    #[arg(long, value_name = "STATS.npz")]
    save_reference: Option<PathBuf>,
    /// Write the generated images in the form that ADM's evaluator reads
    #[arg(long, value_name = "SAMPLES.npz")]
    save_images: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let pipeline = args.kl.pictures(open(&args.model, args.device)?, args.device)?;
    let data = args.data.as_deref().map(read_data).transpose()?;
    let extractor: Box<dyn FeatureExtractor> = match (args.features, &args.inception) {
        (Features::Inception, Some(path)) => Box::new(inception(path, args.device)?),
        _ => Box::new(classifier(&args.model, &pipeline, data.as_ref().map(|data| &data.train))?),
    };
    let reference = args.reference.as_deref();
    let reference = reference.map(|path| read_reference(path, &*extractor, args.precision_recall)).transpose()?;
    let settings = args.settings.over(&pipeline)?;
    let precision_recall = args.precision_recall;
    let options = EvalOptions { settings, count: args.count, seed: args.seed, precision_recall };

    let real = Real { data, reference };
    let baseline = Baseline::measure_real(&pipeline.config, &*extractor, &real, &options)?;
    if let Some(path) = &args.save_reference {
        write_statistics(path, baseline.reference())?;
    }
    let generated = generate(&pipeline, &options)?;
    if let Some(path) = &args.save_images {
        write_images(path, &generated.images)?;
    }
    let report = baseline.compare(&generated)?;
    println!("{report}");
    if let Some(path) = args.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        write(&path, json)?;
    }
    Ok(())
}

fn read_data(folder: &Path) -> Result<EvalData, Failure> {
    Ok(EvalData { train: ImageSet::read(folder, Split::Train)?, test: ImageSet::read(folder, Split::Test)? })
}

fn read_reference(path: &Path, extractor: &dyn FeatureExtractor, images: bool) -> Result<ReferenceBatch, Failure> {
    if path.is_dir() {
        // By convention, FID is measured against the training set.
        return Ok(ReferenceBatch { statistics: None, images: Some(ImageSet::read(path, Split::Train)?) });
    }
    Ok(read_npz(path, extractor.width(), extractor.spatial_width(), images)?)
}

/// Reads Inception's weights from the file `path`.
fn inception(path: &Path, device: DeviceKind) -> Result<Inception, Failure> {
    let named = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let checkpoint = read_weights(&read(path)?, Weights::Raw).map_err(|error| named(&error))?;
    Ok(Inception::load(&checkpoint, &device.burn()?).map_err(|error| named(&error))?)
}

/// Reads the classifier in `folder`, or trains one and saves it there.
fn classifier(folder: &Path, pipeline: &Pipeline, train: Option<&ImageSet>) -> Result<Classifier, Failure> {
    let path = folder.join("classifier.safetensors");
    if !path.is_file() {
        let train = train.ok_or_else(|| {
            format!("{} is missing: give --data to train a classifier, or --features inception", path.display())
        })?;
        return train_and_keep(&path, pipeline, train);
    }
    let model = &pipeline.config.model;
    let shape =
        ClassifierShape { channels: pipeline.config.channels(), side: model.img_size, classes: model.class_num };
    let checkpoint = read_safetensors(&read(&path)?)?;
    // It is small: it always runs on the CPU, whatever device generates the images.
    let device = TrainDevice::Cpu.open()?;
    Ok(Classifier::load(shape, &checkpoint, &device).map_err(|error| format!("{}: {error}", path.display()))?)
}

#[cfg(feature = "train")]
fn train_and_keep(path: &Path, pipeline: &Pipeline, train: &ImageSet) -> Result<Classifier, Failure> {
    use marscope_core::checkpoint::{Precision, write_safetensors};
    use marscope_training::eval::train_classifier::{ClassifierTraining, train_classifier};

    let trained = train_classifier(train, pipeline.config.model.class_num, ClassifierTraining::default())?;
    let bytes = write_safetensors(&trained.to_checkpoint(), Precision::F16)?;
    write(path, &bytes)?;
    // Images are measured with the saved weights, in f16.
    Ok(Classifier::load(trained.shape(), &read_safetensors(&bytes)?, &TrainDevice::Cpu.open()?)?)
}

#[cfg(not(feature = "train"))]
fn train_and_keep(path: &Path, _: &Pipeline, _: &ImageSet) -> Result<Classifier, Failure> {
    Err(format!("{} is missing: build with --features train, which can train it", path.display()).into())
}
