//! `marscope eval`: how good generated images are, through Inception as the field measures, or by a classifier.
//! The classifier ships beside the weights; where it does not, it is trained once and kept there.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::autoencoder::KlArgs;
use super::device::{DeviceKind, TrainDevice};
use super::sample::open;
use super::settings::SettingsArgs;
use super::{Failure, read, write};
use crate::checkpoint::{Checkpoint, Weights, read_safetensors};
use crate::data::{ImageSet, Split};
use crate::engine::Engine;
use crate::eval::classifier::{Classifier, ClassifierShape};
use crate::eval::features::FeatureExtractor;
use crate::eval::inception::Inception;
use crate::eval::npz::{ReferenceBatch, read_npz, write_images, write_statistics};
use crate::eval::{Baseline, EvalData, EvalOptions, Real, generate};

/// What images are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Features {
    /// The small classifier beside the weights
    Classifier,
    /// `InceptionV3`, as FID and Inception Score have it; needs --inception
    Inception,
}

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json, model.safetensors and, once there is one, classifier.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    /// Folder of the real images, train and test
    #[arg(long, required_unless_present = "reference")]
    data: Option<PathBuf>,
    /// What distances are to: an .npz of statistics or images as ADM has them, or a folder, of which the training
    /// images are taken [default: the test images of --data]
    #[arg(long, value_name = "STATS.npz|DIR")]
    reference: Option<PathBuf>,
    /// What images are compared by
    #[arg(long, value_enum, default_value_t = Features::Classifier)]
    features: Features,
    /// Inception's weights, as pytorch-fid and torch-fidelity publish them (pt_inception-2015-12-05-6726825d.pth)
    #[arg(long, value_name = "PATH", required_if_eq("features", "inception"))]
    inception: Option<PathBuf>,
    /// Measure precision and recall too (Kynkäänniemi et al.), over at most 10,000 images of each kind
    #[arg(long)]
    precision_recall: bool,
    /// Number of images to generate, at least one a class where there is --data; the paper's numbers are over 50,000
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seed of the first image; each further one has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Write the report as JSON too
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the reference's mu and sigma, to be given as --reference later
    #[arg(long, value_name = "STATS.npz")]
    save_reference: Option<PathBuf>,
    /// Write the generated images as ADM's evaluator reads them
    #[arg(long, value_name = "SAMPLES.npz")]
    save_images: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let engine = args.kl.pictures(open(&args.model, args.device)?, args.device)?;
    let data = args.data.as_deref().map(read_data).transpose()?;
    let extractor: Box<dyn FeatureExtractor> = match (args.features, &args.inception) {
        (Features::Inception, Some(path)) => Box::new(inception(path, args.device)?),
        _ => Box::new(classifier(&args.model, &engine, data.as_ref().map(|data| &data.train))?),
    };
    let reference = args.reference.as_deref();
    let reference = reference.map(|path| read_reference(path, &*extractor, args.precision_recall)).transpose()?;
    let settings = args.settings.over(engine.settings());
    let precision_recall = args.precision_recall;
    let options = EvalOptions { settings, count: args.count, seed: args.seed, precision_recall };

    let real = Real { data, reference };
    let baseline = Baseline::measure_real(&engine.config, &*extractor, &real, &options)?;
    if let Some(path) = &args.save_reference {
        write_statistics(path, baseline.reference())?;
    }
    let generated = generate(&engine, &options)?;
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
        // FID is by custom measured against what the network learnt from.
        return Ok(ReferenceBatch { statistics: None, images: Some(ImageSet::read(path, Split::Train)?) });
    }
    Ok(read_npz(path, extractor.width(), extractor.spatial_width(), images)?)
}

/// Inception with the weights in the file `path`.
fn inception(path: &Path, device: DeviceKind) -> Result<Inception, Failure> {
    let named = |error| format!("{}: {error}", path.display());
    let checkpoint = Checkpoint::read(&read(path)?, Weights::Raw).map_err(named)?;
    Ok(Inception::load(&checkpoint, &device.burn()?).map_err(named)?)
}

/// The classifier beside the weights, for the images that they generate.
fn classifier(folder: &Path, engine: &Engine, train: Option<&ImageSet>) -> Result<Classifier, Failure> {
    let path = folder.join("classifier.safetensors");
    if !path.is_file() {
        let train = train.ok_or_else(|| {
            format!("{} is not there: give --data, to train one on, or --features inception", path.display())
        })?;
        return train_and_keep(&path, engine, train);
    }
    let model = &engine.config.model;
    let shape = ClassifierShape { channels: engine.config.channels(), side: model.img_size, classes: model.class_num };
    let checkpoint = read_safetensors(&read(&path)?)?;
    // Small and measured once: always on the CPU, whatever the images are generated on.
    let device = TrainDevice::Cpu.open()?;
    Ok(Classifier::load(shape, &checkpoint, &device).map_err(|error| format!("{}: {error}", path.display()))?)
}

#[cfg(feature = "train")]
fn train_and_keep(path: &Path, engine: &Engine, train: &ImageSet) -> Result<Classifier, Failure> {
    use crate::checkpoint::{Precision, write_safetensors};
    use crate::eval::train_classifier::{ClassifierTraining, train_classifier};

    let trained = train_classifier(train, engine.config.model.class_num, ClassifierTraining::default())?;
    let bytes = write_safetensors(&trained.to_checkpoint(), Precision::F16)?;
    write(path, &bytes)?;
    // Measured as it is kept: in f16.
    Ok(Classifier::load(trained.shape(), &read_safetensors(&bytes)?, &TrainDevice::Cpu.open()?)?)
}

#[cfg(not(feature = "train"))]
fn train_and_keep(path: &Path, _: &Engine, _: &ImageSet) -> Result<Classifier, Failure> {
    Err(format!("{} is not there: build with --features train, which trains one", path.display()).into())
}
