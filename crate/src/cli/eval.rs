//! `marscope eval`: measures generated images with Inception, as the field does, or with small networks trained on the data.
//! With --samples it measures images from elsewhere.

use std::path::{Path, PathBuf};

use super::autoencoder::KlArgs;
use super::device::DeviceKind;
use super::measures::{Data, Features, Measures, read_images};
use super::sample::{open, read_config};
use super::settings::SettingsArgs;
use super::{Failure, write};
use marscope_core::config::WeightsConfig;
use marscope_core::pipeline::Pipeline;
use marscope_training::data::{ImageSet, Layout, Split, open_images};
use marscope_training::eval::npz::{ReferenceBatch, read_npz, read_samples, write_images, write_statistics};
use marscope_training::eval::{EvalOptions, Generated, Real, generate};

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json, model.safetensors, and the networks that measure (classifier.safetensors,
    /// parts.safetensors), which are trained if they are missing
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
    /// Network whose features images are compared in [default: parts if the data says what its pictures are made of,
    /// else classifier]
    #[arg(long, value_enum)]
    features: Option<Features>,
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
    /// Measure these images instead of generating any: a folder with one folder of images per class, or an .npz file of
    /// --save-images. Of the weights, config.json alone is read
    #[arg(long, value_name = "SAMPLES.npz|DIR", conflicts_with_all = ["save_images", "count", "seed"])]
    samples: Option<PathBuf>,
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
    let source = match &args.samples {
        None => {
            let (pipeline, device) = open(&args.model, args.device)?;
            Source::Weights(Box::new(args.kl.pictures(pipeline, &args.model, &device)?))
        }
        Some(path) => Source::samples(path, read_config(&args.model)?)?,
    };
    let (config, count) = match &source {
        Source::Weights(pipeline) => (&pipeline.config, args.count),
        Source::Samples(config, images) => (&**config, images.len()),
    };
    let data = args.data.as_deref().map(|path| Data::read(path, config)).transpose()?;
    let inception = args.inception.as_deref();
    let measures = Measures::open(&args.model, config, data.as_ref(), args.features, inception, args.device)?;
    let reference = args.reference.as_deref();
    let reference = reference.map(|path| read_reference(path, &measures, config, args.precision_recall)).transpose()?;
    let settings = args.settings.over(config)?;
    let precision_recall = args.precision_recall;
    let options = EvalOptions { settings, count, seed: args.seed, precision_recall, neighbours: true };

    let real = Real { data: data.map(|data| data.images), reference };
    let baseline = measures.baseline(config, &real, &options)?;
    if let Some(path) = &args.save_reference {
        write_statistics(path, baseline.reference())?;
    }
    let generated = match &source {
        Source::Weights(pipeline) => generate(pipeline, &options)?,
        Source::Samples(_, images) => Generated { images: images.clone(), seconds: None },
    };
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

/// Where the images come from.
enum Source {
    /// Weights that generate them.
    Weights(Box<Pipeline>),
    /// Images that are there already, for weights of this configuration. Its name is the path that they were read from.
    Samples(Box<WeightsConfig>, ImageSet),
}

impl Source {
    /// The images of the file or folder `path`, for weights of `config`.
    fn samples(path: &Path, config: WeightsConfig) -> Result<Self, Failure> {
        let named = |what: String| -> Failure { format!("{}: {what}", path.display()).into() };
        let images = if path.is_dir() {
            let opened = open_images(path, Split::Test, Some(config.model.img_size))?;
            if opened.layout == Layout::ImageFolder && opened.classes != config.classes {
                let [found, expected] = [&opened.classes, &config.classes].map(|classes| classes.join(", "));
                return Err(named(format!("its folders are {found}, but the classes of the weights are {expected}")));
            }
            ImageSet::collect(&*opened.images)?
        } else {
            read_samples(path, config.channels())?
        };
        let ImageSet { channels, side, .. } = images;
        if (channels, side) != (config.channels(), config.model.img_size) {
            let (c, s) = (config.channels(), config.model.img_size);
            let found = format!("{side}x{side} pixels and {channels} channels");
            return Err(named(format!("images of {found}, but those of the weights have {s}x{s} and {c}")));
        }
        if let Some(label) = images.labels.iter().find(|&&label| usize::from(label) >= config.classes.len()) {
            return Err(named(format!("it holds label {label}, but there are {} classes", config.classes.len())));
        }
        Ok(Self::Samples(Box::new(WeightsConfig { name: path.display().to_string(), ..config }), images))
    }
}

fn read_reference(
    path: &Path,
    measures: &Measures,
    config: &WeightsConfig,
    images: bool,
) -> Result<ReferenceBatch, Failure> {
    if path.is_dir() {
        // By convention, FID is measured against the training set.
        return Ok(ReferenceBatch { statistics: None, images: Some(read_images(path, Split::Train, config)?) });
    }
    let extractor = measures.extractor();
    Ok(read_npz(path, extractor.width(), extractor.spatial_width(), images)?)
}
