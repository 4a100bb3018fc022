//! Compiling for the page: cargo with the wasm32 target, which rustup installs where it is missing.
//! The page's builds have a target folder of their own, so that they never wait for a native build's lock.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{cargo, read, root, run};

/// The target of the page's bundles.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that the toolchain has a standard library for the page's target.
///
/// # Errors
/// If it has none and rustup cannot install it; the message says what to do.
pub fn ensure() -> Result<()> {
    // Inside the repository rustup picks the toolchain of rust-toolchain.toml.
    let library =
        read(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(root()))?;
    if Path::new(&library).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root())).with_context(|| {
        format!("no Rust standard library for {TARGET}: install it (`rustup target add {TARGET}`) and try again")
    })
}

/// `cargo SUBCOMMAND` for the page, in the optimised `web` profile, with its products in `folder`.
///
/// # Errors
/// As [`ensure`].
pub fn cargo_for_page(subcommand: &str, folder: &Path) -> Result<Command> {
    ensure()?;
    let mut command = cargo();
    command.arg(subcommand).args(["--quiet", "--profile", "web", "--target", TARGET]);
    command.arg("--target-dir").arg(folder);
    Ok(command)
}

/// Where the page's builds go.
pub fn target_dir() -> PathBuf {
    root().join("target/wasm")
}
