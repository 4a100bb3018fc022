//! Square convolutions, channels last: with stride 1, with stride 2, and after nearest-neighbour upsampling by two.
//! For the autoencoder (Rombach et al., arXiv 2112.10752). With few channels they are several times faster than Burn's.

use burn::backend::flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use crate::Kernel;
use crate::rows::{contiguous, numbers, sum, tensor};
use marscope_simd::math::{load, store};
use marscope_simd::parallel::{count, each};

/// Output channels of one tile.
const BLOCK: usize = 16;
/// Minimum number of positions over which a weight gradient is summed in registers.
const STRETCH: usize = 128;

/// How a convolution changes the height and width of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Keeps them: pads all sides with zeros.
    Same,
    /// Halves them: stride 2, padded with zeros at the bottom and the right only.
    Halve,
    /// Doubles them: nearest-neighbour upsampling by two, then padded with zeros on all sides.
    Double,
}

/// `conv(x) + bias`, of x `[n, h, w, c_in]`, weights `[c_out, c_in, k, k]`, k 1 or 3, and bias `[c_out]`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// How the height and width change.
    pub sides: Sides,
}

/// One dimension of a grid of outputs: which outputs it has, and which inputs each output sums.
struct Line {
    /// Index of the first output; the step to the next is [`Grids::to`].
    at: usize,
    /// Index of the first input of the first output; -1 is the padding.
    first: isize,
    /// For each consecutive input, the kernel indices whose weights multiply it.
    taps: &'static [&'static [usize]],
}

/// The grids that make up all outputs: each pair of lines (vertical, horizontal) is one grid.
struct Grids {
    lines: &'static [Line],
    /// Step from one output of a grid to the next.
    to: usize,
    /// Step from the first input of one output to that of the next.
    from: usize,
}

/// The grids of the forward pass.
fn forth(sides: Sides, kernel: usize) -> Grids {
    match (sides, kernel) {
        (Sides::Same, 1) => Grids { lines: &[Line { at: 0, first: 0, taps: &[&[0]] }], to: 1, from: 1 },
        (Sides::Same, 3) => Grids { lines: &[Line { at: 0, first: -1, taps: &[&[0], &[1], &[2]] }], to: 1, from: 1 },
        (Sides::Halve, 3) => Grids { lines: &[Line { at: 0, first: 0, taps: &[&[0], &[1], &[2]] }], to: 1, from: 2 },
        // Two of three neighbouring upsampled positions are the same input, so their weights are added.
        (Sides::Double, 3) => Grids {
            lines: &[
                Line { at: 0, first: -1, taps: &[&[0], &[1, 2]] },
                Line { at: 1, first: 0, taps: &[&[0, 1], &[2]] },
            ],
            to: 2,
            from: 1,
        },
        _ => panic!("no {kernel}x{kernel} convolution that makes {sides:?} of the sides"),
    }
}

/// The grids of the input's gradient: the outputs are inputs here, and the other way round.
fn back(sides: Sides, kernel: usize) -> Grids {
    match (sides, kernel) {
        (Sides::Same, 3) => Grids { lines: &[Line { at: 0, first: -1, taps: &[&[2], &[1], &[0]] }], to: 1, from: 1 },
        (Sides::Halve, 3) => Grids {
            lines: &[Line { at: 0, first: -1, taps: &[&[2], &[0]] }, Line { at: 1, first: 0, taps: &[&[1]] }],
            to: 2,
            from: 1,
        },
        (Sides::Double, 3) => {
            Grids { lines: &[Line { at: 0, first: -1, taps: &[&[2], &[1, 2], &[0, 1], &[0]] }], to: 1, from: 2 }
        }
        _ => forth(sides, kernel),
    }
}

/// Height, width and channels of the features of one picture.
#[derive(Clone, Copy)]
struct Size {
    h: usize,
    w: usize,
    c: usize,
}

impl Size {
    fn count(self) -> usize {
        self.h * self.w * self.c
    }
}

/// One grid of outputs over a padded input.
struct Window {
    at: [usize; 2],
    /// First input, in the padded input, which has one more position on each side.
    first: [usize; 2],
    /// Number of inputs per output, vertical and horizontal.
    size: [usize; 2],
    /// For each of these inputs, row by row, the kernel positions (row-major) whose weights multiply it.
    taps: Vec<Vec<usize>>,
    /// Input and output channels.
    channels: [usize; 2],
}

