//! Convolutions: some channels of the output times some positions of a row, with all sums in registers.
//! Lanes are positions, so that any number of channels fits; the kernel's weights are repeated over the lanes.
//!
//! One kernel serves all: stride 2 is stride 1 over the quarters of the input, and doubling is one convolution with a kernel
//! of 2 x 2 for each of the four positions that an input becomes, since two of three neighbours there are the same.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::buffer::Buffer;
use super::planes::{Cut, Layout};
use crate::autoencoder::{ConvShape, Epilogue, Sides};
use marscope_simd::math::{load, store};
use marscope_simd::parallel;

/// The most channels of a block. Twelve sums, two vectors of x and a weight take 15 registers, which is what a page has.
const TALLEST: usize = 6;

/// A convolution, packed.
pub struct Conv {
    shape: ConvShape,
    /// What it reads.
    pub cut: Cut,
    /// Side of the kernel on the planes.
    taps: usize,
    /// One, or four for doubled sides.
    windows: Vec<Window>,
    /// `[c_out]`.
    bias: Vec<f32>,
}

/// A kernel, and the outputs it computes.
struct Window {
    /// The first output, row and column; the first input is at the same place of the planes.
    at: [usize; 2],
    /// `[blocks, planes, taps, taps, channels of the block]`.
    weights: Buffer,
}

/// The channels of each block: as many as the registers allow, or one less, so that none is left thin.
fn blocks(c_out: usize) -> impl Iterator<Item = Range<usize>> {
    let count = c_out.div_ceil(TALLEST);
    (0..count).map(move |i| i * c_out / count..(i + 1) * c_out / count)
}

impl Conv {
    /// A convolution of zeros.
    pub fn zeros(shape: ConvShape) -> Self {
        let [c_in, c_out] = shape.channels;
        let (cut, taps, planes, ats): (_, _, _, &[[usize; 2]]) = match shape.sides {
            Sides::Same if shape.kernel == 1 => (Cut::Line, 1, c_in, &[[0, 0]]),
            Sides::Same => (Cut::Framed, 3, c_in, &[[0, 0]]),
            Sides::Halve => (Cut::Quarters, 2, 4 * c_in, &[[0, 0]]),
            Sides::Double => (Cut::Framed, 2, c_in, &[[0, 0], [0, 1], [1, 0], [1, 1]]),
        };
        let window = |&at| {
            let mut weights = Buffer::default();
            weights.of(c_out * planes * taps * taps);
            Window { at, weights }
        };
        Self { shape, cut, taps, windows: ats.iter().map(window).collect(), bias: vec![0.0; c_out] }
    }

    /// Packs the official `weight`, `[c_in, kernel, kernel]`, and the `bias` of one output.
    pub fn set(&mut self, output: usize, weight: &[f32], bias: f32) {
        let Self { shape: ConvShape { channels: [c_in, c_out], kernel, sides }, taps, .. } = *self;
        self.bias[output] = bias;
        let block = blocks(c_out).find(|block| block.contains(&output)).expect("an output of the layer");
        let planes = if sides == Sides::Halve { 4 * c_in } else { c_in };
        for Window { at, weights } in &mut self.windows {
            let weights = weights.of(c_out * planes * taps * taps);
            let of_block = &mut weights[block.start * planes * taps * taps..];
            for (i, &value) in weight.iter().enumerate() {
                let (channel, place) = (i / (kernel * kernel), [i / kernel % kernel, i % kernel]);
                let (plane, [row, column]) = match sides {
                    Sides::Same => (channel, place),
                    Sides::Halve => (4 * channel + place[0] % 2 * 2 + place[1] % 2, place.map(|place| place / 2)),
                    // Of three neighbours after doubling, two are one before it.
                    Sides::Double => (channel, std::array::from_fn(|i| (at[i] + 1 + place[i]) / 2 - at[i])),
                };
                of_block[((plane * taps + row) * taps + column) * block.len() + output - block.start] += value;
            }
        }
    }

