//! Why data cannot be read, and how to fix it.

use std::path::PathBuf;

/// Why data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such file.
    #[error("{}: no file {name}. Give the folder that holds it as --data", folder.display())]
    Missing {
        /// Where it was expected.
        folder: PathBuf,
        /// The missing file.
        name: String,
    },
    /// Cannot be read, unzipped or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file with unexpected content.
    #[error("{}: {what}. The file is damaged or of another kind: download or create it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A single image: training continues with another one and counts it.
    #[error("{}: {what}. Replace or delete the file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// More unreadable images than `--max-bad` allows.
    #[error(
        "{count} images cannot be read, and --max-bad allows {limit}. The last is {}: {what}. Repair the data, or raise \
         --max-bad", last.display()
    )]
    TooManyBad {
        /// Unreadable files so far.
        count: usize,
        /// The limit.
        limit: usize,
        /// The last unreadable file.
        last: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No known layout.
    #[error(
        "{}: no data in a known layout. Known are idx files (train-images-idx3-ubyte[.gz]), CIFAR's binary files \
         (data_batch_1.bin or train.bin), image files ([train/ or val/]CLASS/*.jpg, .jpeg, .png) and cached latents \
         (index.json)", .0.display()
    )]
    NoLayout(PathBuf),
    /// Image files of different sizes need a common side.
    #[error("{}: the images can have any size. Give the side to crop them to, at least 1", .0.display())]
    NeedsSide(PathBuf),
    /// A class folder without images.
    #[error(
        "{}: a class without .jpg, .jpeg or .png files. Remove the folder, or put the images there: classes are numbered by \
         folder", .0.display()
    )]
    EmptyClass(PathBuf),
    /// Latents instead of images.
    #[error("{}: this folder holds cached latents. Give the folder of the images they were made from", .0.display())]
    NoImages(PathBuf),
    /// A cache with missing shards.
    #[error("{}: the cached latents are incomplete. Run the same marscope cache command again to continue", .0.display())]
    Unfinished(PathBuf),
    /// Tokens do not cover the image.
    #[error("patches of {patch} do not divide a side of {side}: give another --patch or --side")]
    Patch {
        /// Side of a patch.
        patch: usize,
        /// Side of an image, or of a latent.
        side: usize,
    },
    /// No examples.
    #[error("{0}: it holds no examples")]
    Empty(String),
    /// No thread can be started.
    #[error("no thread can be started to read the data: {0}. Give fewer --workers")]
    Threads(std::io::Error),
    /// The loader stopped after an earlier error.
    #[error("loading stopped after an earlier error")]
    Stopped,
}
