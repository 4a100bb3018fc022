//! One pass through the backbone: its workspaces, and its operations computed at once.
//! Section 3.3 of the paper; [`super::super::backbone`] says what runs on what.

use pulp::{Simd, WithSimd};

use super::attention::{Attend, Scratch};
use super::buffer::Buffer;
use super::linear::{Add, Apply, Gelu, Linear, Write};
use super::norm::{Norm, Normalise};
use crate::config::MarConfig;
use crate::fast::backbone::{self, Kernels, List, Rows, Slot, Then, Transformer};
use crate::fast::{Load, Network, Place, Plan};

/// Packs parameters for vectors of one length.
pub struct Packer {
    /// Columns of a panel.
    pub columns: usize,
}

/// Rows to look up.
pub struct Table {
    rows: Vec<f32>,
    width: usize,
}

impl Load for Packer {
    type Linear = Linear;
    type Norm = Norm;
    type Table = Table;

    fn linear(&mut self, weight: &[f32], bias: &[f32]) -> Linear {
        Linear::new(weight, bias, self.columns)
    }

    fn norm(&mut self, scale: &[f32], shift: &[f32]) -> Norm {
        Norm { scale: scale.to_vec(), shift: shift.to_vec() }
    }

    fn table(&mut self, rows: &[f32], width: usize) -> Table {
        Table { rows: rows.to_vec(), width }
    }
}

/// Every [`Slot`], and what attention works in; kept between passes.
#[derive(Default)]
pub struct Workspace {
    slots: [Buffer; 8],
    scratch: Scratch,
}

impl Workspace {
    /// What a pass over `picks` left there, `[picks, width]`.
    pub fn z(&self, picks: usize, width: usize) -> &[f32] {
        &self.slots[Slot::Z as usize].get()[..picks * width]
    }
}

/// Attention weights of each block, `[images, heads, seq, seq]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attention {
    /// The encoder's, over buffer and known tokens.
    pub encoder: Vec<Vec<f32>>,
    /// The decoder's, over buffer and all tokens.
    pub decoder: Vec<Vec<f32>>,
}

/// A pass; z is in the workspace when it is run.
pub struct Pass<'a> {
    /// Which rows.
    pub plan: &'a Plan,
    /// Through what.
    pub network: &'a Network<Packer>,
    /// In what.
    pub workspace: &'a mut Workspace,
    /// Gets the attention weights of a whole plan.
    pub watch: Option<&'a mut Attention>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, network, workspace, watch } = self;
        let tokens = workspace.slots[Slot::Tokens as usize].of(plan.tokens.len());
        tokens.copy_from_slice(&plan.tokens);
        backbone::run(&mut Engine { simd, config: &network.config, plan, workspace, watch }, &network.backbone);
    }
}

struct Engine<'a, S> {
    simd: S,
    config: &'a MarConfig,
    plan: &'a Plan,
    workspace: &'a mut Workspace,
    watch: Option<&'a mut Attention>,
}

impl<S> Engine<'_, S> {
    fn count(&self, rows: Rows) -> usize {
        match rows {
            Rows::Known => self.plan.images * self.plan.known,
            Rows::Seen => self.plan.images * self.plan.seen,
            Rows::All => self.plan.images * self.plan.all,
            Rows::Picked => self.plan.picks.len(),
        }
    }

    /// One slot to read and another to write.
    fn pair(&mut self, x: Slot, out: Slot) -> [&mut Buffer; 2] {
        let slots = self.workspace.slots.get_disjoint_mut([x as usize, out as usize]);
        slots.expect("an operation reads one slot and writes another")
    }
}

impl<S: Simd> Kernels for Engine<'_, S> {
    type Parameters = Packer;

    fn linear(&mut self, rows: Rows, x: Slot, layer: &Linear, out: Slot, then: Then) {
        let (simd, count) = (self.simd, self.count(rows));
        let [x, out] = self.pair(x, out);
        let (x, out) = (x.of(count * layer.d_in()), out.of(count * layer.d_out()));
        match then {
            Then::Write => simd.vectorize(Apply { layer, x, out, finish: Write }),
            Then::Gelu => simd.vectorize(Apply { layer, x, out, finish: Gelu }),
            Then::Add => simd.vectorize(Apply { layer, x, out, finish: Add }),
        }
    }

    fn norm(&mut self, rows: Rows, x: Slot, norm: &Norm, out: Slot) {
        let (simd, len) = (self.simd, self.count(rows) * norm.scale.len());
        if x != out {
            let [x, out] = self.pair(x, out);
            out.of(len).copy_from_slice(x.of(len));
        }
        let x = self.workspace.slots[out as usize].of(len);
        simd.vectorize(Normalise { norm, x, modulation: None });
    }

    fn place(&mut self, list: List, x: Slot, fixed: &Table, positions: &Table, out: Slot) {
        let width = positions.width;
        let places = match list {
            List::Enter => &self.plan.enter,
            List::Decode => &self.plan.decode,
            List::Leave => &self.plan.leave,
        };
        let [x, out] = self.pair(x, out);
        let x = x.get();
        for (to, &Place { source, position }) in out.of(places.len() * width).chunks_exact_mut(width).zip(places) {
            let (rows, row) = match usize::try_from(source) {
                Ok(row) => (x, row),
                Err(_) => (fixed.rows.as_slice(), (-1 - source) as usize),
            };
            let position = &positions.rows[position as usize * width..][..width];
            for ((to, from), position) in to.iter_mut().zip(&rows[row * width..][..width]).zip(position) {
                *to = from + position;
            }
        }
    }

    fn attention(&mut self, (transformer, _): (Transformer, usize), queries: Rows, heads: usize) {
        let (simd, plan) = (self.simd, self.plan);
        let (seq, width) = match transformer {
            Transformer::Encoder => (plan.seen, self.config.encoder_embed_dim),
            Transformer::Decoder => (plan.all, self.config.decoder_embed_dim),
        };
        let watch = self.watch.as_deref_mut().map(|watch| {
            let blocks = match transformer {
                Transformer::Encoder => &mut watch.encoder,
                Transformer::Decoder => &mut watch.decoder,
            };
            blocks.push(vec![0.0; plan.images * heads * seq * seq]);
            blocks.last_mut().expect("one was pushed").as_mut_slice()
        });
        let asked = if queries == Rows::Picked { plan.picks.len() } else { plan.images * seq };
        let Workspace { slots, scratch } = &mut *self.workspace;
        let [qkv, out] = slots.get_disjoint_mut([Slot::Qkv as usize, Slot::Attended as usize]).expect("two slots");
        simd.vectorize(Attend {
            qkv: qkv.of(plan.images * seq * 3 * width),
            width,
            seq,
            heads,
            queries: (queries == Rows::Picked).then_some(&plan.picks),
            out: out.of(asked * width),
            watch,
            scratch,
        });
    }

    fn pick(&mut self, x: Slot, out: Slot) {
        let (plan, width) = (self.plan, self.config.decoder_embed_dim);
        let [x, out] = self.pair(x, out);
        let x = x.get();
        for (to, &row) in out.of(plan.picks.len() * width).chunks_exact_mut(width).zip(&plan.picks) {
            to.copy_from_slice(&x[row as usize * width..][..width]);
        }
    }
}