    /// `out = epilogue(conv(planes))`, of the planes of features of `side`; `out` is `[c_out, side, side]` of the side after
    /// it.
    pub fn apply(&self, arch: Arch, side: usize, layout: Layout, planes: &[f32], out: &mut [f32], epilogue: Epilogue) {
        let c_out = self.shape.channels[1];
        let area = out.len() / c_out;
        let (rows, columns) = match self.cut {
            Cut::Line => (1, area),
            Cut::Framed => (side, side),
            Cut::Quarters => (side / 2, side / 2),
        };
        let step = if self.windows.len() > 1 { 2 } else { 1 };
        let count = planes.len() / layout.plane();
        let tap = |i: usize| i / self.taps * layout.pitch + i % self.taps;
        let taps = self.taps * self.taps;
        let offsets: Vec<usize> = (0..count * taps).map(|i| i / taps * layout.plane() + tap(i % taps)).collect();
        let mut rest = out;
        let mut parts: Vec<_> = blocks(c_out)
            .map(|channels| {
                let (out, others) = std::mem::take(&mut rest).split_at_mut(channels.len() * area);
                rest = others;
                let (offsets, pitch) = (&*offsets, layout.pitch);
                Some(Block { layer: self, channels, pitch, rows, columns, step, planes, offsets, out, area, epilogue })
            })
            .collect();
        parallel::each(&mut parts, |part| part.take().map_or((), |part| part.run(arch)));
    }
}

/// Some channels of the output, all positions.
struct Block<'a> {
    layer: &'a Conv,
    channels: Range<usize>,
    /// From a row of a plane to the next.
    pitch: usize,
    /// Outputs of a window.
    rows: usize,
    columns: usize,
    /// From an output of a window to the next.
    step: usize,
    planes: &'a [f32],
    /// From the first input of an output to each, in the order of the weights.
    offsets: &'a [usize],
    /// `[channels, area]`.
    out: &'a mut [f32],
    area: usize,
    epilogue: Epilogue,
}

impl Block<'_> {
    fn run(self, arch: Arch) {
        match self.channels.len() {
            1 => arch.dispatch(Channels::<1>(self)),
            2 => arch.dispatch(Channels::<2>(self)),
            3 => arch.dispatch(Channels::<3>(self)),
            4 => arch.dispatch(Channels::<4>(self)),
            5 => arch.dispatch(Channels::<5>(self)),
            6 => arch.dispatch(Channels::<6>(self)),
            _ => unreachable!("blocks have at most {TALLEST} channels"),
        }
    }
}

/// A block of M channels.
struct Channels<'a, const M: usize>(Block<'a>);

impl<const M: usize> WithSimd for Channels<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut block = self.0;
        let count = block.offsets.len();
        for window in &block.layer.windows {
            let weights = &window.weights.get()[block.channels.start * count..][..M * count];
            let (weights, _) = weights.as_chunks::<M>();
            for row in 0..block.rows {
                let mut column = 0;
                while column < block.columns {
                    column += if block.columns - column > S::F32_LANES {
                        block.positions::<S, M, 2>(simd, window.at, weights, [row, column])
                    } else {
                        block.positions::<S, M, 1>(simd, window.at, weights, [row, column])
                    };
                }
            }
        }
    }
}

impl Block<'_> {
    /// V vectors of positions from `row`, `column` of the window on. Returns how many positions that is.
    #[inline(always)]
    fn positions<S: Simd, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        window: [usize; 2],
        weights: &[[f32; M]],
        [row, column]: [usize; 2],
    ) -> usize {
        let bias = &self.layer.bias[self.channels.clone()];
        let mut sums: [_; M] = std::array::from_fn(|m| [simd.splat_f32s(bias[m]); V]);
        let first = &self.planes[(row + window[0]) * self.pitch + column + window[1]..];
        for (&offset, weights) in self.offsets.iter().zip(weights) {
            let (x, _) = S::as_simd_f32s(&first[offset..][..V * S::F32_LANES]);
            for m in 0..M {
                let weight = simd.splat_f32s(weights[m]);
                for v in 0..V {
                    sums[m][v] = simd.mul_add_e_f32s(weight, x[v], sums[m][v]);
                }
            }
        }
        let count = (V * S::F32_LANES).min(self.columns - column);
        let width = self.columns * self.step;
        let at = (row * self.step + window[0]) * width + column * self.step + window[1];
        for (sums, out) in sums.iter().zip(self.out.chunks_exact_mut(self.area)) {
            if self.step > 1 {
                let sums: &[f32] = bytemuck::cast_slice(sums);
                for (to, &sum) in out[at..].iter_mut().step_by(self.step).zip(&sums[..count]) {
                    *to = sum;
                }
                continue;
            }
            for (&sum, to) in sums.iter().zip(out[at..][..count].chunks_mut(S::F32_LANES)) {
                let value = match self.epilogue {
                    Epilogue::Write => sum,
                    Epilogue::Add => simd.add_f32s(load(simd, to), sum),
                };
                store(simd, to, value);
            }
        }
        count
    }
}
