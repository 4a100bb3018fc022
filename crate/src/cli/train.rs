//! `marscope train`: a network from a folder of images.
//! Ctrl-C saves and stops; `--resume` goes on from there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Failure;
use super::device::TrainDevice;
use crate::train::{Preset, TrainOptions, train};

#[derive(clap::Args)]
pub struct Args {
    /// Folder of idx files (train-images-idx3-ubyte and train-labels-idx1-ubyte, .gz or plain)
    #[arg(long)]
    data: PathBuf,
    /// Network and recipe
    #[arg(long, value_enum)]
    preset: Preset,
    /// Folder of the run: checkpoints, log, and a weights folder to sample from
    #[arg(long)]
    out: PathBuf,
    /// Steps in all [default: the preset's]
    #[arg(long)]
    steps: Option<usize>,
    /// Go on with the run in --out
    #[arg(long)]
    resume: bool,
    /// Seconds between checkpoints
    #[arg(long, default_value_t = 120)]
    save_every: u64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: TrainDevice,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        // A second Ctrl-C means it.
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    let device = args.device.open()?;
    let options = TrainOptions {
        data: args.data,
        preset: args.preset,
        out: args.out,
        steps: args.steps,
        resume: args.resume,
        save_every: args.save_every,
    };
    let outcome = train(&options, &device, &stop)?;
    let (step, loss, out) = (outcome.step, outcome.loss, options.out.display());
    if outcome.stopped {
        println!("stopped and saved after step {step} (loss {loss:.4}): go on by --resume");
    } else {
        println!("done: {step} steps, loss {loss:.4}. Sample from it: marscope sample --model {out} --out grid.png");
    }
    Ok(())
}
