//! The backbone's dispatches, written down once for a workspace; [`crate::fast::backbone`] says which they are.
//! Section 3.3 of the paper.

use super::buffers::View;
use super::device::Gpu;
use super::error::GpuError;
use super::kernel::{Kernel, Op};
use super::linear::linear;
use super::load::{Linear, Loader, Norm, Table, padded};
use super::pass::{Count, Dispatch, Pass, grid};
use super::workspace::{Inputs, Room};
use crate::config::MarConfig;
use crate::fast::{Kernels, List, Network, Rows, Slot, Then, Transformer, backbone};

const NORM: Kernel = Kernel { entry: "norm", source: &[include_str!("norm.wgsl")], bindings: "urrw" };
const PLACE: Kernel = Kernel { entry: "place", source: &[include_str!("place.wgsl")], bindings: "urrrrw" };
const PICK: Kernel = Kernel { entry: "pick", source: &[include_str!("pick.wgsl")], bindings: "urrw" };
const ATTEND: Kernel = Kernel { entry: "attend", source: &[include_str!("attention.wgsl")], bindings: "urrw" };
const WATCH: Kernel = Kernel { entry: "watch", source: &[include_str!("watch.wgsl")], bindings: "urw" };

/// Queries of a workgroup of [`ATTEND`].
const QUERIES: u32 = 4;

/// A buffer for each slot, and a spare one: a kernel cannot read what it writes, so a norm in place ends in the spare, which
/// is the slot from then on.
pub struct Slots {
    views: Vec<(Slot, View)>,
    spare: View,
}

impl Slots {
    /// Buffers with `room`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, config: &MarConfig, room: Room, tokens: &View) -> Result<Self, GpuError> {
        let width = config.encoder_embed_dim.max(config.decoder_embed_dim);
        let hidden = (width as f64 * config.mlp_ratio) as usize;
        let rows = (room.images * (config.buffer_size + config.tokens())).max(room.picked);
        let rows_of = |rows: usize, width: usize| 4 * (rows * padded(width)) as u64;
        let view = |what: &str, rows: usize, width: usize| gpu.storage(what, rows_of(rows, width));
        let views = vec![
            (Slot::Tokens, tokens.clone()),
            (Slot::Stream, view("the residual stream", rows, width)?),
            (Slot::Scratch, view("the normed residual stream", rows, width)?),
            (Slot::Qkv, view("the queries, keys and values", rows, 3 * width)?),
            (Slot::Attended, view("what attention gathers", rows, width)?),
            (Slot::Hidden, view("the inside of a block's MLP", rows, hidden)?),
            (Slot::Picked, view("the picked residual stream", room.picked, width)?),
            (Slot::Z, view("the conditions z", room.picked, width)?),
        ];
        Ok(Self { views, spare: view("the other residual stream", rows, width)? })
    }

    /// Where z ends up.
    pub fn z(&self) -> View {
        self.of(Slot::Z)
    }

    fn of(&self, slot: Slot) -> View {
        let found = self.views.iter().find(|(of, _)| *of == slot);
        found.expect("every slot has its buffer").1.clone()
    }

    /// Where `out` goes when it comes of `x`.
    fn out(&mut self, x: Slot, out: Slot) -> View {
        if x == out {
            let (_, view) = self.views.iter_mut().find(|(of, _)| *of == out).expect("every slot has its buffer");
            std::mem::swap(view, &mut self.spare);
        }
        self.of(out)
    }
}

/// Bytes of the attention weights of every block over `images` images.
pub fn watched_bytes(config: &MarConfig, images: usize) -> u64 {
    let blocks = |depth: usize, heads: usize| depth as u64 * block_bytes(config, images, heads);
    blocks(config.encoder_depth, config.encoder_num_heads) + blocks(config.decoder_depth, config.decoder_num_heads)
}

/// Bytes that are set aside for those of one block.
pub fn block_bytes(config: &MarConfig, images: usize, heads: usize) -> u64 {
    let all = config.buffer_size + config.tokens();
    (4 * images * heads * all * all).next_multiple_of(256) as u64
}

/// The dispatches from tokens to z, in their order; with `watched`, those that write the attention weights there too.
pub fn record(
    gpu: &Gpu,
    network: &Network<Loader>,
    halves: bool,
    room: Room,
    inputs: &Inputs,
    slots: Slots,
    watched: Option<&View>,
) -> Vec<Op> {
    let config = &network.config;
    let mut recorder = Recorder { gpu, config, halves, room, inputs, slots, watched, watched_to: 0, ops: Vec::new() };
    backbone::run(&mut recorder, &network.backbone);
    recorder.ops
}

struct Recorder<'a> {
    gpu: &'a Gpu,
    config: &'a MarConfig,
    halves: bool,
    room: Room,
    inputs: &'a Inputs,
    slots: Slots,
    watched: Option<&'a View>,
    watched_to: u64,
    ops: Vec<Op>,
}

