//! Buffers that kernels write and the host reads.
//! Frames and predictions of the reverse process, and attention weights where a probe asks for them.

use super::buffers::View;
use super::capacity::Capacity;
use super::device::Gpu;
use super::error::GpuError;
use marscope_core::config::MarConfig;

/// The buffers.
pub struct Results {
    /// The frames but the first, `[frames, tokens, C]`.
    pub frames: View,
    /// The head's predictions, `[steps, tokens, 2C]`.
    pub predictions: View,
    /// Attention weights, block by block, [`attention_bytes`] each.
    pub attention: Option<View>,
}

impl Results {
    /// Buffers of `capacity`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, config: &MarConfig, capacity: Capacity) -> Result<Self, GpuError> {
        let bytes = |numbers: usize| 4 * numbers as u64;
        let blocks = |depth: usize, heads: usize| depth as u64 * attention_bytes(config, capacity.images, heads);
        let all_blocks = blocks(config.encoder_depth, config.encoder_num_heads)
            + blocks(config.decoder_depth, config.decoder_num_heads);
        Ok(Self {
            frames: gpu.storage("the frames of the reverse process", bytes(capacity.frames))?,
            predictions: gpu.storage("the head's predictions at every step", bytes(capacity.predictions))?,
            attention: match capacity.attention {
                0 => None,
                _ => Some(gpu.storage("the attention weights", all_blocks)?),
            },
        })
    }
}

/// Bytes set aside for the attention weights of one block over `images` images.
pub fn attention_bytes(config: &MarConfig, images: usize, heads: usize) -> u64 {
    let rows = config.buffer_size + config.tokens();
    (4 * images * heads * rows * rows).next_multiple_of(256) as u64
}
