//! The head in one dispatch: all steps of a chunk, four rows per workgroup; memory holds only weights and modulations.
//! Section 3.2 of the paper; for heads narrow enough that their activations fit the memory of a workgroup.

use super::buffers::{View, padded};
use super::device::Gpu;
use super::head_buffers::{HeadBuffers, modulation_stride};
use super::kernel::Kernel;
use super::op::{Dispatch, Op, grid};
use super::uniforms::Count;
use super::weights::{Linear, Norm, Uploader};
use crate::weights::HeadParameters;
use marscope_core::config::MarConfig;

const REVERSE: Kernel = Kernel {
    entry: "reverse",
    source: &[include_str!("weight.wgsl"), include_str!("head_step.wgsl"), include_str!("head_fused.wgsl")],
    bindings: "rrrrrwww",
};

/// Columns of a lane, and rows of a workgroup.
const FOUR: u32 = 4;

/// The kernel's workgroup.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    lanes: u32,
    parts: u32,
    /// Most inputs of a layer, padded.
    widest: usize,
}

impl Fused {
    /// How the kernel would run the head of `config`, if it is narrow enough for it.
    pub fn new(gpu: &Gpu, config: &MarConfig) -> Option<Self> {
        let (width, dim) = (config.diffloss_w, config.token_dim());
        let limits = gpu.device().limits();
        let widest = padded(width.max(2 * dim));
        let lanes = (widest as u32).div_ceil(FOUR);
        // Bytes of workgroup memory: a layer's inputs, two sums a lane, x and the last clean token; and, where lanes share
        // columns, the partial sums of each part.
        let base = 16 * (widest + 2 * lanes as usize + 2 * dim + FOUR as usize);
        let part = 16 * FOUR as usize * lanes as usize;
        let memory = limits.max_compute_workgroup_storage_size as usize;
        if width > gpu.tuning().fused_width || base > memory || lanes > limits.max_compute_invocations_per_workgroup {
            return None;
        }
        let parts = (gpu.tuning().head_lanes / lanes).min(((memory - base) / part) as u32).max(1);
        Some(Self { lanes, parts, widest })
    }

    /// The dispatch.
    pub fn record(
        self,
        gpu: &Gpu,
        config: &MarConfig,
        head: &HeadParameters<Uploader>,
        buffers: &HeadBuffers<'_>,
    ) -> Op {
        let partials = if self.parts > 1 { self.lanes * self.parts } else { 1 };
        let constants = [
            ("HALF", f64::from(u8::from(head.input.half))),
            ("WIDTH", config.diffloss_w as f64),
            ("DIM", config.token_dim() as f64),
            ("DEPTH", config.diffloss_d as f64),
            ("LANES", f64::from(self.lanes)),
            ("PARTS", f64::from(self.parts)),
            ("WIDEST", self.widest as f64),
            ("PARTIALS", f64::from(partials)),
        ];
        let layers = head.blocks.iter().flat_map(|block| [&block.fc1, &block.fc2]);
        let layers: Vec<&Linear> = [&head.input].into_iter().chain(layers).chain([&head.output]).collect();
        let weights: Vec<&View> = layers.iter().map(|layer| &layer.weight).collect();
        let of_block = |norm: &'_ Norm, fc1: &'_ Linear, fc2: &'_ Linear| {
            [norm.parameter.clone(), fc1.bias.clone(), fc2.bias.clone()]
        };
        let mut parameters = vec![head.input.bias.clone()];
        parameters.extend(head.blocks.iter().flat_map(|block| of_block(&block.norm, &block.fc1, &block.fc2)));
        parameters.push(head.output.bias.clone());
        let weights = gpu.joined(&weights);
        let parameters = gpu.joined(&parameters.iter().collect::<Vec<_>>());
        let HeadBuffers { inputs, modulations, state, results } = buffers;
        let views = [
            &inputs.steps,
            &inputs.noise,
            &weights,
            &parameters,
            modulations,
            state,
            &results.frames,
            &results.predictions,
        ];
        let (dim, stride, bytes) = (config.token_dim(), modulation_stride(config), weights.size + parameters.size);
        Op::new(gpu, &gpu.compile(&REVERSE, &constants), &inputs.uniforms, &views, move |uniforms| {
            let tokens = if uniforms.guided == 0 { FOUR } else { FOUR / 2 };
            let groups = grid(uniforms.tokens.div_ceil(tokens), 1);
            // Noise in, frames out, and predictions where they are kept.
            let [steps, drawn] = [uniforms.steps, uniforms.tokens].map(|count| count as usize);
            let frames = uniforms.frames as usize * steps / uniforms.total as usize;
            let predictions = if uniforms.explain == 0 { 0 } else { 2 * steps };
            let numbers = drawn * dim * (steps + frames + predictions);
            Dispatch::new(groups, numbers + steps * Count::Conditions.of(uniforms) as usize * stride).with(bytes)
        })
    }
}
