//! The head's ops: the modulations of all steps ahead, then the whole reverse process, fused or layer by layer.
//! Section 3.2 of the paper; the modulations, 60% of its arithmetic, do not depend on x and so need not wait for it.

use super::buffers::{View, padded};
use super::capacity::Capacity;
use super::cost::Cost;
use super::device::Gpu;
use super::error::GpuError;
use super::head_buffers::{HeadBuffers, modulation_stride, most_modulations};
use super::head_fused::Fused;
use super::head_wide;
use super::inputs::Inputs;
use super::kernel::Kernel;
use super::linear::linear;
use super::op::{Dispatch, Op, grid};
use super::results::Results;
use super::uniforms::{Count, Uniforms};
use super::weights::Uploader;
use crate::backbone::Epilogue;
use crate::weights::Parameters;
use marscope_core::config::MarConfig;

const CONDITION: Kernel =
    Kernel { entry: "condition", source: &[include_str!("head_condition.wgsl")], bindings: "urrw" };

/// The ops from z to tokens.
pub struct HeadOps {
    /// Embeds z.
    embed: Vec<Op>,
    /// Modulations of a chunk of steps.
    modulate: Vec<Op>,
    reverse: Reverse,
}

/// The reverse process itself.
enum Reverse {
    /// All steps of a chunk in one dispatch.
    Fused(Op),
    /// The ops of a step; x starts as the noise, which is copied here.
    Wide { step: Vec<Op>, x: View },
}

/// How a reverse process is cut into dispatches.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// Rows of the head.
    pub rows: usize,
    /// Steps of the process.
    pub steps: usize,
    /// Steps of a chunk; the last one may have less.
    pub steps_of_chunk: usize,
    /// Whether the steps of a chunk have uniforms of their own.
    pub wide: bool,
}

impl Chunks {
    /// `steps` steps over `rows` rows.
    pub fn new(gpu: &Gpu, config: &MarConfig, rows: usize, steps: usize) -> Self {
        let steps_of_chunk = (most_modulations(gpu, config) / rows.max(1)).clamp(1, steps);
        Self { rows, steps, steps_of_chunk, wide: Fused::new(gpu, config).is_none() }
    }

    /// Sets of uniforms it takes.
    pub fn count(self) -> usize {
        self.steps.div_ceil(self.steps_of_chunk) + if self.wide { self.steps } else { 0 }
    }

    /// The uniforms: of a chunk, then of its steps where they have their own, then of the next chunk.
    pub fn uniforms(self, base: Uniforms) -> Vec<Uniforms> {
        let mut list = Vec::with_capacity(self.count());
        for first in (0..self.steps).step_by(self.steps_of_chunk) {
            let steps = self.steps_of_chunk.min(self.steps - first);
            let mut chunk = Uniforms { first: first as u32, steps: steps as u32, ..base };
            chunk.rows[Count::Modulations.index() as usize] = (steps * self.rows) as u32;
            list.push(chunk);
            if self.wide {
                list.extend((0..steps as u32).map(|i| Uniforms { first: chunk.first + i, steps: i, ..chunk }));
            }
        }
        list
    }
}

/// Records the head of `network` over `z`, with the embedded timesteps in `time`.
///
/// # Errors
/// [`GpuError::TooLarge`].
pub fn record(
    gpu: &Gpu,
    network: &Parameters<Uploader>,
    inputs: &Inputs,
    results: &Results,
    [z, time]: [&View; 2],
    capacity: Capacity,
) -> Result<HeadOps, GpuError> {
    let (config, head) = (&network.config, &network.head);
    let width = padded(config.diffloss_w);
    let buffer = |what: &str, numbers: usize| gpu.storage(what, 4 * numbers as u64);
    let embedded = buffer("the embedded z", capacity.picked * width)?;
    let condition = buffer("the head's conditions", capacity.modulations * width)?;
    let modulations = buffer("the head's modulations", capacity.modulations * modulation_stride(config))?;
    let state = buffer("the tokens under way", 2 * capacity.picked * config.token_dim())?;
    let uniforms = &inputs.uniforms;

    let embed = linear(gpu, uniforms, Count::Conditions, z, &head.condition, &embedded, Epilogue::Write);
    let shape = gpu.constant(&[config.diffloss_w as u32, width as u32]);
    let lanes = ("LANES", f64::from(gpu.tuning().row_lanes));
    let views = [&shape, time, &embedded, &condition];
    let numbers = config.diffloss_w;
    let add_time = Op::new(gpu, &gpu.compile(&CONDITION, &[lanes]), uniforms, &views, move |uniforms| {
        let (rows, conditions) = (Count::Modulations.of(uniforms), Count::Conditions.of(uniforms));
        Dispatch::new(grid(rows, 1), numbers * (uniforms.steps + conditions + rows) as usize)
    });
    let mut modulate = vec![add_time];
    let layer = &head.modulation;
    modulate.extend(linear(gpu, uniforms, Count::Modulations, &condition, layer, &modulations, Epilogue::Write));

    let buffers = HeadBuffers { inputs, modulations: &modulations, state: &state, results };
    let reverse = if let Some(fused) = Fused::new(gpu, config) {
        Reverse::Fused(fused.record(gpu, config, head, &buffers))
    } else {
        let step = head_wide::record(gpu, config, head, &buffers, capacity)?;
        Reverse::Wide { step, x: state.clone() }
    };
    Ok(HeadOps { embed, modulate, reverse })
}

impl HeadOps {
    /// Copies the noise that x starts as, `numbers` numbers, where that is no part of a kernel.
    pub fn prepare(&self, encoder: &mut wgpu::CommandEncoder, noise: &View, numbers: usize) {
        if let Reverse::Wide { x, .. } = &self.reverse {
            let bytes = 4 * numbers as u64;
            encoder.copy_buffer_to_buffer(&noise.buffer, noise.offset, &x.buffer, x.offset, bytes);
        }
    }

    /// The dispatches of a process under `uniforms`, the first of which are at `slot`, added to `cost`.
    pub fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        uniforms: &[Uniforms],
        wide: bool,
        slot: usize,
        cost: &mut Cost,
    ) {
        let mut run = |ops: &[Op], i: usize| {
            for op in ops {
                op.encode(pass, &uniforms[i], slot + i, cost);
            }
        };
        run(&self.embed, 0);
        let mut i = 0;
        while i < uniforms.len() {
            run(&self.modulate, i);
            let steps = uniforms[i].steps as usize;
            match &self.reverse {
                Reverse::Fused(reverse) => run(std::slice::from_ref(reverse), i),
                Reverse::Wide { step, .. } => (0..steps).for_each(|taken| run(step, i + 1 + taken)),
            }
            i += if wide { 1 + steps } else { 1 };
        }
    }
}
