//! `cargo xtask types`: the page's TypeScript types, written from the Rust ones.
//! The program that prints them is `types` of the core package.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, read, www};

/// Arguments of `cargo xtask types`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if the file is stale.
    #[arg(long)]
    check: bool,
}

/// Writes the types, or checks them.
///
/// # Errors
/// As [`check`], or if the file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    if args.check {
        return check();
    }
    let path = path();
    fs::write(&path, generate()?).with_context(|| path.display().to_string())
}

/// Checks that the file says what Rust says.
///
/// # Errors
/// If it does not, or what prints the types does not build.
pub fn check() -> Result<()> {
    let path = path();
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept != generate()? {
        bail!("{} is stale: run `cargo xtask types`", path.display());
    }
    Ok(())
}

fn path() -> PathBuf {
    www().join("src/engine/generated.ts")
}

fn generate() -> Result<String> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "-p", "marscope-core", "--features", "ts", "--bin", "types"]);
    Ok(read(&mut command)? + "\n")
}
