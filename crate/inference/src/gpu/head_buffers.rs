//! What the two forms of the head share: their buffers, and how many modulations there are.
//! Section 3.2 of the paper.

use super::buffers::{View, padded};
use super::device::Gpu;
use super::inputs::Inputs;
use super::results::Results;
use crate::head::modulation_columns;
use marscope_core::config::MarConfig;

/// What the reverse process reads and writes besides weights.
pub struct HeadBuffers<'a> {
    /// Steps, noise and uniforms.
    pub inputs: &'a Inputs,
    /// `[steps of a chunk * rows, modulation stride]`.
    pub modulations: &'a View,
    /// x and the last clean token, `[2, tokens, C]`.
    pub state: &'a View,
    /// What the host reads.
    pub results: &'a Results,
}

/// From one row of modulations to the next.
pub fn modulation_stride(config: &MarConfig) -> usize {
    padded(modulation_columns(config))
}

/// Rows of modulations that fit into [`Tuning::modulation_bytes`].
pub fn most_modulations(gpu: &Gpu, config: &MarConfig) -> usize {
    gpu.tuning().modulation_bytes / (4 * modulation_stride(config))
}
