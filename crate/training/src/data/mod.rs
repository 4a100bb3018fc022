//! Reads data for training and evaluation: images in the usual layouts, and cached latents.
//! Training reads a `Dataset` through the `loader`, step by step.

mod cifar;
mod crop;
mod dataset;
mod encode;
mod error;
mod folder;
mod idx;
mod image_set;
mod images;
mod latents;
mod loader;
mod open;
mod parts;
mod pixels;
mod shard;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use self::cifar::Cifar;
pub use self::dataset::{Dataset, Example, TokenShape};
pub use self::encode::{EncodeError, EncodeOptions, Progress, encode};
pub use self::error::DataError;
pub use self::folder::ImageFolder;
pub use self::image_set::ImageSet;
pub use self::images::Images;
pub use self::latents::{Index, Latents, ShardEntry};
pub use self::loader::{Bad, Loader, LoaderOptions};
pub use self::open::{Layout, OpenOptions, Opened, OpenedImages, open, open_images};
pub use self::parts::{Parts, PartsError, PartsProblem, read_parts};
pub use self::pixels::ImageTokens;
pub use self::shard::Origin;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The training set
    Train,
    /// The test set
    Test,
}
