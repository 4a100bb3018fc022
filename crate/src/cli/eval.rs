//! `marscope eval`: how good generated images are, by a classifier trained on real ones.
//! The classifier ships beside the weights; where it does not, it is trained once and kept there.

use std::path::{Path, PathBuf};

use super::device::{DeviceKind, TrainDevice};
use super::sample::open;
use super::settings::SettingsArgs;
use super::{Failure, read, write};
use crate::checkpoint::read_safetensors;
use crate::data::{ImageSet, Split};
use crate::engine::Engine;
use crate::eval::classifier::{Classifier, ClassifierShape};
use crate::eval::{EvalData, EvalOptions, evaluate};

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json, model.safetensors and, once there is one, classifier.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    /// Folder of the real images (idx files, train and test)
    #[arg(long)]
    data: PathBuf,
    /// Number of images to generate, at least one a class
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
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let engine = open(&args.model, args.device)?;
    let data =
        EvalData { train: ImageSet::read(&args.data, Split::Train)?, test: ImageSet::read(&args.data, Split::Test)? };
    let classifier = classifier(&args.model, &engine, &data.train)?;
    let settings = args.settings.over(engine.settings());
    let options = EvalOptions { settings, count: args.count, seed: args.seed };

    let report = evaluate(&engine, &classifier, &data, &options)?;
    println!("{report}");
    if let Some(path) = args.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        write(&path, json)?;
    }
    Ok(())
}

/// The classifier beside the weights.
fn classifier(folder: &Path, engine: &Engine, train: &ImageSet) -> Result<Classifier, Failure> {
    let path = folder.join("classifier.safetensors");
    let shape = ClassifierShape { channels: train.channels, side: train.side, classes: engine.config.model.class_num };
    if !path.is_file() {
        return train_and_keep(&path, engine, train);
    }
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
