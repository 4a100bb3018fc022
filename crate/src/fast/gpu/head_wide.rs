//! The head a layer a dispatch, for heads whose weights have to come through more than one core of the GPU.
//! Section 3.2 of the paper; two dispatches a block and step and three more, all in the submission of the iteration.

use super::buffers::View;
use super::device::Gpu;
use super::error::GpuError;
use super::head::{Wiring, modulations};
use super::kernel::{Kernel, Op};
use super::load::{Linear, Loader, Norm, padded};
use super::pass::{Count, Dispatch, grid};
use super::workspace::Room;
use crate::config::MarConfig;
use crate::fast::Head;

const WIDE: Kernel = Kernel {
    entry: "wide",
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

/// Which layer of the head a dispatch of [`WIDE`] is.
#[derive(Clone, Copy)]
enum Layer {
    /// From x.
    Input = 0,
    /// Into a block's MLP.
    First = 1,
    /// Out of it, gated.
    Second = 2,
    /// To what the head says.
    Output = 3,
}

/// The dispatches of a step.
///
/// # Errors
/// [`GpuError::TooLarge`].
pub fn record(
    gpu: &Gpu,
    config: &MarConfig,
    head: &Head<Loader>,
    halves: bool,
    wiring: &Wiring<'_>,
    room: Room,
) -> Result<Vec<Op>, GpuError> {
    let (width, dim) = (config.diffloss_w, config.token_dim());
    let stride = padded(width);
    let buffer = |what: &str, stride: usize| gpu.storage(what, 4 * (room.picked * stride) as u64);
    let h = buffer("the head's residual stream", stride)?;
    let u = buffer("the inside of the head's blocks", stride)?;
    let said = buffer("what the head says", padded(2 * dim))?;
    let Wiring { inputs, modulated, state, results } = wiring;
    let layer = |kind: Layer, layer: &Linear, norm: Option<&Norm>, [from, to]: [&View; 2], by: usize| {
        let (lanes, parts) = (gpu.tuning().linear_lanes, gpu.tuning().linear_parts);
        let constants = [
            ("HALF", f64::from(u8::from(halves))),
            ("LANES", f64::from(lanes)),
            ("PARTS", f64::from(parts)),
            ("LAYER", f64::from(kind as u8)),
        ];
        // x is packed as the noise is; all else has padded rows.
        let from_stride = if matches!(kind, Layer::Input) { dim } else { padded(layer.inputs) };
        let n = layer.outputs as u32;
        let shape = [layer.inputs, layer.outputs, from_stride, padded(layer.outputs), modulations(config), by * width];
        let shape = gpu.constant(&shape.map(|number| number as u32));
        let own = norm.map_or(&layer.bias, |norm| &norm.parameter);
        let views = [&shape, from, &layer.weight, &layer.bias, own, modulated, to];
        // In, out, and the modulation of either; what a block adds to is read first.
        let each = match kind {
            Layer::Input => layer.inputs + layer.outputs,
            Layer::First | Layer::Output => 3 * layer.inputs + layer.outputs,
            Layer::Second => layer.inputs + 3 * layer.outputs,
        };
        let parameters = layer.weight.size + layer.bias.size;
        Op::new(gpu, &gpu.compile(&WIDE, &constants), &inputs.passes, &views, move |pass| {
            let rows = Count::Conditions.of(pass);
            let groups = [n.div_ceil(FOUR * lanes), rows.div_ceil(FOUR), 1];
            Dispatch::new(groups, each * rows as usize).with(parameters)
        })
    };
    let mut ops = vec![layer(Layer::Input, &head.input, None, [state, &h], 0)];
    for (i, block) in head.blocks.iter().enumerate() {
        ops.push(layer(Layer::First, &block.fc1, Some(&block.norm), [&h, &u], 3 * i));
        ops.push(layer(Layer::Second, &block.fc2, None, [&u, &h], 3 * i + 2));
    }
    ops.push(layer(Layer::Output, &head.output, None, [&h, &said], 3 * head.blocks.len()));

    let lanes = gpu.tuning().row_lanes;
    let shape = gpu.constant(&[dim as u32, padded(2 * dim) as u32]);
    let views = [&shape, &inputs.steps, &inputs.noise, &said, state, &results.frames, &results.explained];
    let advance = gpu.compile(&ADVANCE, &[("LANES", f64::from(lanes))]);
    ops.push(Op::new(gpu, &advance, &inputs.passes, &views, move |pass| {
        let (tokens, rows) = (pass.tokens as usize, Count::Conditions.of(pass) as usize);
        // What the head said; x and the clean token in and out, and the noise.
        let numbers = dim * (2 * rows + 5 * tokens);
        Dispatch::new(grid((pass.tokens * dim as u32).div_ceil(lanes), 1), numbers)
    }));
    Ok(ops)
}
