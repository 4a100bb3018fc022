//! System packages on Debian and its relatives.
//! Only root on a machine with `apt-get` gets anything installed; everybody else is told what to install.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{on_path, read, run};

/// Whether packages can be installed here without asking anybody.
pub fn available() -> bool {
    on_path(&["apt-get"]).is_some() && read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// Installs `packages` with what each needs, and nothing that is merely recommended.
///
/// # Errors
/// If `apt-get` fails; its output has gone through by then.
pub fn install(packages: &[&str]) -> Result<()> {
    // A new machine's package lists may be stale or missing, and installing from them fails with a 404.
    run(Command::new("apt-get").args(["update", "-qq"])).context("the package lists could not be updated")?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages))
    .with_context(|| format!("these packages could not be installed: {}", packages.join(" ")))
}
