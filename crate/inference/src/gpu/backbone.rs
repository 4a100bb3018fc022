//! The backbone's ops, recorded once for a workspace. [`crate::backbone`] has their order.
//! Section 3.3 of the paper.

use super::buffers::{View, padded};
use super::capacity::Capacity;
use super::device::Gpu;
use super::error::GpuError;
use super::inputs::Inputs;
use super::kernel::Kernel;
use super::linear::linear;
use super::op::{Dispatch, Op, grid};
use super::results::attention_bytes;
use super::uniforms::{Count, Uniforms};
use super::weights::{Linear, Norm, Table, Uploader};
use crate::backbone::{self, Epilogue, Gather, Kernels, Rows, Slot, Transformer};
use crate::weights::Parameters;
use marscope_core::config::MarConfig;

const NORM: Kernel = Kernel { entry: "norm", source: &[include_str!("norm.wgsl")], bindings: "urrw" };
const GATHER: Kernel = Kernel { entry: "gather", source: &[include_str!("gather.wgsl")], bindings: "urrrrw" };
const PICK: Kernel = Kernel { entry: "pick", source: &[include_str!("pick.wgsl")], bindings: "urrw" };
const ATTENTION: Kernel = Kernel { entry: "attention", source: &[include_str!("attention.wgsl")], bindings: "urrw" };
const ATTENTION_WEIGHTS: Kernel =
    Kernel { entry: "attention_weights", source: &[include_str!("attention_weights.wgsl")], bindings: "urw" };

/// Queries of a workgroup of [`ATTENTION`].
const QUERIES: u32 = 4;

/// A buffer for each slot, and a spare one: a kernel cannot write to the buffer it reads, so a norm in place writes to the
/// spare, and the two change roles.
pub struct Slots {
    views: Vec<(Slot, View)>,
    spare: View,
}

impl Slots {
    /// Buffers of `capacity`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, config: &MarConfig, capacity: Capacity, tokens: &View) -> Result<Self, GpuError> {
        let width = config.encoder_embed_dim.max(config.decoder_embed_dim);
        let hidden = (width as f64 * config.mlp_ratio) as usize;
        let rows = (capacity.images * (config.buffer_size + config.tokens())).max(capacity.picked);
        let rows_of = |rows: usize, width: usize| 4 * (rows * padded(width)) as u64;
        let view = |what: &str, rows: usize, width: usize| gpu.storage(what, rows_of(rows, width));
        let views = vec![
            (Slot::Tokens, tokens.clone()),
            (Slot::Stream, view("the residual stream", rows, width)?),
            (Slot::Scratch, view("the normed residual stream", rows, width)?),
            (Slot::Qkv, view("the queries, keys and values", rows, 3 * width)?),
            (Slot::Attended, view("what attention gathers", rows, width)?),
            (Slot::Hidden, view("the inside of a block's MLP", rows, hidden)?),
            (Slot::Picked, view("the picked residual stream", capacity.picked, width)?),
            (Slot::Z, view("the conditions z", capacity.picked, width)?),
        ];
        Ok(Self { views, spare: view("the other residual stream", rows, width)? })
    }

    /// The buffer of z.
    pub fn z(&self) -> View {
        self.of(Slot::Z)
    }

    fn of(&self, slot: Slot) -> View {
        let found = self.views.iter().find(|(of, _)| *of == slot);
        found.expect("every slot has its buffer").1.clone()
    }

    /// The buffer that an op from `x` to `out` writes.
    fn out(&mut self, x: Slot, out: Slot) -> View {
        if x == out {
            let (_, view) = self.views.iter_mut().find(|(of, _)| *of == out).expect("every slot has its buffer");
            std::mem::swap(view, &mut self.spare);
        }
        self.of(out)
    }
}

/// The ops from tokens to z, in their order; those that write attention weights are among them if there is `attention`.
pub fn record(
    gpu: &Gpu,
    network: &Parameters<Uploader>,
    capacity: Capacity,
    inputs: &Inputs,
    slots: Slots,
    attention: Option<&View>,
) -> Vec<Op> {
    let config = &network.config;
    let mut recorder = Recorder { gpu, config, capacity, inputs, slots, attention, attention_end: 0, ops: Vec::new() };
    backbone::run(&mut recorder, &network.backbone);
    recorder.ops
}

struct Recorder<'a> {
    gpu: &'a Gpu,
    config: &'a MarConfig,
    capacity: Capacity,
    inputs: &'a Inputs,
    slots: Slots,
    /// Attention weights of all blocks.
    attention: Option<&'a View>,
    /// Bytes of it that the blocks so far take.
    attention_end: u64,
    ops: Vec<Op>,
}

