//! The command line: one file a command, each a thin coat over the library.
//! The doc comments of the arguments are what `--help` prints.

mod autoencoder;
mod cache;
mod device;
mod eval;
mod import;
mod patches;
mod replay;
mod resample;
mod sample;
mod settings;
#[cfg(feature = "train")]
mod train;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "Masked autoregressive image generation with a diffusion loss (arXiv 2406.11838)")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draw images from a weights folder
    Sample(sample::Args),
    /// Compute a recorded decoding again, and say how far the two are apart
    Replay(replay::Args),
    /// Draw one token again and again, from where a decoding would draw it
    Resample(resample::Args),
    /// Make a weights folder of a weights file, an official checkpoint for instance
    Import(import::Args),
    /// Measure how good a weights folder's images are
    Eval(eval::Args),
    /// Find the directions in which a data set's patches differ most
    Patches(patches::Args),
    /// Encode a data set into latents, once, for training
    Cache(cache::Args),
    /// Train a network on a folder of idx files
    #[cfg(feature = "train")]
    Train(train::Args),
}

/// Runs the command that the arguments ask for. An error is printed as one line, and gives exit status 1.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Sample(args) => sample::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Resample(args) => resample::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Eval(args) => eval::run(args),
        Command::Patches(args) => patches::run(&args),
        Command::Cache(args) => cache::run(&args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a command ends with when it fails: a message for a person.
type Failure = Box<dyn std::error::Error>;

/// A flag that Ctrl-C sets.
///
/// # Errors
/// When the system gives no handler.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        // A second Ctrl-C means it.
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    Ok(stop)
}

/// Writes a file, naming it if that fails.
fn write(path: &std::path::Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Reads a file, naming it if that fails.
fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
