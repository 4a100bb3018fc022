//! A file replaced in one step: written beside its place, pushed to the disk, moved there.
//! A killed run leaves the old file or the new one, and no half of either.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes `bytes` the content of `path`.
///
/// # Errors
/// What the system said; the old file is then still there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    // The move itself outlives a power cut only once the folder is written too. Windows cannot open one.
    #[cfg(unix)]
    File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}
