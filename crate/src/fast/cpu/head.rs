//! The head on a group of tokens: all modulations of a few steps at once, then the steps one by one.
//! Section 3.2 of the paper; modulations depend on timestep and z alone, so they need not wait for x.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
use super::linear::{Apply, Gated, Linear, Silu, Write};
use super::math::{exp, load, silu, store};
use super::norm::{Modulation, Norm, Normalise};
use super::pass::Packer;
use crate::diffusion::{Draw, Step};
use crate::fast::Head;

/// Consecutive tokens that go through the reverse process together, and where they stand.
#[derive(Default)]
pub struct Group {
    /// Which of the draw's tokens these are.
    pub tokens: Range<usize>,
    /// x, `[tokens, C]`.
    x: Buffer,
    /// The clean tokens that the last step predicted, `[tokens, C]`.
    previous: Buffer,
    /// x after each of the steps just taken, `[steps, tokens, C]`.
    pub trail: Buffer,
    /// What the head said at each of them, `[steps, tokens, 2C]`: predicted noise with guidance, v of the conditional half.
    pub said: Buffer,
    stream: Buffer,
    scratch: Buffer,
    hidden: Buffer,
    out: Buffer,
}

impl Group {
    /// Starts over with `tokens`, at the noise that `noise` begins with, `[.., tokens of the draw, C]`.
    pub fn start(&mut self, tokens: Range<usize>, noise: &[f32], dim: usize) {
        let count = tokens.len() * dim;
        self.x.of(count).copy_from_slice(&noise[tokens.start * dim..][..count]);
        self.previous.of(count).fill(0.0);
        self.tokens = tokens;
    }
}

/// `modulations = modulation layer(silu(time + condition))`, for every row of every step.
pub struct Modulate<'a> {
    /// The layer.
    pub layer: &'a Linear,
    /// Embedded timesteps, `[steps, width]`.
    pub time: &'a [f32],
    /// Embedded z, `[rows, width]`.
    pub conditions: &'a [f32],
    /// The rows of the steps (step after step) that this part does.
    pub rows: Range<usize>,
    /// `[this part's rows, width]`, to work in.
    pub activated: &'a mut [f32],
    /// `[this part's rows, layers of the head]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Modulate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, time, conditions, rows, activated, out } = self;
        let width = layer.d_in();
        let count = conditions.len() / width;
        for (to, row) in activated.chunks_exact_mut(width).zip(rows) {
            let (time, condition) =
                (&time[row / count * width..][..width], &conditions[row % count * width..][..width]);
            let parts = time.chunks(S::F32_LANES).zip(condition.chunks(S::F32_LANES));
            for (to, (time, condition)) in to.chunks_mut(S::F32_LANES).zip(parts) {
                store(simd, to, silu(simd, simd.add_f32s(load(simd, time), load(simd, condition))));
            }
        }
        simd.vectorize(Apply { layer, x: activated, out, finish: Write });
    }
}

/// A few steps of a group.
pub struct Reverse<'a> {
    /// The head.
    pub head: &'a Head<Packer>,
    /// The norm of its final layer, which has no parameters.
    pub bare: &'a Norm,
    /// What is drawn.
    pub draw: &'a Draw<'a>,
    /// Tokens of the whole draw.
    pub tokens: usize,
    /// Which steps.
    pub steps: Range<usize>,
    /// Modulations, `[steps, stride]`, from the group's first row on; its unconditional rows follow the conditional ones.
    pub modulations: &'a [f32],
    /// From one step's modulations to the next's.
    pub stride: usize,
    /// The group.
    pub group: &'a mut Group,
}

impl WithSimd for Reverse<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for at in 0..self.steps.len() {
            self.predict(simd, at);
            self.step(simd, at);
        }
    }
}