impl Recorder<'_> {
    fn push(
        &mut self,
        kernel: &Kernel,
        constants: &[(&'static str, f64)],
        views: &[&View],
        does: impl Fn(&Pass) -> Dispatch + Send + Sync + 'static,
    ) {
        let lanes = ("LANES", f64::from(self.gpu.tuning().row_lanes));
        let compiled = self.gpu.compile(kernel, &[constants, &[lanes]].concat());
        self.ops.push(Op::new(self.gpu, &compiled, &self.inputs.passes, views, does));
    }

    fn shape(&self, numbers: &[usize]) -> View {
        let numbers: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
        self.gpu.constant(&numbers)
    }
}

impl Kernels for Recorder<'_> {
    type Parameters = Loader;

    fn linear(&mut self, rows: Rows, x: Slot, layer: &Linear, out: Slot, then: Then) {
        let (x, out) = (self.slots.of(x), self.slots.of(out));
        let rows = Count::Backbone(rows);
        self.ops.extend(linear(self.gpu, self.halves, &self.inputs.passes, rows, &x, layer, &out, then));
    }

    fn norm(&mut self, rows: Rows, x: Slot, norm: &Norm, out: Slot) {
        let from = self.slots.of(x);
        let to = self.slots.out(x, out);
        let rows = Count::Backbone(rows);
        let shape = self.shape(&[rows.index() as usize, norm.width, padded(norm.width)]);
        let width = norm.width;
        self.push(&NORM, &[], &[&shape, &from, &norm.parameter, &to], move |pass| {
            Dispatch::new(grid(rows.of(pass), 1), 2 * width * (rows.of(pass) as usize + 1))
        });
    }

    fn place(&mut self, list: List, x: Slot, fixed: &Table, positions: &Table, out: Slot) {
        let (which, rows) = match list {
            List::Enter => (0, Count::Backbone(Rows::Seen)),
            List::Decode => (1, Count::Backbone(Rows::All)),
            List::Leave => (2, Count::Backbone(Rows::Picked)),
        };
        let (from, to) = (self.slots.of(x), self.slots.of(out));
        let shape = self.shape(&[rows.index() as usize, fixed.width, padded(fixed.width)]);
        let places = self.inputs.places[which].clone();
        let views = [&shape, &from, &places, &fixed.rows, &positions.rows, &to];
        // A row, its position and what becomes of them, and where both are.
        let each = 3 * fixed.width + 2;
        self.push(&PLACE, &[], &views, move |pass| {
            Dispatch::new(grid(rows.of(pass), 1), each * rows.of(pass) as usize)
        });
    }

    fn attention(&mut self, (transformer, _): (Transformer, usize), queries: Rows, heads: usize) {
        let (width, rows) = match transformer {
            Transformer::Encoder => (self.config.encoder_embed_dim, Count::Backbone(Rows::Seen)),
            Transformer::Decoder => (self.config.decoder_embed_dim, Count::Backbone(Rows::All)),
        };
        let picked = queries == Rows::Picked;
        let (qkv, out) = (self.slots.of(Slot::Qkv), self.slots.of(Slot::Attended));
        let dim = ("DIM", (width / heads) as f64);
        let shape = self.shape(&[rows.index() as usize, width, padded(3 * width), padded(width)]);
        let picks = self.inputs.picks.clone();
        let constants = [dim, ("PICKED", f64::from(u8::from(picked)))];
        self.push(&ATTEND, &constants, &[&shape, &qkv, &picks, &out], move |pass| {
            let (all, picks) = (rows.of(pass), Count::Backbone(Rows::Picked).of(pass));
            let tiles = match pass.images {
                _ if picked => picks,
                0 => 0,
                images => images * (all / images).div_ceil(QUERIES),
            };
            let queries = if picked { picks } else { all };
            Dispatch::new(grid(tiles, heads as u32), 2 * width * (all + queries) as usize)
        });
        if let Some(watched) = self.watched {
            let bytes = block_bytes(self.config, self.room.images, heads);
            let weights = watched.part(self.watched_to, bytes);
            self.watched_to += bytes;
            let shape = self.shape(&[rows.index() as usize, heads, width, padded(3 * width)]);
            self.push(&WATCH, &[dim], &[&shape, &qkv, &weights], move |pass| {
                let all = rows.of(pass) as usize;
                let written = heads * all * all / (pass.images as usize).max(1);
                Dispatch::new(grid(rows.of(pass), heads as u32), 2 * width * all + written)
            });
            self.ops.last_mut().expect("it was just pushed").watch = true;
        }
    }

    fn pick(&mut self, x: Slot, out: Slot) {
        let (from, to) = (self.slots.of(x), self.slots.of(out));
        let width = self.config.decoder_embed_dim;
        let shape = self.shape(&[width, padded(width)]);
        let picks = self.inputs.picks.clone();
        let rows = Count::Backbone(Rows::Picked);
        self.push(&PICK, &[], &[&shape, &from, &picks, &to], move |pass| {
            Dispatch::new(grid(rows.of(pass), 1), (2 * width + 1) * rows.of(pass) as usize)
        });
    }
}
