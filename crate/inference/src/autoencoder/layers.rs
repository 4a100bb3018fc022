//! The autoencoder's layers: each one reads features `[channels, side, side]` from one buffer and writes them to another.
//! Residual and attention blocks are those of Rombach et al., arXiv 2112.10752.

use std::marker::PhantomData;

use super::parameters::{Conv, Layer, Norm, Store};

/// A buffer of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The features; the input is here.
    Features,
    /// Takes turns with them: a layer cannot write what it reads.
    Other,
    /// Between the convolutions of a residual block; what attention gathers.
    Hidden,
    /// Queries, keys and values, `[3 channels, side, side]`.
    Qkv,
}

impl Slot {
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// What follows a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `SiLU`.
    Silu,
}

/// What is done with a convolution's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Writes it.
    Write,
    /// Adds it to the old value.
    Add,
}

/// The operations of the autoencoder. The CPU engine runs them at once; the GPU engine records them for later.
pub trait Kernels {
    /// The parameters, as the engine keeps them.
    type Store: Store;

    /// `out = epilogue(conv(activation(norm(x))))`, of `x` `[channels, side, side]`; without a norm, `conv(x)`. The norm takes
    /// mean and (biased) variance of each group of channels, epsilon 1e-6.
    fn conv(
        &mut self,
        x: Slot,
        side: usize,
        norm: Option<(&Norm<Self::Store>, Activation)>,
        layer: &Conv<Self::Store>,
        out: Slot,
        epilogue: Epilogue,
    );

    /// [`Slot::Hidden`] `= v softmax(k^T q / sqrt(channels))` of [`Slot::Qkv`]: each position's query meets the keys of all.
    fn attention(&mut self, channels: usize, side: usize);
}

/// Runs `layers` on the features of `side` in [`Slot::Features`]. Returns the slot that holds the result, and its side.
pub fn run<K: Kernels>(kernels: &mut K, layers: &[Layer<K::Store>], mut side: usize) -> (Slot, usize) {
    use self::Activation::{Identity, Silu};
    use self::Epilogue::{Add, Write};

    let (mut x, mut other) = (Slot::Features, Slot::Other);
    for layer in layers {
        match layer {
            Layer::Conv(norm, conv) => {
                kernels.conv(x, side, norm.as_ref().map(|norm| (norm, Silu)), conv, other, Write);
                std::mem::swap(&mut x, &mut other);
                side = conv.shape.sides.of(side);
            }
            Layer::Resnet(block) => {
                kernels.conv(x, side, Some((&block.norm1, Silu)), &block.conv1, Slot::Hidden, Write);
                if let Some(shortcut) = &block.nin_shortcut {
                    kernels.conv(x, side, None, shortcut, other, Write);
                    std::mem::swap(&mut x, &mut other);
                }
                kernels.conv(Slot::Hidden, side, Some((&block.norm2, Silu)), &block.conv2, x, Add);
            }
            Layer::Attention(block) => {
                kernels.conv(x, side, Some((&block.norm, Identity)), &block.qkv, Slot::Qkv, Write);
                kernels.attention(block.norm.channels, side);
                kernels.conv(Slot::Hidden, side, None, &block.proj_out, x, Add);
            }
        }
    }
    (x, side)
}

/// The most numbers that each slot holds, by its index, when `layers` run on features of `side`.
pub fn slot_numbers<E: Store>(layers: &[Layer<E>], side: usize) -> [usize; Slot::COUNT] {
    let mut most = Most { numbers: [0; Slot::COUNT], of: PhantomData::<E> };
    run(&mut most, layers, side);
    most.numbers
}

/// Computes nothing, and notes what would be in each slot.
struct Most<E> {
    numbers: [usize; Slot::COUNT],
    of: PhantomData<E>,
}

impl<E> Most<E> {
    fn note(&mut self, slot: Slot, numbers: usize) {
        let most = &mut self.numbers[slot as usize];
        *most = numbers.max(*most);
    }
}

impl<E: Store> Kernels for Most<E> {
    type Store = E;

    fn conv(
        &mut self,
        x: Slot,
        side: usize,
        _: Option<(&Norm<E>, Activation)>,
        layer: &Conv<E>,
        out: Slot,
        _: Epilogue,
    ) {
        let ([c_in, c_out], after) = (layer.shape.channels, layer.shape.sides.of(side));
        self.note(x, c_in * side * side);
        self.note(out, c_out * after * after);
    }

    fn attention(&mut self, channels: usize, side: usize) {
        self.note(Slot::Hidden, channels * side * side);
    }
}
