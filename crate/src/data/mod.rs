//! Data on disk, as training and measuring read it: images in the usual layouts, and cached latents.
//! `Dataset` is what training sees of it; `loader` gives it out, step by step.

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
pub use self::pixels::ImageTokens;
pub use self::shard::Origin;

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the network learns from
    Train,
    /// What it never sees
    Test,
}
