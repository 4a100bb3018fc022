//! `marscope replay`: a recorded decoding, the page's or the command line's, computed again and compared.
//! The picture that comes out is the one that was recorded, on whichever device it was.

use std::path::PathBuf;

use super::autoencoder::KlArgs;
use super::device::DeviceKind;
use super::sample::{open, write_grid};
use super::{Failure, read};
use crate::diffusion::Solver;
use crate::trace::{Trace, TraceSettings, replay};

#[derive(clap::Args)]
pub struct Args {
    /// Trace to compute again, as the page saves it or `sample --trace` writes it
    trace: PathBuf,
    /// Weights folder: config.json and model.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    /// PNG file for the picture
    #[arg(long)]
    out: Option<PathBuf>,
    /// The largest difference between two tokens' numbers (black to white is 2) that passes for the same [default: half a
    /// step of a byte, 0.004; two steps, 0.016, where an iteration has fewer than ten diffusion steps or another solver than
    /// DDPM, and one that has five or fewer may need more. Engines round each their own way, the noisiest step multiplies
    /// that by `1/sqrt(alpha_bar)`, some 20,000, and the fewer steps and the less fresh noise follow, the more of it stays]
    #[arg(long)]
    tolerance: Option<f32>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", args.trace.display());
    let trace = Trace::read(&read(&args.trace)?).map_err(|error| named(&error))?;
    let mut engine = open(&args.model, args.device)?;
    if args.out.is_some() {
        engine = args.kl.pictures(engine, args.device)?;
    }
    let replayed = replay(&engine, &trace).map_err(|error| named(&error))?;
    if let Some(path) = &args.out {
        write_grid(path, &[replayed.image], engine.tokenizer.image())?;
    }
    let tolerance = args.tolerance.unwrap_or_else(|| passes(&trace.settings));
    let (difference, tokens) = (replayed.difference, replayed.tokens);
    println!("largest difference {difference:.2e} over {tokens} tokens");
    if difference <= tolerance {
        return Ok(());
    }
    Err(named(&format!("the replay is {difference:.2e} away from what was recorded, more than {tolerance:.2e}")).into())
}

/// The difference that passes where none is given: see [`Args::tolerance`].
fn passes(settings: &TraceSettings) -> f32 {
    let fewest = settings.late_steps.unwrap_or(settings.steps).min(settings.steps);
    if fewest < 10 || settings.solver != Solver::Ddpm { 1.6e-2 } else { 4e-3 }
}
