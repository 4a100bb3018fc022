//! The browser of the page's tests, and the software GPU that comes with it.
//! Chromium ships `SwiftShader`, a Vulkan driver on the CPU: the GPU engine is tested on it where there is no GPU.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::node;
use crate::process::{on_path, read, www};
use crate::{apt, process};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const ICD: &str = "vk_swiftshader_icd.json";
/// Folders of the browser's files in distributions whose browser program is a script elsewhere.
const LIBRARY_FOLDERS: [&str; 4] =
    ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome", "/usr/lib64/chromium-browser"];
/// Where Vulkan drivers register themselves.
const DRIVER_FOLDERS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// Finds a Chromium. If there is none, installs one if that is possible and allowed.
///
/// # Errors
/// If there is none and none can be installed, or `CHROMIUM_PATH` names none.
pub fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CHROMIUM_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("CHROMIUM_PATH is {}, which is not a file: set it to a Chromium, or unset it", path.display());
        }
        return Ok(path);
    }
    if let Some(path) = on_path(&NAMES) {
        return Ok(path);
    }
    let advice =
        "no browser for the tests: install Chromium or Google Chrome, or set CHROMIUM_PATH to the program of one";
    if apt::available() {
        apt::install(&["chromium"]).context(advice)?;
        if let Some(path) = on_path(&NAMES) {
            return Ok(path);
        }
    }
    playwrights().context(advice)
}

/// Downloads Playwright's own Chromium, unless it is there, and says where it is.
fn playwrights() -> Result<PathBuf> {
    if !node::installed() {
        node::install()?;
    }
    process::run(Command::new("npx").args(["playwright", "install", "chromium"]).current_dir(www()))?;
    let script = "process.stdout.write(require('@playwright/test').chromium.executablePath())";
    Ok(PathBuf::from(read(Command::new("node").args(["-e", script]).current_dir(www()))?))
}

/// The environment in which the GPU engine finds a Vulkan driver: the one the caller chose, else the software one that
/// came with `browser`, else the machine's.
///
/// # Errors
/// If there is none of these.
pub fn vulkan(browser: &Path) -> Result<Vec<(&'static str, OsString)>> {
    if env::var_os("VK_ICD_FILENAMES").is_some() || env::var_os("VK_DRIVER_FILES").is_some() {
        return Ok(Vec::new());
    }
    let beside = fs::canonicalize(browser).ok().and_then(|path| path.parent().map(Path::to_owned));
    let folders = beside.into_iter().chain(LIBRARY_FOLDERS.map(PathBuf::from));
    if let Some(icd) = software_driver(folders) {
        return Ok(driver_env(&icd, env::var_os("LD_LIBRARY_PATH")));
    }
    let registered = DRIVER_FOLDERS.iter().any(|folder| {
        fs::read_dir(folder).is_ok_and(|files| files.flatten().any(|file| has_extension(&file.path(), "json")))
    });
    if registered {
        return Ok(Vec::new());
    }
    bail!(
        "no Vulkan driver for the GPU engine's test: there is no {ICD} beside {} and no driver in {}; install \
         Chromium (it brings a software one) or a driver, or set VK_ICD_FILENAMES",
        browser.display(),
        DRIVER_FOLDERS.join(" or ")
    )
}

fn software_driver(folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.map(|folder| folder.join(ICD)).find(|file| file.is_file())
}

/// The driver's folder also has the Vulkan loader, which a machine without a GPU often lacks. It goes last, so that a
/// loader of the system is preferred.
fn driver_env(icd: &Path, libraries: Option<OsString>) -> Vec<(&'static str, OsString)> {
    let folder = icd.parent().unwrap_or(Path::new("/")).to_owned();
    let libraries = libraries.unwrap_or_default();
    let search: Vec<PathBuf> =
        env::split_paths(&libraries).filter(|path| !path.as_os_str().is_empty()).chain([folder]).collect();
    vec![
        ("VK_ICD_FILENAMES", icd.as_os_str().to_owned()),
        ("LD_LIBRARY_PATH", env::join_paths(search).unwrap_or(libraries)),
    ]
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_with_a_software_driver_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b", "c"] {
            fs::create_dir(at(name)).unwrap();
        }
        assert_eq!(software_driver(["a", "b"].map(at).into_iter()), None);
        fs::write(at("b").join(ICD), "{}").unwrap();
        fs::write(at("c").join(ICD), "{}").unwrap();
        assert_eq!(software_driver(["a", "b", "c"].map(at).into_iter()), Some(at("b").join(ICD)));
    }

    #[test]
    fn the_drivers_folder_is_searched_last_for_libraries() {
        let env = driver_env(Path::new("/opt/chrome/icd.json"), Some("/x:/y".into()));
        assert_eq!(env[0], ("VK_ICD_FILENAMES", "/opt/chrome/icd.json".into()));
        assert_eq!(env[1], ("LD_LIBRARY_PATH", "/x:/y:/opt/chrome".into()));
        assert_eq!(driver_env(Path::new("/d/icd.json"), None)[1].1, OsString::from("/d"));
    }
}
