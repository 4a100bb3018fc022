//! The compiler for the page: one with a standard library for wasm32.
//! rustup's brings that library; where it is not to be had, Debian's compiler builds it from Debian's sources.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::process::{cargo, read, root};

/// The target of the page's bundles.
pub const TARGET: &str = "wasm32-unknown-unknown";
const TARGET_DIR: &str = "target/wasm";
/// Debian 12's up-to-date compiler, kept for its browsers, with the sources of its standard library.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];
const DEBIAN_BIN: &str = "/usr/bin";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";

/// A way to compile for wasm32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The toolchain of `rust-toolchain.toml`, with the target installed.
    Rustup,
    /// Debian's compiler, beside rustup's, building the standard library along with the crate.
    Debian,
}

/// Finds a compiler for wasm32, installing Debian's if that is possible and nothing else is there.
///
/// # Errors
/// If there is none and none can be installed; the message says how to get one.
pub fn find() -> Result<Toolchain> {
    if rustup_has_target()? {
        return Ok(Toolchain::Rustup);
    }
    let advice = format!(
        "no Rust standard library for {TARGET}: run `rustup target add {TARGET}`, or on Debian 12 install {}",
        DEBIAN_PACKAGES.join(" ")
    );
    if !debian_is_complete(Path::new("/")) {
        if !apt::available() {
            bail!(advice);
        }
        apt::install(&DEBIAN_PACKAGES).with_context(|| advice.clone())?;
        if !debian_is_complete(Path::new("/")) {
            bail!(advice);
        }
    }
    Ok(Toolchain::Debian)
}

impl Toolchain {
    /// `cargo SUBCOMMAND` for wasm32, in the optimised `web` profile, into `target/wasm`: a folder of its own, so that
    /// the two compilers never rebuild each other's work.
    ///
    /// # Errors
    /// If the linker cannot be located.
    pub fn cargo(self, subcommand: &str) -> Result<Command> {
        let mut command = match self {
            Toolchain::Rustup => cargo(),
            Toolchain::Debian => debian_cargo()?,
        };
        command.arg(subcommand).args(["--quiet", "--profile", "web", "--target", TARGET]);
        command.args(["--target-dir", TARGET_DIR]);
        if self == Toolchain::Debian {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        Ok(command)
    }
}

/// Where the wasm builds go.
pub fn target_dir() -> PathBuf {
    root().join(TARGET_DIR)
}

fn rustup_has_target() -> Result<bool> {
    let folder = rustc(&["--print", "target-libdir", "--target", TARGET])?;
    Ok(Path::new(&folder).is_dir())
}

fn debian_is_complete(system: &Path) -> bool {
    let bin = system.join(DEBIAN_BIN.trim_start_matches('/'));
    ["rustc", "cargo", "cargo-clippy"].iter().all(|program| bin.join(program).is_file())
        && system.join(DEBIAN_SOURCES.trim_start_matches('/')).is_dir()
}

fn debian_cargo() -> Result<Command> {
    let bin = Path::new(DEBIAN_BIN);
    let mut command = Command::new(bin.join("cargo"));
    command
        .current_dir(root())
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("RUSTC", bin.join("rustc"))
        .env("RUSTDOC", bin.join("rustdoc"))
        // `cargo clippy` takes the first `cargo-clippy` on PATH, which would be rustup's.
        .env("PATH", path_starting_with(bin))
        // Building the standard library is not stable in Cargo; this lets a release compiler do it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("LD_LIBRARY_PATH");
    // Debian's compiler comes without a linker for wasm; rustup's is one.
    let linker = Path::new(&rustc(&["--print", "sysroot"])?)
        .join("lib/rustlib")
        .join(rustc(&["--print", "host-tuple"])?)
        .join("bin/rust-lld");
    if linker.is_file() {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    Ok(command)
}

fn path_starting_with(first: &Path) -> OsString {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(env::split_paths(&rest));
    env::join_paths(folders).unwrap_or(rest)
}

fn rustc(args: &[&str]) -> Result<String> {
    // Inside the repository rustup picks the toolchain of rust-toolchain.toml.
    read(Command::new("rustc").args(args).current_dir(root()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn debians_compiler_counts_only_with_its_sources() {
        let system = tempfile::tempdir().unwrap();
        fs::create_dir_all(system.path().join("usr/bin")).unwrap();
        for program in ["rustc", "cargo", "cargo-clippy"] {
            fs::write(system.path().join("usr/bin").join(program), "").unwrap();
        }
        assert!(!debian_is_complete(system.path()));
        fs::create_dir_all(system.path().join("usr/lib/rustlib/src/rust/library/std")).unwrap();
        assert!(debian_is_complete(system.path()));
        fs::remove_file(system.path().join("usr/bin/cargo-clippy")).unwrap();
        assert!(!debian_is_complete(system.path()));
    }

    #[test]
    fn the_given_folder_leads_path() {
        let path = path_starting_with(Path::new("/first"));
        assert_eq!(env::split_paths(&path).next(), Some(PathBuf::from("/first")));
    }
}
