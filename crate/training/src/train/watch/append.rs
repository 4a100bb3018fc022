//! A file to which complete records are appended.
//! It is opened for each record, so that a removed folder is an error and not a silent loss.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::WatchError;

/// An existing file to append to.
#[derive(Debug)]
pub struct Append {
    path: PathBuf,
}

impl Append {
    /// Opens the file at `path`, or creates an empty one.
    ///
    /// # Errors
    /// [`WatchError::Io`] when it cannot be written.
    pub fn open(path: &Path) -> Result<Self, WatchError> {
        OpenOptions::new().create(true).append(true).open(path).map_err(WatchError::at(path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Appends `record`.
    ///
    /// # Errors
    /// [`WatchError::Io`] when the disk is full or the file is gone.
    pub fn push(&self, record: &[u8]) -> Result<(), WatchError> {
        let file = OpenOptions::new().append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(record)).map_err(WatchError::at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_folder_is_an_error_that_names_the_file() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("run");
        std::fs::create_dir(&folder).unwrap();
        let file = Append::open(&folder.join("log.jsonl")).unwrap();
        file.push(b"1\n").unwrap();
        file.push(b"2\n").unwrap();
        assert_eq!(std::fs::read(folder.join("log.jsonl")).unwrap(), b"1\n2\n");

        std::fs::remove_dir_all(&folder).unwrap();
        let error = file.push(b"3\n").unwrap_err().to_string();
        assert!(error.contains("log.jsonl") && error.contains("--resume"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let error = Append::open(Path::new("/dev/full")).unwrap().push(b"1\n").unwrap_err();
        let WatchError::Io { path, source } = error;
        assert_eq!((path.as_path(), source.kind()), (Path::new("/dev/full"), std::io::ErrorKind::StorageFull));
    }
}
