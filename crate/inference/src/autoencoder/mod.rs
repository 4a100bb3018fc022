//! The KL autoencoder, written once for every engine: its parameters, and its layers over the kernels that an engine
//! supplies. Section 4 of the paper; the network is that of Rombach et al., arXiv 2112.10752.

mod layers;
mod parameters;

pub use self::layers::{Activation, Epilogue, Kernels, Slot, run, slot_numbers};
pub use self::parameters::{AttnBlock, Conv, ConvShape, Layer, Norm, Parameters, ResnetBlock, Sides, Store};