impl Reverse<'_> {
    /// What the head makes of x, into the group's `out`: `[rows, 2C]`.
    #[inline(always)]
    fn predict<S: Simd>(&mut self, simd: S, at: usize) {
        let Self { head, bare, draw, group, .. } = self;
        let (width, dim) = (head.input.d_out(), head.input.d_in());
        let tokens = group.tokens.len();
        let rows = if draw.cfg.is_some() { 2 * tokens } else { tokens };
        let stride = head.modulation.d_out();
        let modulations = &self.modulations[at * self.stride..];
        let part = |part: usize| Modulation { rows: &modulations[part * width..], stride };

        let [stream, scratch] = [&mut group.stream, &mut group.scratch].map(|buffer| buffer.of(rows * width));
        let hidden = group.hidden.of(rows * width);
        // The two branches of the guidance differ in their conditions alone.
        let (first, second) = stream.split_at_mut(tokens * width);
        simd.vectorize(Apply { layer: &head.input, x: group.x.of(tokens * dim), out: first, finish: Write });
        second.copy_from_slice(&first[..second.len()]);
        for (i, block) in head.blocks.iter().enumerate() {
            scratch.copy_from_slice(stream);
            simd.vectorize(Normalise { norm: &block.norm, x: scratch, modulation: Some(part(3 * i)) });
            simd.vectorize(Apply { layer: &block.fc1, x: scratch, out: hidden, finish: Silu });
            let finish = Gated { gates: &modulations[(3 * i + 2) * width..], stride };
            simd.vectorize(Apply { layer: &block.fc2, x: hidden, out: stream, finish });
        }
        simd.vectorize(Normalise { norm: bare, x: stream, modulation: Some(part(3 * head.blocks.len())) });
        simd.vectorize(Apply { layer: &head.output, x: stream, out: group.out.of(rows * 2 * dim), finish: Write });
    }

    /// Guides the prediction and takes the solver's step.
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, at: usize) {
        let Self { draw, group, steps, .. } = self;
        let dim = self.head.input.d_in();
        let tokens = group.tokens.len();
        let step = &draw.steps.table[steps.start + at];
        let noise = &draw.noise[((steps.start + at + 1) * self.tokens + group.tokens.start) * dim..][..tokens * dim];
        let rows = if draw.cfg.is_some() { 2 * tokens } else { tokens };
        let (out, rest) = group.out.of(rows * 2 * dim).split_at(tokens * 2 * dim);
        let said = &mut group.said.of(steps.len() * tokens * 2 * dim)[at * tokens * 2 * dim..][..tokens * 2 * dim];
        said.copy_from_slice(out);
        if let Some(cfg) = draw.cfg {
            for (said, without) in said.chunks_exact_mut(2 * dim).zip(rest.chunks_exact(2 * dim)) {
                for (with, without) in said[..dim].iter_mut().zip(without) {
                    *with = without + (*with - without) * cfg;
                }
            }
        }
        let x = group.x.of(tokens * dim);
        let previous = group.previous.of(tokens * dim);
        let parts = said.chunks_exact(2 * dim).zip(noise.chunks_exact(dim));
        let states = x.chunks_exact_mut(dim).zip(previous.chunks_exact_mut(dim));
        for ((x, previous), (said, noise)) in states.zip(parts) {
            let (epsilon, v) = said.split_at(dim);
            for from in (0..dim).step_by(S::F32_LANES) {
                let to = dim.min(from + S::F32_LANES);
                let [x_t, epsilon, v, noise] = [&*x, epsilon, v, noise].map(|part| load(simd, &part[from..to]));
                let before = load(simd, &previous[from..to]);
                let [next, clean] = self::step(simd, step, draw, [x_t, epsilon, v, noise, before]);
                store(simd, &mut x[from..to], next);
                store(simd, &mut previous[from..to], clean);
            }
        }
        group.trail.of(steps.len() * tokens * dim)[at * tokens * dim..][..tokens * dim].copy_from_slice(x);
    }
}

/// The next x and the predicted clean token, from x, the predicted noise, v, fresh noise and the clean token before.
#[inline(always)]
fn step<S: Simd>(
    simd: S,
    step: &Step,
    draw: &Draw<'_>,
    [x, epsilon, v, noise, previous]: [S::f32s; 5],
) -> [S::f32s; 2] {
    let splat = |value| simd.splat_f32s(value);
    let clean = simd.mul_add_e_f32s(epsilon, splat(-step.clean_epsilon), simd.mul_f32s(x, splat(step.clean_x)));
    let clean = if draw.clip { simd.min_f32s(simd.max_f32s(clean, splat(-1.0)), splat(1.0)) } else { clean };
    let mean = simd.mul_add_e_f32s(clean, splat(step.to_clean), simd.mul_f32s(x, splat(step.to_x)));
    let mean = simd.mul_add_e_f32s(previous, splat(step.to_previous), mean);
    if step.add_noise == 0.0 {
        return [mean, clean];
    }
    let log_variance = simd.mul_add_e_f32s(simd.add_f32s(v, splat(1.0)), splat(step.half_range), splat(step.least));
    let deviation = exp(simd, simd.mul_f32s(log_variance, splat(0.5)));
    let scaled = simd.mul_f32s(simd.mul_f32s(deviation, splat(step.add_noise * draw.temperature)), noise);
    [simd.add_f32s(mean, scaled), clean]
}
