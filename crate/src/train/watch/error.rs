//! Why a run can no longer be watched: a file of its records cannot be written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a record of the run was not written.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The disk is full, the folder was removed, or the like.
    #[error(
        "{}: {source}. The run is recorded there: make room or bring the folder back, then go on by --resume",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl WatchError {
    /// What to make of an error at `path`.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
