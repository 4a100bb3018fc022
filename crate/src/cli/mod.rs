//! The command line: one file a command, each a thin coat over the library.
//! The doc comments of the arguments are what `--help` prints.

mod device;
mod eval;
mod sample;
mod settings;
#[cfg(feature = "train")]
mod train;

use std::process::ExitCode;

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
    /// Measure how good a weights folder's images are
    Eval(eval::Args),
    /// Train a network on a folder of idx files
    #[cfg(feature = "train")]
    Train(train::Args),
}

/// Runs the command that the arguments ask for. An error is printed as one line, and gives exit status 1.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Sample(args) => sample::run(&args),
        Command::Eval(args) => eval::run(args),
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

/// Reads a file, naming it if that fails.
fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
