//! `marscope replay`: decodes a recorded picture again, the page's or the command line's, and compares the tokens.
//! The new picture equals the recorded one up to rounding, on any device.

use std::path::PathBuf;

use super::autoencoder::KlArgs;
use super::device::DeviceKind;
use super::sample::{open, write_grid};
use super::{Failure, read};
use marscope_core::diffusion::Solver;
use marscope_core::sampler::Settings;
use marscope_core::trace::{Trace, replay};

#[derive(clap::Args)]
pub struct Args {
    /// Trace to decode again: a JSON file saved by the page or written by `sample --trace`
    trace: PathBuf,
    /// Weights folder: config.json and model.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    /// PNG file to write the picture to
    #[arg(long)]
    out: Option<PathBuf>,
    /// Largest accepted difference of a token's numbers; black to white is 2 [default: 0.004, half a byte step; 0.016
    /// with fewer than ten diffusion steps in an iteration or a solver other than DDPM]. Engines round differently, and
    /// the noisiest step multiplies a rounding error by `1/sqrt(alpha_bar)`, about 20,000. Few steps and little fresh
    /// noise leave more of the error: with five steps or fewer, a larger value may be needed
    #[arg(long)]
    tolerance: Option<f32>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", args.trace.display());
    let trace = Trace::read(&read(&args.trace)?).map_err(|error| named(&error))?;
    let (mut pipeline, device) = open(&args.model, args.device)?;
    if args.out.is_some() {
        pipeline = args.kl.pictures(pipeline, &args.model, &device)?;
    }
    let replayed = pollster::block_on(replay(&pipeline, &trace)).map_err(|error| named(&error))?;
    if let Some(path) = &args.out {
        write_grid(path, &pollster::block_on(pipeline.images(&replayed.tokens))?, pipeline.tokenizer()?.image())?;
    }
    let tolerance = args.tolerance.unwrap_or_else(|| passes(&trace.settings.sampling));
    let (difference, tokens) = (replayed.difference, replayed.compared);
    println!("largest difference {difference:.2e} over {tokens} tokens");
    if difference <= tolerance {
        return Ok(());
    }
    Err(named(&format!("the replay differs from the recording by {difference:.2e}, more than {tolerance:.2e}")).into())
}

/// The default of [`Args::tolerance`].
fn passes(settings: &Settings) -> f32 {
    let steps = settings.steps.count().unwrap_or(0);
    let fewest = settings.late_steps.unwrap_or(steps).min(steps);
    if fewest < 10 || settings.solver != Solver::Ddpm { 1.6e-2 } else { 4e-3 }
}
