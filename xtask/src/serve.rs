//! `cargo xtask serve`: from a fresh clone to the page in a browser.
//! Builds what is missing or out of date; then `www/serve.mjs` serves `www/dist` like any static host.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run as run_command, www};
use crate::{node, wasm};

/// Arguments of `cargo xtask serve`.
#[derive(clap::Args)]
pub struct Args {
    /// The port on 127.0.0.1; 0 takes any that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The URL path the page appears under, as on a host that serves it from a sub-folder.
    #[arg(long, default_value = "/")]
    base: String,
}

/// Builds what is needed and serves the page until the program is stopped.
///
/// # Errors
/// If a build fails or the port is taken.
pub fn run(args: &Args) -> Result<()> {
    build()?;
    run_command(Command::new("node").args(["serve.mjs", &args.port.to_string(), &args.base]).current_dir(www()))
        .context("the page is no longer served; if the port was taken, choose another with --port")
}

fn build() -> Result<()> {
    node::check()?;
    if !node::installed() {
        node::install()?;
    }
    if wasm::up_to_date()? {
        println!("the WebAssembly bundles are up to date");
    } else {
        wasm::build(&wasm::Bundle::ALL)?;
    }
    node::npm(&["run", "build"], &[])
}