impl Recorder<'_> {
    fn push(
        &mut self,
        kernel: &Kernel,
        constants: &[(&'static str, f64)],
        views: &[&View],
        size: impl Fn(&Uniforms) -> Dispatch + Send + Sync + 'static,
    ) {
        let lanes = ("LANES", f64::from(self.gpu.tuning().row_lanes));
        let compiled = self.gpu.compile(kernel, &[constants, &[lanes]].concat());
        self.ops.push(Op::new(self.gpu, &compiled, &self.inputs.uniforms, views, size));
    }

    fn shape(&self, numbers: &[usize]) -> View {
        let numbers: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
        self.gpu.constant(&numbers)
    }
}

impl Kernels for Recorder<'_> {
    type Store = Uploader;

    fn linear(&mut self, rows: Rows, x: Slot, layer: &Linear, out: Slot, epilogue: Epilogue) {
        let (x, out) = (self.slots.of(x), self.slots.of(out));
        let rows = Count::Backbone(rows);
        self.ops.extend(linear(self.gpu, &self.inputs.uniforms, rows, &x, layer, &out, epilogue));
    }

    fn norm(&mut self, rows: Rows, x: Slot, norm: &Norm, out: Slot) {
        let from = self.slots.of(x);
        let to = self.slots.out(x, out);
        let rows = Count::Backbone(rows);
        let shape = self.shape(&[rows.index() as usize, norm.width, padded(norm.width)]);
        let width = norm.width;
        self.push(&NORM, &[], &[&shape, &from, &norm.parameter, &to], move |uniforms| {
            Dispatch::new(grid(rows.of(uniforms), 1), 2 * width * (rows.of(uniforms) as usize + 1))
        });
    }

    fn gather(&mut self, list: Gather, x: Slot, fixed: &Table, positions: &Table, out: Slot) {
        let (which, rows) = match list {
            Gather::EncoderInput => (0, Count::Backbone(Rows::Encoder)),
            Gather::DecoderInput => (1, Count::Backbone(Rows::Decoder)),
            Gather::Z => (2, Count::Backbone(Rows::Picked)),
        };
        let (from, to) = (self.slots.of(x), self.slots.of(out));
        let shape = self.shape(&[rows.index() as usize, fixed.width, padded(fixed.width)]);
        let list = self.inputs.gather[which].clone();
        let views = [&shape, &from, &list, &fixed.rows, &positions.rows, &to];
        // A row, its position and their sum, and an entry of the list.
        let numbers = 3 * fixed.width + 2;
        self.push(&GATHER, &[], &views, move |uniforms| {
            Dispatch::new(grid(rows.of(uniforms), 1), numbers * rows.of(uniforms) as usize)
        });
    }

    fn attention(&mut self, (transformer, _): (Transformer, usize), queries: Rows, heads: usize) {
        let (width, rows) = match transformer {
            Transformer::Encoder => (self.config.encoder_embed_dim, Count::Backbone(Rows::Encoder)),
            Transformer::Decoder => (self.config.decoder_embed_dim, Count::Backbone(Rows::Decoder)),
        };
        let picked = queries == Rows::Picked;
        let (qkv, out) = (self.slots.of(Slot::Qkv), self.slots.of(Slot::Attended));
        let dim = ("DIM", (width / heads) as f64);
        let shape = self.shape(&[rows.index() as usize, width, padded(3 * width), padded(width)]);
        let picks = self.inputs.picks.clone();
        let constants = [dim, ("PICKED", f64::from(u8::from(picked)))];
        self.push(&ATTENTION, &constants, &[&shape, &qkv, &picks, &out], move |uniforms| {
            let (all, picks) = (rows.of(uniforms), Count::Backbone(Rows::Picked).of(uniforms));
            let tiles = match uniforms.images {
                _ if picked => picks,
                0 => 0,
                images => images * (all / images).div_ceil(QUERIES),
            };
            let queries = if picked { picks } else { all };
            Dispatch::new(grid(tiles, heads as u32), 2 * width * (all + queries) as usize)
        });
        if let Some(attention) = self.attention {
            let bytes = attention_bytes(self.config, self.capacity.images, heads);
            let weights = attention.part(self.attention_end, bytes);
            self.attention_end += bytes;
            let shape = self.shape(&[rows.index() as usize, heads, width, padded(3 * width)]);
            self.push(&ATTENTION_WEIGHTS, &[dim], &[&shape, &qkv, &weights], move |uniforms| {
                let all = rows.of(uniforms) as usize;
                let written = heads * all * all / (uniforms.images as usize).max(1);
                Dispatch::new(grid(rows.of(uniforms), heads as u32), 2 * width * all + written)
            });
            self.ops.last_mut().expect("it was just pushed").for_probe = true;
        }
    }

    fn pick(&mut self, x: Slot, out: Slot) {
        let (from, to) = (self.slots.of(x), self.slots.of(out));
        let width = self.config.decoder_embed_dim;
        let shape = self.shape(&[width, padded(width)]);
        let picks = self.inputs.picks.clone();
        let rows = Count::Backbone(Rows::Picked);
        self.push(&PICK, &[], &[&shape, &from, &picks, &to], move |uniforms| {
            Dispatch::new(grid(rows.of(uniforms), 1), (2 * width + 1) * rows.of(uniforms) as usize)
        });
    }
}
