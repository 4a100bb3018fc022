//! Linear layers: which of the kernels serves how many rows, and their dispatches.
//! Fused with their bias and what follows it, so that no activation makes a way of its own to memory.

use super::buffers::View;
use super::device::Gpu;
use super::kernel::{Kernel, Op};
use super::load::{Linear, padded};
use super::pass::{Count, Dispatch, Pass};
use crate::fast::Then;

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

/// The dispatches of `out = then(x W + b)` over `rows` rows: two, of which the number of rows lets one happen.
#[expect(clippy::too_many_arguments, reason = "a layer, where it reads and where it writes")]
pub fn linear(
    gpu: &Gpu,
    halves: bool,
    passes: &View,
    rows: Count,
    x: &View,
    layer: &Linear,
    out: &View,
    then: Then,
) -> Vec<Op> {
    let n = layer.outputs as u32;
    let k4 = padded(layer.inputs) as u32 / 4;
    let shape = gpu.constant(&[rows.index(), k4, k4, n, padded(layer.outputs) as u32]);
    let tuning = *gpu.tuning();
    let views = [&shape, x, &layer.weight, &layer.bias, out];
    // What is added to is read first.
    let each = layer.inputs + layer.outputs * if matches!(then, Then::Add) { 2 } else { 1 };
    let parameters = layer.weight.size + layer.bias.size;
    let half = ("HALF", f64::from(u8::from(halves)));
    let then = ("THEN", f64::from(then as u8));
    let lanes = ("LANES", f64::from(tuning.linear_lanes));
    let tiles = move |rows: u32| [n.div_ceil(TILE), rows.div_ceil(TILE), 1];
    let is_tiled = move |rows: u32| tiles(rows).iter().product::<u32>() >= tuning.tiled_from;
    let side = if tuning.direct { BLOCK_SIDE } else { STRIP_SIDE };
    let does = move |groups, rows: u32| Dispatch::new(groups, each * rows as usize).with(parameters);
    let strips = move |pass: &Pass| {
        let rows = rows.of(pass);
        let groups = [n.div_ceil(side * tuning.linear_lanes), rows.div_ceil(side), 1];
        if is_tiled(rows) { Dispatch::default() } else { does(groups, rows) }
    };
    let mut ops = Vec::new();
    if tuning.direct {
        ops.push(Op::new(gpu, &gpu.compile(&DIRECT, &[half, then, lanes]), passes, &views, strips));
    } else {
        let parts = ("PARTS", f64::from(tuning.linear_parts));
        ops.push(Op::new(gpu, &gpu.compile(&SPLIT, &[half, then, lanes, parts]), passes, &views, strips));
    }
    if tuning.tiled_from < u32::MAX {
        ops.push(Op::new(gpu, &gpu.compile(&TILED, &[half, then]), passes, &views, move |pass| {
            let rows = rows.of(pass);
            if is_tiled(rows) { does(tiles(rows), rows) } else { Dispatch::default() }
        }));
    }
    ops
}
