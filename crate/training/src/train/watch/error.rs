//! Why a run's log files cannot be written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a log file of the run was not written.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The disk is full, the folder was removed, or the like.
    #[error(
        "{}: {source}. The run's log is written there: free disk space or restore the folder, then use --resume",
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
    /// Attaches `path` to an error.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
