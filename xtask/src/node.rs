//! Node.js and the page's npm packages.
//! The versions come from `www/package-lock.json`; packages are installed only with `npm ci`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{read, run, www};

/// The oldest Node.js the page's tools run on.
const OLDEST_NODE: u32 = 20;

/// Checks that Node.js is there and new enough.
///
/// # Errors
/// If `node` is missing or too old, or prints no version.
pub fn check() -> Result<()> {
    let advice = format!("install Node.js {OLDEST_NODE} or newer (https://nodejs.org)");
    let version = read(Command::new("node").arg("--version")).with_context(|| advice.clone())?;
    let Some(found) = major(&version) else {
        bail!("`node --version` printed '{version}', which is not a version: {advice}");
    };
    if found < OLDEST_NODE {
        bail!("Node.js {version} is too old: {advice}");
    }
    Ok(())
}

/// The first number of a version such as `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Runs `npm` with `args`, and `env` besides the caller's environment, in the page's folder.
///
/// # Errors
/// If npm is missing or fails.
pub fn npm(args: &[&str], env: &[(&str, &OsStr)]) -> Result<()> {
    run(Command::new("npm").args(args).envs(env.iter().copied()).current_dir(www()))
}

/// Installs exactly the packages of the lock file, from scratch.
///
/// # Errors
/// As [`npm`].
pub fn install() -> Result<()> {
    install_in(&www())
}

/// Likewise in another folder with a lock file of its own.
///
/// # Errors
/// As [`npm`].
pub fn install_in(folder: &Path) -> Result<()> {
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}

/// Whether the installed packages are those of the lock file, as far as the two files' times tell.
pub fn installed() -> bool {
    installed_in(&www())
}

/// Likewise in another folder with a lock file of its own.
pub fn installed_in(folder: &Path) -> bool {
    is_newer(&folder.join("node_modules/.package-lock.json"), &folder.join("package-lock.json"))
}

/// Whether `file` exists and is no older than `reference`.
fn is_newer(file: &Path, reference: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    matches!((modified(file), modified(reference)), (Ok(file), Ok(reference)) if file >= reference)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn majors_are_read_and_nonsense_is_not() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("20.1.0"), None);
        assert_eq!(major("vx"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn installed_packages_older_than_the_lock_file_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        let (marker, lock) = (folder.path().join("marker"), folder.path().join("lock"));
        let now = SystemTime::now();
        File::create(&lock).unwrap().set_modified(now).unwrap();
        assert!(!is_newer(&marker, &lock), "missing");
        let file = File::create(&marker).unwrap();
        file.set_modified(now - Duration::from_mins(1)).unwrap();
        assert!(!is_newer(&marker, &lock), "older");
        file.set_modified(now + Duration::from_mins(1)).unwrap();
        assert!(is_newer(&marker, &lock), "newer");
    }
}
