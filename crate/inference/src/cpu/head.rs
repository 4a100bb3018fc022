//! The head on a group of tokens: all modulations of a few steps at once, then the steps one by one.
//! Section 3.2 of the paper; [`crate::head`] says which layers a step has.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
use super::linear::{Apply, Gated, Linear, Silu, Write};
use super::norm::{Modulation, Norm, Normalise};
use super::weights::Packer;
use crate::head::{self, HeadKernels};
use crate::weights::HeadParameters;
use marscope_core::diffusion::{ReverseProcess, Step};
use marscope_simd::math::{exp, load, silu, store};

/// Consecutive tokens that go through the reverse process together, and their state.
#[derive(Default)]
pub struct Group {
    /// Which of the process's tokens these are.
    pub tokens: Range<usize>,
    /// x, `[tokens, C]`.
    x: Buffer,
    /// The clean tokens that the last step predicted, `[tokens, C]`.
    previous: Buffer,
    /// x after each of the steps just taken, `[steps, tokens, C]`.
    pub trail: Buffer,
    /// The predictions of each of them, `[steps, tokens, 2C]`: noise with guidance, v of the conditional branch.
    pub predictions: Buffer,
    /// The residual stream, `[rows, width]`.
    stream: Buffer,
    /// The residual stream, normed.
    normed: Buffer,
    /// The hidden layer of a block's MLP.
    hidden: Buffer,
    /// What the head predicts for all rows, `[rows, 2C]`.
    out: Buffer,
}

impl Group {
    /// Starts over with `tokens`, at the noise that `noise` begins with, `[.., tokens of the process, C]`.
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
    /// The rows of this part, among those of all steps.
    pub rows: Range<usize>,
    /// Buffer, `[rows of this part, width]`.
    pub activated: &'a mut [f32],
    /// `[rows of this part, modulation columns]`.
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
        simd.vectorize(Apply { layer, x: activated, out, epilogue: Write });
    }
}

/// A few steps of a group.
pub struct Reverse<'a> {
    /// The head.
    pub head: &'a HeadParameters<Packer>,
    /// The norm of its final layer, which has no parameters.
    pub bare: &'a Norm,
    /// The process.
    pub process: &'a ReverseProcess<'a>,
    /// Tokens of the whole process.
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
            let modulations = &self.modulations[at * self.stride..];
            let (head, bare, process) = (self.head, self.bare, self.process);
            head::run(&mut Executor { simd, head, bare, process, modulations, group: &mut *self.group }, head);
            self.step(simd, at);
        }
    }
}

/// The head's operations on a group, at one step.
struct Executor<'a, S> {
    simd: S,
    head: &'a HeadParameters<Packer>,
    bare: &'a Norm,
    process: &'a ReverseProcess<'a>,
    /// From the group's first row on.
    modulations: &'a [f32],
    group: &'a mut Group,
}

impl<'a, S> Executor<'a, S> {
    /// The group's tokens, or with guidance twice as many.
    fn rows(&self) -> usize {
        let tokens = self.group.tokens.len();
        if self.process.cfg.is_some() { 2 * tokens } else { tokens }
    }

    /// The columns `group` on of the modulations.
    fn modulation(&self, group: usize) -> Modulation<'a> {
        let width = self.head.input.d_out();
        Modulation { rows: &self.modulations[group * width..], stride: self.head.modulation.d_out() }
    }
}

