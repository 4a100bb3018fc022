//! The backbone's operations on the CPU, and the buffers they run on.
//! Section 3.3 of the paper; [`crate::backbone`] says which operation runs on which buffer.

use pulp::{Simd, WithSimd};

use super::attention::{Attend, Scratch};
use super::buffer::Buffer;
use super::linear::{Add, Apply, Gelu, Linear, Write};
use super::norm::{Norm, Normalise};
use super::weights::{Packer, Table};
use crate::backbone::{self, Epilogue, Gather, Kernels, Rows, Slot, Transformer};
use crate::gather::{GatherPlan, GatherRow};
use crate::weights::Parameters;
use marscope_core::config::MarConfig;

/// A buffer for every [`Slot`], and one for attention; kept between passes.
#[derive(Default)]
pub struct Workspace {
    slots: [Buffer; 8],
    scratch: Scratch,
}

impl Workspace {
    /// z of the last pass, `[picks, width]`.
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

/// A pass through the backbone; it writes z to the workspace.
pub struct Pass<'a> {
    /// The rows it runs over.
    pub plan: &'a GatherPlan,
    /// The parameters.
    pub network: &'a Parameters<Packer>,
    /// The buffers.
    pub workspace: &'a mut Workspace,
    /// Where the attention weights go, if anywhere; the plan is then [`GatherPlan::whole`].
    pub attention: Option<&'a mut Attention>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, network, workspace, attention } = self;
        let tokens = workspace.slots[Slot::Tokens as usize].of(plan.tokens.len());
        tokens.copy_from_slice(&plan.tokens);
        let mut executor = Executor { simd, config: &network.config, plan, workspace, attention };
        backbone::run(&mut executor, &network.backbone);
    }
}

struct Executor<'a, S> {
    simd: S,
    config: &'a MarConfig,
    plan: &'a GatherPlan,
    workspace: &'a mut Workspace,
    attention: Option<&'a mut Attention>,
}

impl<S> Executor<'_, S> {
    fn count(&self, rows: Rows) -> usize {
        match rows {
            Rows::Known => self.plan.images * self.plan.known,
            Rows::Encoder => self.plan.images * self.plan.encoder_rows,
            Rows::Decoder => self.plan.images * self.plan.decoder_rows,
            Rows::Picked => self.plan.picks.len(),
        }
    }

    /// One slot to read and another to write.
    fn pair(&mut self, x: Slot, out: Slot) -> [&mut Buffer; 2] {
        let slots = self.workspace.slots.get_disjoint_mut([x as usize, out as usize]);
        slots.expect("an operation reads one slot and writes another")
    }
}

impl<S: Simd> Kernels for Executor<'_, S> {
    type Store = Packer;

    fn linear(&mut self, rows: Rows, x: Slot, layer: &Linear, out: Slot, epilogue: Epilogue) {
        let (simd, count) = (self.simd, self.count(rows));
        let [x, out] = self.pair(x, out);
        let (x, out) = (x.of(count * layer.d_in()), out.of(count * layer.d_out()));
        match epilogue {
            Epilogue::Write => simd.vectorize(Apply { layer, x, out, epilogue: Write }),
            Epilogue::Gelu => simd.vectorize(Apply { layer, x, out, epilogue: Gelu }),
            Epilogue::Add => simd.vectorize(Apply { layer, x, out, epilogue: Add }),
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

    fn gather(&mut self, list: Gather, x: Slot, fixed: &Table, positions: &Table, out: Slot) {
        let width = positions.width;
        let list = match list {
            Gather::EncoderInput => &self.plan.encoder_input,
            Gather::DecoderInput => &self.plan.decoder_input,
            Gather::Z => &self.plan.z,
        };
        let [x, out] = self.pair(x, out);
        let x = x.get();
        for (to, &GatherRow { source, position }) in out.of(list.len() * width).chunks_exact_mut(width).zip(list) {
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
            Transformer::Encoder => (plan.encoder_rows, self.config.encoder_embed_dim),
            Transformer::Decoder => (plan.decoder_rows, self.config.decoder_embed_dim),
        };
        let weights = self.attention.as_deref_mut().map(|attention| {
            let blocks = match transformer {
                Transformer::Encoder => &mut attention.encoder,
                Transformer::Decoder => &mut attention.decoder,
            };
            blocks.push(vec![0.0; plan.images * heads * seq * seq]);
            blocks.last_mut().expect("one was pushed").as_mut_slice()
        });
        let count = if queries == Rows::Picked { plan.picks.len() } else { plan.images * seq };
        let Workspace { slots, scratch } = &mut *self.workspace;
        let [qkv, out] = slots.get_disjoint_mut([Slot::Qkv as usize, Slot::Attended as usize]).expect("two slots");
        simd.vectorize(Attend {
            qkv: qkv.of(plan.images * seq * 3 * width),
            width,
            seq,
            heads,
            queries: (queries == Rows::Picked).then_some(&plan.picks),
            out: out.of(count * width),
            weights,
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
