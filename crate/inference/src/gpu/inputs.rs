//! What the host writes before an iteration starts: parts of one buffer, so that it is one write.
//! Sections 3.2 and 3.3 of the paper: the known tokens, the rows to gather, the noise and the table of steps.

use super::buffers::{Layout, View, padded};
use super::capacity::Capacity;
use super::device::Gpu;
use super::error::GpuError;
use super::uniforms::SLOT;
use crate::gather::GatherRow;
use marscope_core::config::MarConfig;
use marscope_core::diffusion::Step;

/// The parts of the buffer.
pub struct Inputs {
    /// All of it.
    pub all: View,
    /// Sets of uniforms, [`SLOT`] bytes apart.
    pub uniforms: View,
    /// `[images * known, C]`, rows padded.
    pub tokens: View,
    /// Rows to gather for the encoder's input, the decoder's, and z.
    pub gather: [View; 3],
    /// Decoder rows that are picked.
    pub picks: View,
    /// The table of steps.
    pub steps: View,
    /// The noise, `[1 + steps, tokens, C]`.
    pub noise: View,
}

impl Inputs {
    /// A buffer of `capacity`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, config: &MarConfig, capacity: Capacity) -> Result<Self, GpuError> {
        let rows = capacity.images * (config.buffer_size + config.tokens());
        let mut layout = Layout::default();
        let row = size_of::<GatherRow>();
        let mut part = |bytes: usize| layout.part(bytes);
        let uniforms = part(SLOT as usize * capacity.uniforms);
        let tokens = part(4 * capacity.images * config.tokens() * padded(config.token_dim()));
        let gather = [part(row * rows), part(row * rows), part(row * capacity.picked)];
        let picks = part(4 * capacity.picked);
        let steps = part(size_of::<Step>() * capacity.steps);
        let noise = part(4 * capacity.noise);
        let limits = gpu.device().limits();
        let usage = wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let limit = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        let all = gpu.buffer("the noise and rows to gather of an iteration", layout.bytes(), limit, usage)?;
        let view = |(offset, size)| all.part(offset, size);
        Ok(Self {
            uniforms: view(uniforms),
            tokens: view(tokens),
            gather: gather.map(view),
            picks: view(picks),
            steps: view(steps),
            noise: view(noise),
            all: all.clone(),
        })
    }
}

/// The bytes of one iteration's inputs, each at its offset.
#[derive(Default)]
pub struct Staging {
    bytes: Vec<u8>,
}

impl Staging {
    /// Puts `content` at the offset of `view`.
    pub fn put(&mut self, view: &View, content: &[u8]) {
        let (from, to) = (view.offset as usize, view.offset as usize + content.len());
        debug_assert!(content.len() as u64 <= view.size, "a workspace is grown before it is written to");
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        self.bytes[from..to].copy_from_slice(content);
    }

    /// What is to be written, from the start of the buffer on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// `rows` of `width` numbers as the kernels read them, whole vec4.
pub fn padded_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let stride = padded(width);
    let mut out = vec![0.0; rows.len() / width * stride];
    for (to, from) in out.chunks_exact_mut(stride).zip(rows.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    out
}