impl Grids {
    /// The grids of a `k` x `k` kernel; `channels` are input and output channels.
    fn windows(&self, k: usize, channels: [usize; 2]) -> Vec<Window> {
        let pairs = self.lines.iter().flat_map(|y| self.lines.iter().map(move |x| (y, x)));
        let places = |rows: &[usize], columns: &[usize]| {
            rows.iter().flat_map(|r| columns.iter().map(move |c| r * k + c)).collect()
        };
        pairs
            .map(|(y, x)| Window {
                at: [y.at, x.at],
                first: [y.first, x.first].map(|first| first.checked_add(1).expect("-1 at least") as usize),
                size: [y.taps.len(), x.taps.len()],
                taps: y.taps.iter().flat_map(|rows| x.taps.iter().map(|columns| places(rows, columns))).collect(),
                channels,
            })
            .collect()
    }
}

impl Window {
    /// Number of weights of one block of output channels.
    fn block(&self) -> usize {
        self.taps.len() * self.channels[0] * BLOCK
    }

    /// Number of all weights, laid out as `[blocks][taps][c_from][BLOCK]`.
    fn count(&self) -> usize {
        self.channels[1].div_ceil(BLOCK) * self.block()
    }

    /// Index of the weight of a tap between two channels.
    fn place(&self, tap: usize, from: usize, to: usize) -> usize {
        to / BLOCK * self.block() + (tap * self.channels[0] + from) * BLOCK + to % BLOCK
    }

    /// The weights in that layout. `kernel` holds the official ones; those of a pair of channels begin at `at(from, to)`.
    fn weights(&self, kernel: &[f32], at: impl Fn(usize, usize) -> usize) -> Vec<f32> {
        let mut weights = vec![0.0; self.count()];
        for to in 0..self.channels[1] {
            for from in 0..self.channels[0] {
                let kernel = &kernel[at(from, to)..];
                for (tap, places) in self.taps.iter().enumerate() {
                    weights[self.place(tap, from, to)] = places.iter().map(|&place| kernel[place]).sum();
                }
            }
        }
        weights
    }
}

impl Sides {
    /// The size of the output.
    fn of(self, Size { h, w, c: _ }: Size, c: usize) -> Size {
        match self {
            Self::Same => Size { h, w, c },
            Self::Halve => Size { h: h / 2, w: w / 2, c },
            Self::Double => Size { h: 2 * h, w: 2 * w, c },
        }
    }
}

/// Pictures per part. Each thread gets several parts, so that a busy core does not delay the others.
fn turn(pictures: usize) -> usize {
    if count() == 1 { pictures.max(1) } else { pictures.div_ceil(4 * count()).max(1) }
}

impl Kernel<3> for Conv {
    const HEAVY: bool = true;

    fn reads(&self) -> [bool; 3] {
        [true, true, false]
    }

    fn forward(&self, [x, weight, bias]: [FlexTensor; 3]) -> FlexTensor {
        let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
        let [n, h, w, c_in] = x.layout().shape().dims();
        let [c_out, _, k, _] = weight.layout().shape().dims();
        let from = Size { h, w, c: c_in };
        let to = self.sides.of(from, c_out);
        let grids = forth(self.sides, k);
        let windows = grids.windows(k, [c_in, c_out]);
        let kernel = |window: &Window| window.weights(numbers(&weight), |from, to| (to * c_in + from) * k * k);
        let mut out = vec![0.0; n * to.count()];
        apply(&grids, &windows, kernel, [numbers(&x), numbers(&bias)], &mut out, [from, to]);
        tensor(out, [n, to.h, to.w, c_out].into())
    }

    fn backward(
        &self,
        [x, weight, _]: [Option<FlexTensor>; 3],
        gradient: FlexTensor,
        [x_wanted, weight_wanted, bias_wanted]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let (x, weight) = (contiguous(x.expect("read")), contiguous(weight.expect("read")));
        let gradient = contiguous(gradient);
        let [n, h, w, c_in] = x.layout().shape().dims();
        let [c_out, _, k, _] = weight.layout().shape().dims();
        let from = Size { h, w, c: c_in };
        let to = self.sides.of(from, c_out);
        let to_x = x_wanted.then(|| {
            let grids = back(self.sides, k);
            let windows = grids.windows(k, [c_out, c_in]);
            let kernel = |window: &Window| window.weights(numbers(&weight), |from, to| (from * c_in + to) * k * k);
            let mut out = vec![0.0; n * from.count()];
            apply(&grids, &windows, kernel, [numbers(&gradient), &vec![0.0; c_in]], &mut out, [to, from]);
            tensor(out, [n, h, w, c_in].into())
        });
        if !weight_wanted && !bias_wanted {
            return [to_x, None, None];
        }
        let (to_weight, to_bias) = self.to_weight([numbers(&x), numbers(&gradient)], [from, to], k);
        let to_weight = tensor(to_weight, [c_out, c_in, k, k].into());
        [to_x, weight_wanted.then_some(to_weight), bias_wanted.then(|| tensor(to_bias, [c_out].into()))]
    }
}

