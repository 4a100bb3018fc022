//! `marscope sample`: generates images from a weights folder.
//! Section 3.4 of the paper. Image i of the grid is the picture that the page shows for seed + i.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::autoencoder::KlArgs;
use super::device::{DeviceKind, Opened};
use super::settings::PictureArgs;
use super::{Failure, read, write};
use marscope_core::checkpoint::{Checkpoint, HostTensor, Precision, write_safetensors};
use marscope_core::config::WeightsConfig;
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::Decoding;
use marscope_core::trace::Trace;
use marscope_training::checkpoint::{Weights, open_weights};
use marscope_training::grid::Grid;

/// Images decoded together.
const BATCH: usize = 64;

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json and model.safetensors; of latents also autoencoder.json and autoencoder.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    #[command(flatten)]
    picture: PictureArgs,
    /// Number of images
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// PNG file to write: the image, or a grid of several images
    #[arg(long)]
    out: PathBuf,
    /// Also write the tokens, [count, L, C], to this safetensors file
    #[arg(long)]
    latents: Option<PathBuf>,
    /// Also write a trace of the decoding to this JSON file, for `replay` and the page; only with one image
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.trace.is_some() && args.count > 1 {
        return Err(format!("a trace holds one image, and --count is {}: leave out one of them", args.count).into());
    }
    let (pipeline, device) = open(&args.model, args.device)?;
    let pipeline = args.kl.pictures(pipeline, &args.model, &device)?;
    let settings = args.picture.settings(&pipeline)?;
    let label = args.picture.label(&pipeline.config.classes)?;
    let seeds: Vec<u64> = (0..u64::from(args.count)).map(|i| args.picture.seed.wrapping_add(i)).collect();
    let bar = ProgressBar::new((seeds.len().div_ceil(BATCH) * settings.iterations) as u64);
    let (mut images, mut tokens) = (Vec::new(), Vec::new());
    for seeds in seeds.chunks(BATCH) {
        let plans: Vec<_> = seeds.iter().map(|&seed| (label, seed)).collect();
        let decoding = pipeline.decode(&plans, args.picture.order, settings.clone(), None)?;
        let mut decoding = decoding.keeping_steps(usize::from(args.trace.is_some()));
        match &args.trace {
            Some(path) => write(path, traced(&pipeline, &mut decoding, args.picture.seed, &bar)?.to_json()?)?,
            None => {
                while pollster::block_on(decoding.advance())?.is_some() {
                    bar.inc(1);
                }
            }
        }
        images.extend(pollster::block_on(pipeline.images(decoding.tokens()))?);
        tokens.extend_from_slice(decoding.tokens().continuous().unwrap_or_default());
    }
    bar.finish_and_clear();

    let model = &pipeline.config.model;
    write_grid(&args.out, &images, pipeline.tokenizer()?.image())?;
    if let Some(path) = &args.latents {
        let shape = vec![images.len(), model.tokens(), model.token_dim()];
        let tensors = [("latents".to_owned(), HostTensor { shape, data: tokens })].into();
        write(path, write_safetensors(&Checkpoint { tensors }, Precision::F32)?)?;
    }
    Ok(())
}

/// Decodes to the end and records a trace.
fn traced(pipeline: &Pipeline, decoding: &mut Decoding, seed: u64, bar: &ProgressBar) -> Result<Trace, Failure> {
    let mut trace = Trace::begin(pipeline, decoding, seed)?;
    loop {
        let before = decoding.state().clone();
        let Some(iteration) = pollster::block_on(decoding.advance())? else { return Ok(trace) };
        trace.push(&before, &iteration)?;
        bar.inc(1);
    }
}

/// Loads the network of the weights folder `path` onto `device`.
pub fn open(path: &Path, device: DeviceKind) -> Result<(Pipeline, Opened), Failure> {
    let config = read_config(path)?;
    let weights = path.join("model.safetensors");
    let weights = open_weights(&weights, Weights::Ema).map_err(|error| format!("{}: {error}", weights.display()))?;
    let loaded = device.load(&config.model, &*weights);
    let (network, device) = loaded.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((Pipeline::new(config, network), device))
}

/// Reads the `config.json` of the weights folder `path`.
pub fn read_config(path: &Path) -> Result<WeightsConfig, Failure> {
    let config = String::from_utf8(read(&path.join("config.json"))?)
        .map_err(|_| format!("{}: config.json is not a text file", path.display()))?;
    Ok(WeightsConfig::parse(&config).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Writes images, each `[channels, side, side]`, side by side into one PNG file.
pub fn write_grid(path: &Path, images: &[Vec<f32>], [channels, side]: [usize; 2]) -> Result<(), Failure> {
    let saved = Grid::new(images, channels, side)?.save(path);
    saved.map_err(|error| format!("{}: {error}", path.display()).into())
}
