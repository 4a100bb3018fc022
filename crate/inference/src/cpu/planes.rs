//! Features as a convolution reads them: planes with zeros around, one or four a channel, normalised on the way there.
//! Group norm of Wu and He, arXiv 1803.08494. A kernel then never meets an edge, and reads whole vectors everywhere.

use pulp::{Arch, Simd, WithSimd};

use super::norm::total;
use crate::autoencoder::Activation;
use marscope_simd::math::{load, silu, store};
use marscope_simd::parallel;

/// Epsilon of every group norm.
const EPSILON: f32 = 1e-6;

/// How features `[channels, side, side]` become planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// One line of all positions: for a kernel of one position.
    Line,
    /// A zero on every side.
    Framed,
    /// The four positions of every square of 2 x 2 as planes of their own, with zeros below and on the right. A kernel
    /// with stride 2 has stride 1 on them.
    Quarters,
}

/// The planes of features of one side.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    cut: Cut,
    side: usize,
    /// Rows of a plane.
    rows: usize,
    /// Numbers from one row to the next: enough for a vector at the last position, and the kernel's reach.
    pub pitch: usize,
}

impl Layout {
    /// For features of `side` and vectors of `lanes`.
    pub fn new(cut: Cut, side: usize, lanes: usize) -> Self {
        let (rows, pitch) = match cut {
            Cut::Line => (1, (side * side).next_multiple_of(lanes)),
            Cut::Framed => (side + 2, side.next_multiple_of(lanes) + 2),
            Cut::Quarters => (side / 2 + 1, (side / 2).next_multiple_of(lanes) + 1),
        };
        Self { cut, side, rows, pitch }
    }

    /// Numbers of a plane.
    pub fn plane(&self) -> usize {
        self.rows * self.pitch
    }

    /// Numbers of the planes of a channel.
    fn channel(&self) -> usize {
        if self.cut == Cut::Quarters { 4 * self.plane() } else { self.plane() }
    }

    /// Numbers of the planes of `channels`.
    pub fn numbers(&self, channels: usize) -> usize {
        channels * self.channel()
    }
}

/// Scale and shift of a group norm, `[channels]` each.
pub struct GroupNorm {
    /// Multiplies the normalised numbers.
    pub scale: Vec<f32>,
    /// Is added to them.
    pub shift: Vec<f32>,
    /// Groups of channels.
    pub groups: usize,
}

/// Writes the features `x`, `[channels, side, side]`, to `planes`; through `norm` and its activation, if there is one.
pub fn fill(arch: Arch, layout: Layout, x: &[f32], norm: Option<(&GroupNorm, Activation)>, planes: &mut [f32]) {
    let area = layout.side * layout.side;
    // The statistics of a group are of all its channels, so a part is a group, or a channel.
    let channels = norm.map_or(1, |(norm, _)| norm.scale.len() / norm.groups);
    let cut = x.chunks_exact(channels * area).zip(planes.chunks_exact_mut(layout.numbers(channels)));
    let mut parts: Vec<_> = cut
        .enumerate()
        .map(|(group, (x, planes))| {
            let range = group * channels..(group + 1) * channels;
            let norm = norm.map(|(norm, activation)| Affine {
                scale: &norm.scale[range.clone()],
                shift: &norm.shift[range],
                activation,
            });
            Some(Fill { layout, x, norm, planes })
        })
        .collect();
    parallel::each(&mut parts, |part| part.take().map_or((), |part| arch.dispatch(part)));
}

/// Scale, shift and activation of one group.
#[derive(Clone, Copy)]
struct Affine<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
}

struct Fill<'a> {
    layout: Layout,
    x: &'a [f32],
    norm: Option<Affine<'a>>,
    planes: &'a mut [f32],
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layout, x, norm, planes } = self;
        let area = layout.side * layout.side;
        let [mean, inverse] = norm.map_or([0.0, 1.0], |_| moments(simd, x));
        let channels = x.chunks_exact(area).zip(planes.chunks_exact_mut(layout.channel()));
        for (channel, (x, planes)) in channels.enumerate() {
            match norm {
                None => frame(&layout, x, planes, |from, to| to.copy_from_slice(from)),
                Some(Affine { scale, shift, activation }) => {
                    let factor = inverse * scale[channel];
                    let numbers = [factor, shift[channel] - mean * factor].map(|number| simd.splat_f32s(number));
                    match activation {
                        Activation::Identity => frame(&layout, x, planes, |from, to| {
                            map(simd, from, to, |x| simd.mul_add_e_f32s(x, numbers[0], numbers[1]));
                        }),
                        Activation::Silu => frame(&layout, x, planes, |from, to| {
                            map(simd, from, to, |x| silu(simd, simd.mul_add_e_f32s(x, numbers[0], numbers[1])));
                        }),
                    }
                }
            }
        }
    }
}

/// Mean, and one over the standard deviation.
#[inline(always)]
fn moments<S: Simd>(simd: S, x: &[f32]) -> [f32; 2] {
    let count = x.len() as f32;
    let mean = total(simd, x, |x| x, |x| x) / count;
    let means = simd.splat_f32s(mean);
    let square = |x: S::f32s| {
        let off = simd.sub_f32s(x, means);
        simd.mul_f32s(off, off)
    };
    let variance = total(simd, x, square, |x| (x - mean) * (x - mean)) / count;
    [mean, 1.0 / (variance + EPSILON).sqrt()]
}

/// Writes `value` of every number of `from` to `to`.
#[inline(always)]
fn map<S: Simd>(simd: S, from: &[f32], to: &mut [f32], value: impl Fn(S::f32s) -> S::f32s) {
    for (to, from) in to.chunks_mut(S::F32_LANES).zip(from.chunks(S::F32_LANES)) {
        store(simd, to, value(load(simd, from)));
    }
}

/// Writes one channel to its planes, zeros included; `write` writes a run of numbers.
#[inline(always)]
fn frame(layout: &Layout, x: &[f32], planes: &mut [f32], write: impl Fn(&[f32], &mut [f32])) {
    let Layout { cut, side, pitch, .. } = *layout;
    match cut {
        Cut::Line => {
            let (line, beyond) = planes.split_at_mut(x.len());
            write(x, line);
            beyond.fill(0.0);
        }
        Cut::Framed => {
            let (above, rest) = planes.split_at_mut(pitch);
            let (rows, below) = rest.split_at_mut(side * pitch);
            above.fill(0.0);
            for (from, row) in x.chunks_exact(side).zip(rows.chunks_exact_mut(pitch)) {
                row[0] = 0.0;
                write(from, &mut row[1..=side]);
                row[1 + side..].fill(0.0);
            }
            below.fill(0.0);
        }
        Cut::Quarters => {
            let plane = layout.plane();
            let mut line = vec![0.0; side];
            planes.fill(0.0);
            for (y, from) in x.chunks_exact(side).enumerate() {
                write(from, &mut line);
                let row = y % 2 * 2 * plane + y / 2 * pitch;
                for (x, &value) in line.iter().enumerate() {
                    planes[row + x % 2 * plane + x / 2] = value;
                }
            }
        }
    }
}
