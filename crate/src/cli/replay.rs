//! `marscope replay`: a recorded decoding, the page's or the command line's, computed again and compared.
//! The picture that comes out is the one that was recorded, on whichever device it was.

use std::path::PathBuf;

use super::device::DeviceKind;
use super::sample::{open, write_grid};
use super::{Failure, read};
use crate::trace::{Trace, replay};

#[derive(clap::Args)]
pub struct Args {
    /// Trace to compute again, as the page saves it or `sample --trace` writes it
    trace: PathBuf,
    /// Weights folder: config.json and model.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    /// PNG file for the picture
    #[arg(long)]
    out: Option<PathBuf>,
    /// The largest difference between two tokens' numbers (black to white is 2) that passes for the same [two steps of a
    /// byte by default: at the noisiest step the rounding, which is each engine's own, is multiplied by
    /// `1/sqrt(alpha_bar)`, some 20,000, and few diffusion steps leave little time to forget it]
    #[arg(long, default_value_t = 1.6e-2)]
    tolerance: f32,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", args.trace.display());
    let trace = Trace::read(&read(&args.trace)?).map_err(|error| named(&error))?;
    let engine = open(&args.model, args.device)?;
    let replayed = replay(&engine, &trace).map_err(|error| named(&error))?;
    if let Some(path) = &args.out {
        let model = &engine.config.model;
        write_grid(path, &[replayed.image], model.vae_embed_dim, model.img_size)?;
    }
    let (difference, tokens, tolerance) = (replayed.difference, replayed.tokens, args.tolerance);
    println!("largest difference {difference:.2e} over {tokens} tokens");
    if difference <= tolerance {
        return Ok(());
    }
    Err(named(&format!("the replay is {difference:.2e} away from what was recorded, more than {tolerance:.2e}")).into())
}
