//! The autoencoder's ops, recorded once for a side. [`crate::autoencoder`] has their order.
//! Section 4 of the paper; features are `[channels, side, side]`.

use super::buffers::View;
use super::device::Gpu;
use super::error::GpuError;
use super::kernel::Kernel;
use super::op::{Dispatch, Op, grid};
use super::uniforms::SLOT;
use super::weights::Uploader;
use crate::autoencoder::{self, Activation, Conv, Epilogue, Kernels, Layer, Norm, Slot, slot_numbers};

const CONV: Kernel = Kernel { entry: "conv", source: &[include_str!("conv.wgsl")], bindings: "urrrw" };
const MOMENTS: Kernel =
    Kernel { entry: "group_moments", source: &[include_str!("group_moments.wgsl")], bindings: "urw" };
const NORM: Kernel = Kernel { entry: "group_norm", source: &[include_str!("group_norm.wgsl")], bindings: "urrrw" };
const ATTENTION: Kernel =
    Kernel { entry: "position_attention", source: &[include_str!("position_attention.wgsl")], bindings: "urw" };

/// Positions of the side of a square of [`CONV`], lanes of eight channels of it, and the most such eights of a workgroup.
const SQUARE: usize = 8;
const QUADS: usize = 16;
const MOST_EIGHTS: usize = 4;

/// The ops of some layers on features of one side, with their buffers.
pub struct Pass {
    /// The ops, in their order.
    pub ops: Vec<Op>,
    /// Where the host writes the features.
    pub input: View,
    /// Where it reads the result, from the start on.
    pub output: View,
    /// Side of the result.
    pub side: usize,
}

impl Pass {
    /// The ops of `layers` on features of `side`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, layers: &[Layer<Uploader>], side: usize) -> Result<Self, GpuError> {
        let numbers = slot_numbers(layers, side);
        let buffer = |numbers: usize| gpu.storage("the features of a picture", 4 * numbers as u64);
        let [features, other, hidden, qkv] = numbers;
        let mut recorder = Recorder {
            gpu,
            slots: [buffer(features)?, buffer(other)?, buffer(hidden)?, buffer(qkv)?],
            normed: buffer(features.max(other).max(hidden))?,
            uniforms: gpu.constant(&[0; SLOT as usize / 4]),
            ops: Vec::new(),
        };
        let (slot, side) = autoencoder::run(&mut recorder, layers, side);
        let Recorder { slots, ops, .. } = recorder;
        let [input, output] = [Slot::Features, slot].map(|slot| slots[slot as usize].clone());
        Ok(Self { ops, input, output, side })
    }
}

struct Recorder<'a> {
    gpu: &'a Gpu,
    /// By index.
    slots: [View; Slot::COUNT],
    /// What a convolution with a norm reads.
    normed: View,
    /// Nothing changes from picture to picture, so all ops have the same.
    uniforms: View,
    ops: Vec<Op>,
}

impl Recorder<'_> {
    fn push(&mut self, kernel: &Kernel, constants: &[(&'static str, f64)], views: &[&View], dispatch: Dispatch) {
        let compiled = self.gpu.compile(kernel, constants);
        self.ops.push(Op::new(self.gpu, &compiled, &self.uniforms, views, move |_| dispatch));
    }

    fn shape(&self, numbers: &[usize]) -> View {
        let numbers: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
        self.gpu.constant(&numbers)
    }

    /// Lanes of norms and attention.
    fn lanes(&self) -> (&'static str, f64) {
        ("LANES", f64::from(self.gpu.tuning().row_lanes))
    }

    /// Writes the norm of `x` to [`Self::normed`].
    fn norm(&mut self, x: &View, side: usize, norm: &Norm<Uploader>, activation: Activation) {
        let (channels, area) = (norm.channels, side * side);
        let moments = self.gpu.constant(&vec![0; 2 * channels]);
        let shape = self.shape(&[channels, area, channels / norm.parameters.groups]);
        let (normed, lanes) = (self.normed.clone(), self.lanes());
        let dispatch = |numbers: usize| Dispatch::new(grid(channels as u32, 1), numbers);
        self.push(&MOMENTS, &[lanes], &[&shape, x, &moments], dispatch(channels * (area + 2)));
        let silu = ("SILU", f64::from(u8::from(activation == Activation::Silu)));
        let views = [&shape, x, &moments, &norm.parameters.parameter, &normed];
        self.push(&NORM, &[lanes, silu], &views, dispatch(channels * (2 * area + 4)));
    }
}

impl Kernels for Recorder<'_> {
    type Store = Uploader;

    fn conv(
        &mut self,
        x: Slot,
        side: usize,
        norm: Option<(&Norm<Uploader>, Activation)>,
        layer: &Conv<Uploader>,
        out: Slot,
        epilogue: Epilogue,
    ) {
        let [mut x, out] = [x, out].map(|slot| self.slots[slot as usize].clone());
        if let Some((norm, activation)) = norm {
            self.norm(&x, side, norm, activation);
            x = self.normed.clone();
        }
        let ([c_in, c_out], after) = (layer.shape.channels, layer.shape.sides.of(side));
        let shape = self.shape(&[c_in, c_out, side, after]);
        let eighths = c_out.div_ceil(8);
        let of_group = eighths.min(MOST_EIGHTS);
        let constants = [
            ("LANES", (QUADS * of_group) as f64),
            ("TAPS", layer.shape.kernel as f64),
            ("SIDES", f64::from(layer.shape.sides as u8)),
            ("ADD", f64::from(u8::from(epilogue == Epilogue::Add))),
            ("STAGED", f64::from(u8::from(!self.gpu.tuning().direct))),
        ];
        let groups = grid(after.div_ceil(SQUARE).pow(2) as u32, eighths.div_ceil(of_group) as u32);
        // What is added to is read first.
        let written = c_out * after * after * if epilogue == Epilogue::Add { 2 } else { 1 };
        let parameters = &layer.parameters;
        let dispatch = Dispatch::new(groups, c_in * side * side + written);
        let dispatch = dispatch.with(parameters.weight.size + parameters.bias.size);
        self.push(&CONV, &constants, &[&shape, &x, &parameters.weight, &parameters.bias, &out], dispatch);
    }

    fn attention(&mut self, channels: usize, side: usize) {
        let positions = side * side;
        let shape = self.shape(&[channels, positions]);
        let [qkv, out] = [Slot::Qkv, Slot::Hidden].map(|slot| self.slots[slot as usize].clone());
        let dispatch = Dispatch::new(grid(positions as u32, 1), 4 * channels * positions);
        self.push(&ATTENTION, &[self.lanes()], &[&shape, &qkv, &out], dispatch);
    }
}
