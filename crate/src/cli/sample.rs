//! `marscope sample`: a grid of images from a weights folder.
//! Section 3.4 of the paper; image i of the grid is what the page draws for seed + i.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::autoencoder::KlArgs;
use super::device::DeviceKind;
use super::settings::PictureArgs;
use super::{Failure, read, write};
use crate::checkpoint::{Checkpoint, HostTensor, Precision, write_safetensors};
use crate::engine::Engine;
use crate::grid::Grid;
use crate::sampler::{Decoding, Settings};
use crate::trace::Trace;

/// Images decoded together.
const BATCH: usize = 64;

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json and model.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    #[command(flatten)]
    picture: PictureArgs,
    /// Number of images
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// PNG file to write: the image itself, or a grid when there are several
    #[arg(long)]
    out: PathBuf,
    /// safetensors file for the tokens, [count, L, C]
    #[arg(long)]
    latents: Option<PathBuf>,
    /// JSON file for everything the one image went through, which `replay` and the page read
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.trace.is_some() && args.count > 1 {
        return Err(format!("a trace is of one image, and --count is {}: leave one of the two out", args.count).into());
    }
    let engine = args.kl.pictures(open(&args.model, args.device)?, args.device)?;
    let settings = Settings { stride: usize::from(args.trace.is_some()), ..args.picture.settings(&engine) };
    let seeds: Vec<u64> = (0..u64::from(args.count)).map(|i| args.picture.seed.wrapping_add(i)).collect();
    let bar = ProgressBar::new((seeds.len().div_ceil(BATCH) * settings.iterations) as u64);
    let (mut images, mut tokens) = (Vec::new(), Vec::new());
    for seeds in seeds.chunks(BATCH) {
        let plans: Vec<_> = seeds.iter().map(|&seed| (args.picture.label(), seed)).collect();
        let mut decoding = engine.decode(&plans, args.picture.order, settings.clone(), None)?;
        match &args.trace {
            Some(path) => write(path, traced(&engine, &mut decoding, args.picture.seed, &bar)?.to_json()?)?,
            None => {
                while pollster::block_on(decoding.advance())?.is_some() {
                    bar.inc(1);
                }
            }
        }
        images.extend(engine.images(&decoding));
        tokens.extend_from_slice(decoding.tokens());
    }
    bar.finish_and_clear();

    let model = &engine.config.model;
    write_grid(&args.out, &images, engine.tokenizer.image())?;
    if let Some(path) = &args.latents {
        let shape = vec![images.len(), model.tokens(), model.token_dim()];
        let tensors = [("latents".to_owned(), HostTensor { shape, data: tokens })].into();
        write(path, write_safetensors(&Checkpoint { tensors }, Precision::F32)?)?;
    }
    Ok(())
}

/// Decodes to the end, noting everything.
fn traced(engine: &Engine, decoding: &mut Decoding, seed: u64, bar: &ProgressBar) -> Result<Trace, Failure> {
    let mut trace = Trace::begin(engine, decoding, seed)?;
    loop {
        let before = decoding.standing().clone();
        let Some(iteration) = pollster::block_on(decoding.advance())? else { return Ok(trace) };
        trace.push(&before, &iteration);
        bar.inc(1);
    }
}

/// The weights folder `path` on `device`.
pub fn open(path: &Path, device: DeviceKind) -> Result<Engine, Failure> {
    let config = String::from_utf8(read(&path.join("config.json"))?)
        .map_err(|_| format!("{}: config.json is no text", path.display()))?;
    let weights = read(&path.join("model.safetensors"))?;
    let loaded = pollster::block_on(Engine::load(&config, &weights, &device.open()?));
    Ok(loaded.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Writes images `[channels, side, side]` as a PNG, side by side.
pub fn write_grid(path: &Path, images: &[Vec<f32>], [channels, side]: [usize; 2]) -> Result<(), Failure> {
    let saved = Grid::new(images, channels, side)?.save(path);
    saved.map_err(|error| format!("{}: {error}", path.display()).into())
}