impl Conv {
    /// The gradients of weights and bias, from the input and the gradient of the output.
    fn to_weight(&self, [x, gradient]: [&[f32]; 2], [from, to]: [Size; 2], k: usize) -> (Vec<f32>, Vec<f32>) {
        let grids = forth(self.sides, k);
        let windows = grids.windows(k, [from.c, to.c]);
        let turn = turn(x.len() / from.count());
        let pictures = x.chunks(turn * from.count()).zip(gradient.chunks(turn * to.count()));
        let mut parts: Vec<_> = pictures
            .map(|(x, gradient)| {
                let sums: Vec<_> = windows.iter().map(|window| vec![0.0; window.count()]).collect();
                (x, gradient, sums, vec![0.0; to.c])
            })
            .collect();
        each(&mut parts, |(x, gradient, sums, bias)| {
            Arch::new().dispatch(ToWeight { grids: &grids, windows: &windows, x, gradient, sums, bias, from, to });
        });
        let mut found = vec![0.0; to.c * from.c * k * k];
        for (i, window) in windows.iter().enumerate() {
            let sums = sum(parts.iter().map(|part| &*part.2[i]), window.count());
            for c_out in 0..to.c {
                for c_in in 0..from.c {
                    let found = &mut found[(c_out * from.c + c_in) * k * k..][..k * k];
                    for (tap, places) in window.taps.iter().enumerate() {
                        let sum = sums[window.place(tap, c_in, c_out)];
                        for &place in places {
                            found[place] += sum;
                        }
                    }
                }
            }
        }
        let bias = sum(parts.iter().map(|part| &*part.3), to.c);
        (found, bias)
    }
}

/// Computes all `windows` of the pictures `x` into `out`. `kernel` gives a window's weights.
fn apply(
    grids: &Grids,
    windows: &[Window],
    kernel: impl Fn(&Window) -> Vec<f32> + Sync + Send,
    [x, bias]: [&[f32]; 2],
    out: &mut [f32],
    [from, to]: [Size; 2],
) {
    let mut windows: Vec<_> = windows.iter().map(|window| (window, Vec::new())).collect();
    each(&mut windows, |(window, weights)| *weights = kernel(window));
    let mut whole = bias.to_vec();
    whole.resize(bias.len().next_multiple_of(BLOCK), 0.0);
    let turn = turn(x.len() / from.count());
    let mut parts: Vec<_> = x.chunks(turn * from.count()).zip(out.chunks_mut(turn * to.count())).collect();
    each(&mut parts, |(x, out)| {
        Arch::new().dispatch(Apply { grids, windows: &windows, bias: &whole, x, out, from, to });
    });
}

/// Copies a picture into the interior of `padded`, whose border stays zero.
fn pad(padded: &mut [f32], picture: &[f32], Size { w, c, .. }: Size) {
    let rows = padded.chunks_exact_mut((w + 2) * c).skip(1);
    for (to, from) in rows.zip(picture.chunks_exact(w * c)) {
        to[c..][..w * c].copy_from_slice(from);
    }
}

/// A zeroed buffer for a padded picture, with room behind it so that every run of inputs has its full length.
fn padded(Size { h, w, c }: Size) -> Vec<f32> {
    vec![0.0; ((h + 2) * (w + 2) + 2) * c]
}

struct Apply<'a> {
    grids: &'a Grids,
    windows: &'a [(&'a Window, Vec<f32>)],
    bias: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
    from: Size,
    to: Size,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.vectors::<S, 1>(simd),
            8 => self.vectors::<S, 2>(simd),
            4 => self.vectors::<S, 4>(simd),
            _ => self.vectors::<S, BLOCK>(simd),
        }
    }
}

