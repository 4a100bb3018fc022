//! The backbone, written once for every fast engine: known tokens through the encoder, all places through the decoder.
//! Section 3.3 of the paper; an engine supplies the kernels and the buffers, this says what runs on which.

use super::weights::{Backbone, Block, Load};

/// A workspace of an engine; `[rows, width]`, as wide as the widest layer that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The known tokens, `[known rows, C]`, as the plan has them.
    Tokens,
    /// The residual stream.
    Stream,
    /// What a norm or a first linear layer leaves.
    Scratch,
    /// Queries, keys and values side by side.
    Qkv,
    /// What attention gathers.
    Attended,
    /// Inside of the MLP.
    Hidden,
    /// The residual stream of the picked places alone.
    Picked,
    /// The conditions z of the picked places.
    Z,
}

/// How many rows an operation runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// The known tokens of every image.
    Known,
    /// Buffer and known tokens of every image: what the encoder sees.
    Seen,
    /// Buffer and all places of every image: what the decoder sees.
    All,
    /// The places whose z is asked for.
    Picked,
}

/// What happens to a linear layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// It is written.
    Write,
    /// It goes through the exact (erf) GELU first.
    Gelu,
    /// It is added to what is there.
    Add,
}

/// One of the plan's lists of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// The encoder's input.
    Enter,
    /// The decoder's input.
    Decode,
    /// From the picked rows to their z.
    Leave,
}

/// Which of the two transformers a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transformer {
    /// Over what is seen.
    Encoder,
    /// Over all places.
    Decoder,
}

/// The operations of the backbone. An engine that computes at once runs them; one that records writes them down.
pub trait Kernels {
    /// The parameters, as the engine keeps them.
    type Parameters: Load;

    /// `out = then(x W + b)`.
    fn linear(&mut self, rows: Rows, x: Slot, layer: &Linear<Self>, out: Slot, then: Then);

    /// Layer norm of every row, epsilon 1e-6, with scale and shift. `x` and `out` may be the same.
    fn norm(&mut self, rows: Rows, x: Slot, norm: &Norm<Self>, out: Slot);

    /// Row r of `out` becomes row r of the list: a row of `x`, or one of `fixed`, plus a row of `positions`.
    fn place(&mut self, list: List, x: Slot, fixed: &Table<Self>, positions: &Table<Self>, out: Slot);

    /// `out = softmax(q k^T / sqrt(d)) v` within each image, over `heads` heads: for every query of the transformer, or,
    /// with [`Rows::Picked`], for the picked ones, in their order. `block` tells a watcher which block this is.
    fn attention(&mut self, block: (Transformer, usize), queries: Rows, heads: usize);

    /// `out = the picked rows of x`.
    fn pick(&mut self, x: Slot, out: Slot);
}

/// A linear layer as the engine `K` keeps it.
pub type Linear<K> = <<K as Kernels>::Parameters as Load>::Linear;
/// A norm as the engine `K` keeps it.
pub type Norm<K> = <<K as Kernels>::Parameters as Load>::Norm;
/// A table as the engine `K` keeps it.
pub type Table<K> = <<K as Kernels>::Parameters as Load>::Table;

/// From [`Slot::Tokens`] to [`Slot::Z`].
pub fn run<K: Kernels>(kernels: &mut K, network: &Backbone<K::Parameters>) {
    use self::Slot::{Picked, Scratch, Stream, Tokens, Z};

    kernels.linear(Rows::Known, Tokens, &network.z_proj, Scratch, Then::Write);
    kernels.place(List::Enter, Scratch, &network.classes, &network.encoder_positions, Stream);
    kernels.norm(Rows::Seen, Stream, &network.z_proj_ln, Stream);
    for (i, block) in network.encoder.iter().enumerate() {
        self::block(kernels, block, (Transformer::Encoder, i), Rows::Seen, network.encoder_heads);
    }
    kernels.norm(Rows::Seen, Stream, &network.encoder_norm, Stream);

    kernels.linear(Rows::Seen, Stream, &network.decoder_embed, Scratch, Then::Write);
    kernels.place(List::Decode, Scratch, &network.mask_token, &network.decoder_positions, Stream);
    // Whatever is not picked matters to the others as key and value only, so the last block ends with the picked alone.
    let (last, others) = network.decoder.split_last().expect("a configuration has one block at least");
    for (i, block) in others.iter().enumerate() {
        self::block(kernels, block, (Transformer::Decoder, i), Rows::All, network.decoder_heads);
    }
    attend(kernels, last, (Transformer::Decoder, others.len()), Rows::All, Rows::Picked, network.decoder_heads);
    kernels.pick(Stream, Picked);
    finish(kernels, last, Rows::Picked, Picked);
    kernels.norm(Rows::Picked, Picked, &network.decoder_norm, Scratch);
    kernels.place(List::Leave, Scratch, &network.mask_token, &network.z_positions, Z);
}

/// `x + Attn(LN(x))`, then `x + MLP(LN(x))`.
fn block<K: Kernels>(
    kernels: &mut K,
    block: &Block<K::Parameters>,
    which: (Transformer, usize),
    rows: Rows,
    heads: usize,
) {
    attend(kernels, block, which, rows, rows, heads);
    finish(kernels, block, rows, Slot::Stream);
}

/// The attention of `queries`, into [`Slot::Attended`].
fn attend<K: Kernels>(
    kernels: &mut K,
    block: &Block<K::Parameters>,
    which: (Transformer, usize),
    rows: Rows,
    queries: Rows,
    heads: usize,
) {
    kernels.norm(rows, Slot::Stream, &block.norm1, Slot::Scratch);
    kernels.linear(rows, Slot::Scratch, &block.qkv, Slot::Qkv, Then::Write);
    kernels.attention(which, queries, heads);
}

/// What follows the attention, on the residual stream `x`.
fn finish<K: Kernels>(kernels: &mut K, block: &Block<K::Parameters>, rows: Rows, x: Slot) {
    kernels.linear(rows, Slot::Attended, &block.proj, x, Then::Add);
    kernels.norm(rows, x, &block.norm2, Slot::Scratch);
    kernels.linear(rows, Slot::Scratch, &block.fc1, Slot::Hidden, Then::Gelu);
    kernels.linear(rows, Slot::Hidden, &block.fc2, x, Then::Add);
}
