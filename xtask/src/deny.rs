//! The check of licences and sources, by cargo-deny.
//! Continuous integration installs the tool if it is missing; other users are told how to.

use anyhow::Result;

use crate::process::{cargo, in_ci, read, run};
use crate::report::Outcome;

/// Installs the tool. The version is fixed, so that a new check in the tool is no surprise.
const INSTALL: [&str; 5] = ["install", "cargo-deny", "--locked", "--version", "0.20.2"];
/// How continuous integration builds the tool: in half the time, as it runs for a few seconds at most.
const QUICK_BUILD: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];

/// Checks the dependencies against `deny.toml`. Advisories are left out: they change without a change here.
///
/// # Errors
/// If the check finds something, or the tool cannot be installed.
pub fn check() -> Result<Outcome> {
    if !installed() {
        if !in_ci() {
            println!("cargo-deny is not installed. To run this step: cargo {}", INSTALL.join(" "));
            return Ok(Outcome::Skipped("cargo-deny is not installed"));
        }
        run(cargo().args(INSTALL).arg("--quiet").envs(QUICK_BUILD))?;
    }
    run(cargo().args(["deny", "--all-features", "check", "licenses", "bans", "sources"]))?;
    Ok(Outcome::Passed)
}

/// Whether cargo finds the tool, on PATH or in its own folder of programs.
fn installed() -> bool {
    read(cargo().args(["deny", "--version"])).is_ok()
}