impl Apply<'_> {
    /// A block is V vectors.
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(self, simd: S) {
        let Self { grids, windows, bias, x, out, from, to } = self;
        let mut padded = padded(from);
        for (x, out) in x.chunks_exact(from.count()).zip(out.chunks_exact_mut(to.count())) {
            pad(&mut padded, x, from);
            for (window, weights) in windows {
                let [rows, columns] = [to.h, to.w].map(|side| side / grids.to);
                let run = window.size[1] * from.c;
                for (block, weights) in weights.chunks_exact(window.block()).enumerate() {
                    let weights = S::as_simd_f32s(weights).0;
                    let bias = S::as_simd_f32s(&bias[block * BLOCK..][..BLOCK]).0;
                    let tile = Tile {
                        padded: &padded,
                        pitch: grids.from * from.c,
                        row: (from.w + 2) * from.c,
                        run,
                        weights,
                        bias: std::array::from_fn::<_, V, _>(|v| bias[v]),
                        step: grids.to * to.c,
                        width: (to.c - block * BLOCK).min(BLOCK),
                    };
                    for y in 0..rows {
                        let first = (y * grids.from + window.first[0]) * tile.row + window.first[1] * from.c;
                        let at = ((y * grids.to + window.at[0]) * to.w + window.at[1]) * to.c + block * BLOCK;
                        tile.line(simd, first, &mut out[at..], columns);
                    }
                }
            }
        }
    }
}

/// The outputs of one row, for one block of channels.
struct Tile<'a, S: Simd, const V: usize> {
    padded: &'a [f32],
    /// Distance between the inputs of neighbouring outputs.
    pitch: usize,
    /// Distance between rows of the input.
    row: usize,
    /// Number of consecutive inputs of an output within one row.
    run: usize,
    weights: &'a [S::f32s],
    bias: [S::f32s; V],
    /// Distance between neighbouring outputs.
    step: usize,
    /// Channels of this block; the last one may have fewer than `BLOCK`.
    width: usize,
}

impl<S: Simd, const V: usize> Tile<'_, S, V> {
    #[inline(always)]
    fn line(&self, simd: S, first: usize, out: &mut [f32], columns: usize) {
        let mut x = 0;
        while x < columns {
            let (first, out) = (first + x * self.pitch, &mut out[x * self.step..]);
            // Four and four are faster than six and two.
            x += match columns - x {
                8 => self.outputs::<4>(simd, first, out),
                6.. => self.outputs::<6>(simd, first, out),
                4.. => self.outputs::<4>(simd, first, out),
                _ => self.outputs::<1>(simd, first, out),
            };
        }
    }

    /// Computes P outputs, whose sums stay in registers.
    #[inline(always)]
    fn outputs<const P: usize>(&self, simd: S, first: usize, out: &mut [f32]) -> usize {
        let mut sums = [self.bias; P];
        for (i, weights) in self.weights.chunks_exact(self.run * V).enumerate() {
            let inputs: [&[f32]; P] =
                std::array::from_fn(|p| &self.padded[first + i * self.row + p * self.pitch..][..self.run]);
            for (k, weights) in weights.chunks_exact(V).enumerate() {
                for p in 0..P {
                    let x = simd.splat_f32s(inputs[p][k]);
                    for v in 0..V {
                        sums[p][v] = simd.mul_add_e_f32s(x, weights[v], sums[p][v]);
                    }
                }
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            let out = &mut out[p * self.step..][..self.width];
            for (sum, out) in sums.into_iter().zip(out.chunks_mut(S::F32_LANES)) {
                store(simd, out, sum);
            }
        }
        P
    }
}

struct ToWeight<'a> {
    grids: &'a Grids,
    windows: &'a [Window],
    x: &'a [f32],
    gradient: &'a [f32],
    /// One buffer per window, laid out as its weights.
    sums: &'a mut [Vec<f32>],
    bias: &'a mut [f32],
    from: Size,
    to: Size,
}

impl WithSimd for ToWeight<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.vectors::<S, 1>(simd),
            8 => self.vectors::<S, 2>(simd),
            4 => self.vectors::<S, 4>(simd),
            _ => self.vectors::<S, BLOCK>(simd),
        }
    }
}

