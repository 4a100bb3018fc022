//! Linear layers: which of the kernels serves how many rows, and their dispatches.
//! Bias and activation are part of the kernel, so that a layer's output is written once.

use super::buffers::{View, padded};
use super::device::Gpu;
use super::kernel::Kernel;
use super::op::{Dispatch, Op};
use super::uniforms::{Count, Uniforms};
use super::weights::Linear;
use crate::backbone::Epilogue;

const BINDINGS: &str = "urrrw";
const WEIGHT: &str = include_str!("weight.wgsl");
const LINEAR: &str = include_str!("linear.wgsl");
const STRIP: &str = include_str!("linear_strip.wgsl");

const DIRECT: Kernel = Kernel {
    entry: "direct",
    source: &[WEIGHT, LINEAR, STRIP, include_str!("linear_direct.wgsl")],
    bindings: BINDINGS,
};
const SPLIT: Kernel =
    Kernel { entry: "split", source: &[WEIGHT, LINEAR, STRIP, include_str!("linear_split.wgsl")], bindings: BINDINGS };
const TILED: Kernel =
    Kernel { entry: "tiled", source: &[WEIGHT, LINEAR, include_str!("linear_tiled.wgsl")], bindings: BINDINGS };

/// Side of what a lane of the split kernel adds up, and of the direct one.
const STRIP_SIDE: u32 = 4;
const BLOCK_SIDE: u32 = 8;
/// Side of a tile of the tiled kernel.
const TILE: u32 = 64;

/// The dispatches of `out = epilogue(x W + b)` over `rows` rows: two, of which the number of rows selects one.
pub fn linear(
    gpu: &Gpu,
    uniforms: &View,
    rows: Count,
    x: &View,
    layer: &Linear,
    out: &View,
    epilogue: Epilogue,
) -> Vec<Op> {
    let n = layer.outputs as u32;
    let k4 = padded(layer.inputs) as u32 / 4;
    let shape = gpu.constant(&[rows.index(), k4, k4, n, padded(layer.outputs) as u32]);
    let tuning = *gpu.tuning();
    let views = [&shape, x, &layer.weight, &layer.bias, out];
    // What is added to is read first.
    let numbers = layer.inputs + layer.outputs * if matches!(epilogue, Epilogue::Add) { 2 } else { 1 };
    let parameters = layer.weight.size + layer.bias.size;
    let half = ("HALF", f64::from(u8::from(layer.half)));
    let epilogue = ("EPILOGUE", f64::from(epilogue as u8));
    let lanes = ("LANES", f64::from(tuning.linear_lanes));
    let tiles = move |rows: u32| [n.div_ceil(TILE), rows.div_ceil(TILE), 1];
    let is_tiled = move |rows: u32| tiles(rows).iter().product::<u32>() >= tuning.tiled_from;
    let side = if tuning.direct { BLOCK_SIDE } else { STRIP_SIDE };
    let dispatch = move |groups, rows: u32| Dispatch::new(groups, numbers * rows as usize).with(parameters);
    let strips = move |uniforms: &Uniforms| {
        let rows = rows.of(uniforms);
        let groups = [n.div_ceil(side * tuning.linear_lanes), rows.div_ceil(side), 1];
        if is_tiled(rows) { Dispatch::default() } else { dispatch(groups, rows) }
    };
    let mut ops = Vec::new();
    if tuning.direct {
        ops.push(Op::new(gpu, &gpu.compile(&DIRECT, &[half, epilogue, lanes]), uniforms, &views, strips));
    } else {
        let parts = ("PARTS", f64::from(tuning.linear_parts));
        ops.push(Op::new(gpu, &gpu.compile(&SPLIT, &[half, epilogue, lanes, parts]), uniforms, &views, strips));
    }
    if tuning.tiled_from < u32::MAX {
        ops.push(Op::new(gpu, &gpu.compile(&TILED, &[half, epilogue]), uniforms, &views, move |uniforms| {
            let rows = rows.of(uniforms);
            if is_tiled(rows) { dispatch(tiles(rows), rows) } else { Dispatch::default() }
        }));
    }
    ops
}
