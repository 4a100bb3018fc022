//! `cargo xtask`: builds the page's bundles, serves the page and runs every test.
//! It is the one entry point, for people and for continuous integration alike.

mod apt;
mod arrows;
mod bench;
mod browser;
mod data;
mod deny;
mod links;
mod node;
mod process;
mod report;
mod serve;
mod steps;
mod test;
mod types;
mod wasm;
mod wasm_target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds the page, serves it, runs every test.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page's two WebAssembly bundles into www/src/pkg.
    Wasm(wasm::Args),
    /// Build whatever is missing or out of date and serve the page on this machine.
    Serve(serve::Args),
    /// Write the page's TypeScript types from the Rust ones.
    Types(types::Args),
    /// Measure the engines against ONNX Runtime Web and `PyTorch`.
    Bench(bench::Args),
    /// Make a data set to train on.
    Data(data::Args),
    /// Run every check and every test, stopping at the first step that fails.
    Test(test::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Wasm(args) => wasm::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Types(args) => types::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Test(args) => return test::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
