//! The backbone's layers, written once for every engine: known tokens through the encoder, all tokens through the decoder.
//! Section 3.3 of the paper; an engine supplies the kernels and the buffers.

use crate::weights::{BackboneParameters, BlockParameters, Store};

/// A buffer of an engine, `[rows, width]`, as wide as the widest layer that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The known tokens, `[known rows, C]`.
    Tokens,
    /// The residual stream.
    Stream,
    /// Output of a norm, or of the layer before a gather.
    Scratch,
    /// Queries, keys and values side by side.
    Qkv,
    /// Output of the attention.
    Attended,
    /// The hidden layer of the MLP.
    Hidden,
    /// The residual stream of the picked tokens alone.
    Picked,
    /// The conditions z of the picked tokens.
    Z,
}

/// How many rows an operation runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// The known tokens of every image.
    Known,
    /// Buffer and known tokens of every image.
    Encoder,
    /// Buffer and all tokens of every image.
    Decoder,
    /// The tokens whose z is asked for.
    Picked,
}

/// What is done with a linear layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Writes it.
    Write,
    /// Writes its exact (erf) GELU.
    Gelu,
    /// Adds it to the old value.
    Add,
}

/// One of the lists of a [`GatherPlan`](crate::gather::GatherPlan).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gather {
    /// The encoder's input.
    EncoderInput,
    /// The decoder's input.
    DecoderInput,
    /// From the picked rows to their z.
    Z,
}

/// Which of the two transformers a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transformer {
    /// Over the known tokens.
    Encoder,
    /// Over all tokens.
    Decoder,
}

/// The operations of the backbone. The CPU engine runs them at once; the GPU engine records them for later.
pub trait Kernels {
    /// The parameters, as the engine keeps them.
    type Store: Store;

    /// `out = epilogue(x W + b)`.
    fn linear(&mut self, rows: Rows, x: Slot, layer: &Linear<Self>, out: Slot, epilogue: Epilogue);

    /// Layer norm of every row, epsilon 1e-6, with scale and shift. `x` and `out` may be the same.
    fn norm(&mut self, rows: Rows, x: Slot, norm: &Norm<Self>, out: Slot);

    /// Row r of `out` is entry r of the list: a row of `x`, or one of `fixed`, plus a row of `positions`.
    fn gather(&mut self, list: Gather, x: Slot, fixed: &Table<Self>, positions: &Table<Self>, out: Slot);

    /// `out = softmax(q k^T / sqrt(d)) v` within each image, over `heads` heads: for every query of the transformer, or,
    /// with [`Rows::Picked`], for the picked ones, in their order.
    fn attention(&mut self, block: (Transformer, usize), queries: Rows, heads: usize);

    /// `out = the picked rows of x`.
    fn pick(&mut self, x: Slot, out: Slot);
}

/// A linear layer as the engine `K` keeps it.
pub type Linear<K> = <<K as Kernels>::Store as Store>::Linear;
/// A norm as the engine `K` keeps it.
pub type Norm<K> = <<K as Kernels>::Store as Store>::Norm;
/// A table as the engine `K` keeps it.
pub type Table<K> = <<K as Kernels>::Store as Store>::Table;

/// From [`Slot::Tokens`] to [`Slot::Z`].
pub fn run<K: Kernels>(kernels: &mut K, network: &BackboneParameters<K::Store>) {
    use self::Slot::{Picked, Scratch, Stream, Tokens, Z};

    kernels.linear(Rows::Known, Tokens, &network.z_proj, Scratch, Epilogue::Write);
    kernels.gather(Gather::EncoderInput, Scratch, &network.classes, &network.encoder_positions, Stream);
    kernels.norm(Rows::Encoder, Stream, &network.z_proj_ln, Stream);
    for (i, block) in network.encoder.iter().enumerate() {
        self::block(kernels, block, (Transformer::Encoder, i), Rows::Encoder, network.encoder_heads);
    }
    kernels.norm(Rows::Encoder, Stream, &network.encoder_norm, Stream);

    kernels.linear(Rows::Encoder, Stream, &network.decoder_embed, Scratch, Epilogue::Write);
    kernels.gather(Gather::DecoderInput, Scratch, &network.mask_token, &network.decoder_positions, Stream);
    // Rows that are not picked are needed as keys and values only, so the last block ends with the picked alone.
    let (last, others) = network.decoder.split_last().expect("a configuration has one block at least");
    for (i, block) in others.iter().enumerate() {
        self::block(kernels, block, (Transformer::Decoder, i), Rows::Decoder, network.decoder_heads);
    }
    attend(kernels, last, (Transformer::Decoder, others.len()), Rows::Decoder, Rows::Picked, network.decoder_heads);
    kernels.pick(Stream, Picked);
    finish(kernels, last, Rows::Picked, Picked);
    kernels.norm(Rows::Picked, Picked, &network.decoder_norm, Scratch);
    kernels.gather(Gather::Z, Scratch, &network.mask_token, &network.z_positions, Z);
}

/// `x + Attn(LN(x))`, then `x + MLP(LN(x))`.
fn block<K: Kernels>(
    kernels: &mut K,
    block: &BlockParameters<K::Store>,
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
    block: &BlockParameters<K::Store>,
    which: (Transformer, usize),
    rows: Rows,
    queries: Rows,
    heads: usize,
) {
    kernels.norm(rows, Slot::Stream, &block.norm1, Slot::Scratch);
    kernels.linear(rows, Slot::Scratch, &block.qkv, Slot::Qkv, Epilogue::Write);
    kernels.attention(which, queries, heads);
}

/// The rest of the block after the attention, on the residual stream `x`.
fn finish<K: Kernels>(kernels: &mut K, block: &BlockParameters<K::Store>, rows: Rows, x: Slot) {
    kernels.linear(rows, Slot::Attended, &block.proj, x, Epilogue::Add);
    kernels.norm(rows, x, &block.norm2, Slot::Scratch);
    kernels.linear(rows, Slot::Scratch, &block.fc1, Slot::Hidden, Epilogue::Gelu);
    kernels.linear(rows, Slot::Hidden, &block.fc2, x, Epilogue::Add);
}
