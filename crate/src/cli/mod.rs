//! The command line: one file per command, each a thin layer over the library.
//! The doc comments of the arguments are what `--help` prints.

mod autoencoder;
mod cache;
mod device;
mod eval;
mod import;
mod measures;
mod patches;
mod replay;
mod resample;
mod sample;
mod settings;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod train_tokenizer;
mod tune;

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
    /// Decode a recorded picture again and compare the tokens
    Replay(replay::Args),
    /// Draw many samples of one token at one point of a decoding
    Resample(resample::Args),
    /// Turn a weights file, for instance an official checkpoint, into a weights folder
    Import(import::Args),
    /// Measure the quality of the images that weights generate
    Eval(eval::Args),
    /// Search the sampling settings of weights: quality against time, and the defaults from it
    Tune(tune::Args),
    /// Compute the two principal axes of a data set's patches
    Patches(patches::Args),
    /// Encode a data set into latents, for training
    Cache(cache::Args),
    /// Train a network on a folder of images or latents
    #[cfg(feature = "train")]
    Train(train::Args),
    /// Train a network on a folder of images or latents (not in this build: add --features train)
    #[cfg(not(feature = "train"))]
    #[command(disable_help_flag = true)]
    Train {
        /// The arguments, which are not read
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<std::ffi::OsString>,
    },
    /// Train an autoencoder on a folder of pictures
    #[cfg(feature = "train")]
    TrainTokenizer(train_tokenizer::Args),
}

/// Runs the command. An error is printed as one line, and the exit status is 1.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Sample(args) => sample::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Resample(args) => resample::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Eval(args) => eval::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Patches(args) => patches::run(&args),
        Command::Cache(args) => cache::run(&args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(args),
        #[cfg(not(feature = "train"))]
        Command::Train { .. } => {
            Err("this build cannot train: build it with `cargo build --release -p marscope --features train`".into())
        }
        #[cfg(feature = "train")]
        Command::TrainTokenizer(args) => train_tokenizer::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed: a message for a person.
type Failure = Box<dyn std::error::Error>;

/// A flag that Ctrl-C sets.
///
/// # Errors
/// When the system installs no handler.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        // A second Ctrl-C ends the program at once.
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    Ok(stop)
}

/// Writes a file. An error names the file.
fn write(path: &std::path::Path, content: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Reads a file. An error names the file.
fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