impl ToWeight<'_> {
    /// V vectors make a block.
    #[inline(always)]
    fn vectors<S: Simd, const V: usize>(self, simd: S) {
        let Self { grids, windows, x, gradient, sums, bias, from, to } = self;
        let mut padded = padded(from);
        // Gradients filled up with zeros to whole blocks of channels.
        let width = to.c.next_multiple_of(BLOCK);
        let mut filled = vec![0.0; if width == to.c { 0 } else { to.h * to.w * width }];
        for (x, gradient) in x.chunks_exact(from.count()).zip(gradient.chunks_exact(to.count())) {
            pad(&mut padded, x, from);
            for pixel in gradient.chunks_exact(to.c) {
                for (sum, g) in bias.chunks_mut(S::F32_LANES).zip(pixel.chunks(S::F32_LANES)) {
                    store(simd, sum, simd.add_f32s(load(simd, sum), load(simd, g)));
                }
            }
            for (to, from) in filled.chunks_exact_mut(width).zip(gradient.chunks_exact(to.c)) {
                to[..from.len()].copy_from_slice(from);
            }
            let gradient = if filled.is_empty() { gradient } else { &filled };
            for (window, sums) in windows.iter().zip(&mut *sums) {
                let [rows, columns] = [to.h, to.w].map(|side| side / grids.to);
                let run = window.size[1] * from.c;
                let some = (STRETCH / columns).max(1);
                for y in (0..rows).step_by(some) {
                    for (block, sums) in sums.chunks_exact_mut(window.block()).enumerate() {
                        for (i, sums) in sums.chunks_exact_mut(run * BLOCK).enumerate() {
                            let lines = Lines {
                                padded: &padded[(y * grids.from + window.first[0] + i) * (from.w + 2) * from.c
                                    + window.first[1] * from.c..],
                                gradient: &gradient[(y * grids.to + window.at[0]) * to.w * width..],
                                at: window.at[1] * width + block * BLOCK,
                                rows: some.min(rows - y),
                                columns,
                                pitch: grids.from * from.c,
                                row: grids.from * (from.w + 2) * from.c,
                                step: grids.to * width,
                                down: grids.to * to.w * width,
                            };
                            lines.inputs::<S, V>(simd, run, S::as_mut_simd_f32s(sums).0);
                        }
                    }
                }
            }
        }
    }
}

/// Some rows of outputs, with the inputs at one row of the kernel.
struct Lines<'a> {
    padded: &'a [f32],
    gradient: &'a [f32],
    /// Offset of the block of channels within each step of the gradient.
    at: usize,
    rows: usize,
    columns: usize,
    /// Distance between the inputs of neighbouring outputs.
    pitch: usize,
    /// Distance between the inputs of an output and of the one below.
    row: usize,
    /// Distance between neighbouring outputs.
    step: usize,
    /// Distance between an output and the one below.
    down: usize,
}

impl Lines<'_> {
    #[inline(always)]
    fn inputs<S: Simd, const V: usize>(&self, simd: S, run: usize, sums: &mut [S::f32s]) {
        let mut k = 0;
        while k < run {
            let sums = &mut sums[k * V..];
            k += match (run - k).min(self.pitch) {
                8 => self.some::<S, V, 4>(simd, k, sums),
                6.. => self.some::<S, V, 6>(simd, k, sums),
                4.. => self.some::<S, V, 4>(simd, k, sums),
                3 => self.some::<S, V, 3>(simd, k, sums),
                _ => self.some::<S, V, 1>(simd, k, sums),
            };
        }
    }

    /// Adds the products of P inputs per output with a block of the gradient. The sums stay in registers.
    #[inline(always)]
    fn some<S: Simd, const V: usize, const P: usize>(&self, simd: S, k: usize, to: &mut [S::f32s]) -> usize {
        let mut sums: [[S::f32s; V]; P] = std::array::from_fn(|p| std::array::from_fn(|v| to[p * V + v]));
        for y in 0..self.rows {
            let inputs = self.padded[y * self.row + k..][..self.columns * self.pitch].chunks_exact(self.pitch);
            let gradients = self.gradient[y * self.down..][..self.columns * self.step].chunks_exact(self.step);
            for (inputs, gradients) in inputs.zip(gradients) {
                let inputs: &[f32; P] = inputs[..P].try_into().expect("P of them");
                let gradients = S::as_simd_f32s(&gradients[self.at..][..BLOCK]).0;
                let gradients: [S::f32s; V] = std::array::from_fn(|v| gradients[v]);
                for p in 0..P {
                    let x = simd.splat_f32s(inputs[p]);
                    for v in 0..V {
                        sums[p][v] = simd.mul_add_e_f32s(x, gradients[v], sums[p][v]);
                    }
                }
            }
        }
        for (to, sums) in to.chunks_exact_mut(V).zip(sums) {
            to.copy_from_slice(&sums);
        }
        P
    }
}
