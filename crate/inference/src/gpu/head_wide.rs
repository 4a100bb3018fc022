//! The head with one dispatch per layer, for heads with too many weights for one core of the GPU.
//! Section 3.2 of the paper. Each step takes two dispatches per block and three more, all in the iteration's submission.

use super::buffers::{View, padded};
use super::capacity::Capacity;
use super::device::Gpu;
use super::error::GpuError;
use super::head_buffers::{HeadBuffers, modulation_stride};
use super::kernel::Kernel;
use super::op::{Dispatch, Op, grid};
use super::uniforms::Count;
use super::weights::{Linear, Norm, Uploader};
use crate::head::{self, HeadKernels};
use crate::weights::HeadParameters;
use marscope_core::config::MarConfig;

const LAYER: Kernel = Kernel {
    entry: "head_layer",
    source: &[include_str!("weight.wgsl"), include_str!("head_wide.wgsl")],
    bindings: "urrrrrw",
};
const ADVANCE: Kernel = Kernel {
    entry: "advance",
    source: &[include_str!("head_step.wgsl"), include_str!("head_advance.wgsl")],
    bindings: "urrrwww",
};

/// Columns of a lane, and rows of a workgroup.
const FOUR: u32 = 4;

/// Which layer of the head a dispatch of [`LAYER`] is.
#[derive(Clone, Copy)]
enum Layer {
    Input = 0,
    Hidden = 1,
    Residual = 2,
    Output = 3,
}

/// The ops of a step.
///
/// # Errors
/// [`GpuError::TooLarge`].
pub fn record(
    gpu: &Gpu,
    config: &MarConfig,
    head: &HeadParameters<Uploader>,
    buffers: &HeadBuffers<'_>,
    capacity: Capacity,
) -> Result<Vec<Op>, GpuError> {
    let stride = padded(config.diffloss_w);
    let buffer = |what: &str, stride: usize| gpu.storage(what, 4 * (capacity.picked * stride) as u64);
    let mut recorder = Recorder {
        gpu,
        config,
        buffers,
        h: buffer("the head's residual stream", stride)?,
        u: buffer("the inside of the head's blocks", stride)?,
        predictions: buffer("the head's predictions", padded(2 * config.token_dim()))?,
        ops: Vec::new(),
    };
    head::run(&mut recorder, head);
    let advance = recorder.advance();
    recorder.ops.push(advance);
    Ok(recorder.ops)
}

struct Recorder<'a> {
    gpu: &'a Gpu,
    config: &'a MarConfig,
    buffers: &'a HeadBuffers<'a>,
    h: View,
    u: View,
    predictions: View,
    ops: Vec<Op>,
}

impl Recorder<'_> {
    /// The op of `layer`; `modulation` is the group of columns that it begins with.
    fn layer(&self, kind: Layer, layer: &Linear, norm: Option<&Norm>, modulation: usize) -> Op {
        let Self { gpu, config, h, u, predictions, .. } = self;
        let HeadBuffers { inputs, modulations, state, .. } = self.buffers;
        let (lanes, parts) = (gpu.tuning().linear_lanes, gpu.tuning().linear_parts);
        let constants = [
            ("HALF", f64::from(u8::from(layer.half))),
            ("LANES", f64::from(lanes)),
            ("PARTS", f64::from(parts)),
            ("LAYER", f64::from(kind as u8)),
        ];
        // Numbers of a row: in, out, and the modulation of either; what a block adds to is read first.
        let (from, to, numbers) = match kind {
            Layer::Input => (*state, h, layer.inputs + layer.outputs),
            Layer::Hidden => (h, u, 3 * layer.inputs + layer.outputs),
            Layer::Residual => (u, h, layer.inputs + 3 * layer.outputs),
            Layer::Output => (h, predictions, 3 * layer.inputs + layer.outputs),
        };
        // x has packed rows, as the noise; all else has padded ones.
        let from_stride = if matches!(kind, Layer::Input) { config.token_dim() } else { padded(layer.inputs) };
        let n = layer.outputs as u32;
        let (stride, column) = (modulation_stride(config), modulation * config.diffloss_w);
        let shape = [layer.inputs, layer.outputs, from_stride, padded(layer.outputs), stride, column];
        let shape = gpu.constant(&shape.map(|number| number as u32));
        let norm = norm.map_or(&layer.bias, |norm| &norm.parameter);
        let views = [&shape, from, &layer.weight, &layer.bias, norm, modulations, to];
        let parameters = layer.weight.size + layer.bias.size;
        Op::new(gpu, &gpu.compile(&LAYER, &constants), &inputs.uniforms, &views, move |uniforms| {
            let rows = Count::Conditions.of(uniforms);
            let groups = [n.div_ceil(FOUR * lanes), rows.div_ceil(FOUR), 1];
            Dispatch::new(groups, numbers * rows as usize).with(parameters)
        })
    }

    /// The op that takes the solver's step.
    fn advance(&self) -> Op {
        let Self { gpu, config, predictions, .. } = self;
        let HeadBuffers { inputs, state, results, .. } = self.buffers;
        let (dim, lanes) = (config.token_dim(), gpu.tuning().row_lanes);
        let shape = gpu.constant(&[dim as u32, padded(2 * dim) as u32]);
        let views = [&shape, &inputs.steps, &inputs.noise, predictions, *state, &results.frames, &results.predictions];
        let advance = gpu.compile(&ADVANCE, &[("LANES", f64::from(lanes))]);
        Op::new(gpu, &advance, &inputs.uniforms, &views, move |uniforms| {
            let (tokens, rows) = (uniforms.tokens as usize, Count::Conditions.of(uniforms) as usize);
            // Predictions in; x and the clean token in and out, and the noise.
            let numbers = dim * (2 * rows + 5 * tokens);
            Dispatch::new(grid((uniforms.tokens * dim as u32).div_ceil(lanes), 1), numbers)
        })
    }
}

impl HeadKernels for Recorder<'_> {
    type Store = Uploader;

    fn input(&mut self, layer: &Linear) {
        self.ops.push(self.layer(Layer::Input, layer, None, 0));
    }

    fn hidden(&mut self, norm: &Norm, modulation: usize, layer: &Linear) {
        self.ops.push(self.layer(Layer::Hidden, layer, Some(norm), modulation));
    }

    fn residual(&mut self, layer: &Linear, gate: usize) {
        self.ops.push(self.layer(Layer::Residual, layer, None, gate));
    }

    fn output(&mut self, modulation: usize, layer: &Linear) {
        self.ops.push(self.layer(Layer::Output, layer, None, modulation));
    }
}
