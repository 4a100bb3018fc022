//! Why data cannot be read, and what to do about it.

use std::path::PathBuf;

/// Why data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such file.
    #[error("{}: no file {name}. Give the folder that holds it as --data", folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// What was looked for.
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
    /// Not what it should be.
    #[error("{}: {what}. The file is damaged or of another kind; fetch it or make it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// One image of many: training goes on with another in its place, and counts it.
    #[error("{}: {what}. Replace or delete the file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// More unreadable images than training was told to bear.
    #[error(
        "{count} images cannot be read, and --max-bad allows {limit}. The last is {}: {what}. Repair the data, or raise \
         --max-bad", last.display()
    )]
    TooManyBad {
        /// Unreadable files so far.
        count: usize,
        /// Most that are borne.
        limit: usize,
        /// The one that was too many.
        last: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// None of the layouts that are known.
    #[error(
        "{}: no data in a layout that is known. Looked for idx files (train-images-idx3-ubyte[.gz]), CIFAR's binary files \
         (data_batch_1.bin or train.bin), image files ([train/ or val/]CLASS/*.jpg, .jpeg, .png), and cached latents \
         (index.json)", .0.display()
    )]
    NoLayout(PathBuf),
    /// Image files are of all sizes.
    #[error("{}: images of any size. Give the side they are to be cropped to, 1 at least", .0.display())]
    NeedsSide(PathBuf),
    /// A class's folder without images.
    #[error(
        "{}: a class without .jpg, .jpeg or .png files. Remove the folder, or put the images there: classes are numbered by \
         folder", .0.display()
    )]
    EmptyClass(PathBuf),
    /// Latents, where images are wanted.
    #[error("{}: cached latents, and images are wanted. Give the folder they were made from", .0.display())]
    NoImages(PathBuf),
    /// Latents of which some shards are missing.
    #[error("{}: cached latents, but not all of them. Run the same marscope cache again, which goes on", .0.display())]
    Unfinished(PathBuf),
    /// Tokens do not cover the image.
    #[error("patches of {patch} do not divide a side of {side}: take another --patch or --side")]
    Patch {
        /// Side of a patch.
        patch: usize,
        /// Side of an image, or of a latent.
        side: usize,
    },
    /// No examples.
    #[error("{0}: there is nothing in it to learn from")]
    Empty(String),
    /// The system gives no more threads.
    #[error("no thread to read the data with: {0}. Ask for fewer --workers")]
    Threads(std::io::Error),
    /// The loader has stopped, for the reason given with an earlier error.
    #[error("loading stopped after an earlier error")]
    Stopped,
}
