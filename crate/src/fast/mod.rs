//! The network as the fast engines run it: the same layers as [`crate::model`], with every buffer and kernel laid out ahead.
//! Sections 3.2 and 3.3 of the paper; held against plain Burn and the official numbers by the tests.

pub mod backbone;
pub mod cpu;
#[cfg(feature = "webgpu")]
pub mod gpu;
mod plan;
mod time;
mod weights;

pub use backbone::{Kernels, List, Rows, Slot, Then, Transformer};
pub use plan::{Place, Plan, Seen};
pub use time::TimeEmbedding;
pub use weights::{Backbone, Block, Head, Load, Network, ResBlock};

/// What a pass that was watched computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// The condition of every token, `[images, L, decoder width]`.
    pub z: Vec<f32>,
    /// Attention weights of each encoder block, `[images, heads, buffer + known, buffer + known]`.
    pub encoder: Vec<Vec<f32>>,
    /// Attention weights of each decoder block, `[images, heads, buffer + L, buffer + L]`.
    pub decoder: Vec<Vec<f32>>,
}
