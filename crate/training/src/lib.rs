//! MAR in Burn: the reference network, the KL autoencoder, data sets, the trainer and evaluation.
//! Li et al., arXiv 2406.11838, sections 3 and 4. The reference implements the contract of [`marscope_core::network`];
//! the tests compare every engine with it.

pub mod autoencoder;
pub mod checkpoint;
pub mod data;
pub mod eval;
#[cfg(any(feature = "vulkan", feature = "metal"))]
pub mod gpu;
pub mod grid;
pub mod model;
pub mod network;
pub mod replace;
#[cfg(feature = "train")]
pub mod train;