impl<S: Simd> HeadKernels for Executor<'_, S> {
    type Store = Packer;

    fn input(&mut self, layer: &Linear) {
        let (rows, tokens) = (self.rows(), self.group.tokens.len());
        let x = self.group.x.of(tokens * layer.d_in());
        let stream = self.group.stream.of(rows * layer.d_out());
        let (first, second) = stream.split_at_mut(tokens * layer.d_out());
        self.simd.vectorize(Apply { layer, x, out: first, epilogue: Write });
        second.copy_from_slice(&first[..second.len()]);
    }

    fn hidden(&mut self, norm: &Norm, modulation: usize, layer: &Linear) {
        let (rows, modulation) = (self.rows(), Some(self.modulation(modulation)));
        let Group { stream, normed, hidden, .. } = &mut *self.group;
        let normed = normed.of(rows * layer.d_in());
        normed.copy_from_slice(stream.of(rows * layer.d_in()));
        self.simd.vectorize(Normalise { norm, x: normed, modulation });
        self.simd.vectorize(Apply { layer, x: normed, out: hidden.of(rows * layer.d_out()), epilogue: Silu });
    }

    fn residual(&mut self, layer: &Linear, gate: usize) {
        let (rows, Modulation { rows: gates, stride }) = (self.rows(), self.modulation(gate));
        let Group { stream, hidden, .. } = &mut *self.group;
        let (x, out) = (hidden.of(rows * layer.d_in()), stream.of(rows * layer.d_out()));
        self.simd.vectorize(Apply { layer, x, out, epilogue: Gated { gates, stride } });
    }

    fn output(&mut self, modulation: usize, layer: &Linear) {
        let (rows, modulation) = (self.rows(), Some(self.modulation(modulation)));
        let Group { stream, out, .. } = &mut *self.group;
        let x = stream.of(rows * layer.d_in());
        self.simd.vectorize(Normalise { norm: self.bare, x, modulation });
        self.simd.vectorize(Apply { layer, x, out: out.of(rows * layer.d_out()), epilogue: Write });
    }
}

impl Reverse<'_> {
    /// Guides the prediction and takes the solver's step.
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, at: usize) {
        let Self { process, group, steps, .. } = self;
        let dim = self.head.input.d_in();
        let tokens = group.tokens.len();
        let step = &process.steps.table[steps.start + at];
        let noise = &process.noise[((steps.start + at + 1) * self.tokens + group.tokens.start) * dim..][..tokens * dim];
        let rows = if process.cfg.is_some() { 2 * tokens } else { tokens };
        let (out, rest) = group.out.of(rows * 2 * dim).split_at(tokens * 2 * dim);
        let predictions =
            &mut group.predictions.of(steps.len() * tokens * 2 * dim)[at * tokens * 2 * dim..][..tokens * 2 * dim];
        predictions.copy_from_slice(out);
        if let Some(cfg) = process.cfg {
            for (guided, without) in predictions.chunks_exact_mut(2 * dim).zip(rest.chunks_exact(2 * dim)) {
                for (with, without) in guided[..dim].iter_mut().zip(without) {
                    *with = without + (*with - without) * cfg;
                }
            }
        }
        let x = group.x.of(tokens * dim);
        let previous = group.previous.of(tokens * dim);
        let parts = predictions.chunks_exact(2 * dim).zip(noise.chunks_exact(dim));
        let states = x.chunks_exact_mut(dim).zip(previous.chunks_exact_mut(dim));
        for ((x, previous), (prediction, noise)) in states.zip(parts) {
            let (epsilon, v) = prediction.split_at(dim);
            for from in (0..dim).step_by(S::F32_LANES) {
                let to = dim.min(from + S::F32_LANES);
                let [x_t, epsilon, v, noise] = [&*x, epsilon, v, noise].map(|part| load(simd, &part[from..to]));
                let last_clean = load(simd, &previous[from..to]);
                let [next, clean] = self::step(simd, step, process, [x_t, epsilon, v, noise, last_clean]);
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
    process: &ReverseProcess<'_>,
    [x, epsilon, v, noise, previous]: [S::f32s; 5],
) -> [S::f32s; 2] {
    let splat = |value| simd.splat_f32s(value);
    let clean = simd.mul_add_e_f32s(epsilon, splat(-step.clean_epsilon), simd.mul_f32s(x, splat(step.clean_x)));
    let clipped = |bound: f32| simd.min_f32s(simd.max_f32s(clean, splat(-bound)), splat(bound));
    let clean = if let Some(bound) = process.clip { clipped(bound) } else { clean };
    let mean = simd.mul_add_e_f32s(clean, splat(step.to_clean), simd.mul_f32s(x, splat(step.to_x)));
    let mean = simd.mul_add_e_f32s(previous, splat(step.to_previous), mean);
    if step.add_noise == 0.0 {
        return [mean, clean];
    }
    let log_variance = simd.mul_add_e_f32s(simd.add_f32s(v, splat(1.0)), splat(step.half_range), splat(step.least));
    let deviation = exp(simd, simd.mul_f32s(log_variance, splat(0.5)));
    let scaled = simd.mul_f32s(simd.mul_f32s(deviation, splat(step.add_noise * process.temperature)), noise);
    [simd.add_f32s(mean, scaled), clean]
}
