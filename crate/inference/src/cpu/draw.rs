//! A whole reverse process: tokens in groups, steps in chunks, and the recorded trajectory.
//! Section 3.2 of the paper ("Sampler").

use std::ops::Range;

use pulp::Arch;

use super::buffer::Buffer;
use super::head::{Group, Modulate, Reverse};
use super::linear::{Apply, Write};
use super::norm::Norm;
use super::weights::Packer;
use crate::weights::HeadParameters;
use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_simd::parallel;

/// Rows whose modulations are computed at once, for each thread: enough to use the registers well, few enough to leave the
/// cache to the weights and to stop soon when asked to.
const ROWS: usize = 32;

/// Buffers of a process, kept between calls.
#[derive(Default)]
pub struct Workspace {
    /// `[rows, width]`, group by group, the conditional rows of each first.
    conditions: Buffer,
    /// `[steps of a chunk, rows, width]`.
    activated: Buffer,
    /// `[steps of a chunk, rows, modulation columns]`.
    modulations: Buffer,
    groups: Vec<Group>,
}

/// A reverse process under way.
pub struct Drawing<'a> {
    /// The machine's instructions.
    pub arch: Arch,
    /// The head.
    pub head: &'a HeadParameters<Packer>,
    /// The norm of its final layer.
    pub bare: &'a Norm,
    /// The process.
    pub process: &'a ReverseProcess<'a>,
    /// Tokens.
    pub tokens: usize,
    /// Its buffers.
    pub workspace: &'a mut Workspace,
}

impl Drawing<'_> {
    /// Conditional and unconditional halves.
    fn branches(&self) -> usize {
        if self.process.cfg.is_some() { 2 } else { 1 }
    }

    /// Embeds z, `[rows, decoder width]`, and starts every group at its noise.
    pub fn start(&mut self, z: &[f32]) {
        let (width, dim, branches) = (self.head.input.d_out(), self.head.input.d_in(), self.branches());
        let wide = self.head.condition.d_in();
        let Workspace { conditions, groups, .. } = &mut *self.workspace;
        let count = parallel::count().min(self.tokens);
        groups.resize_with(count, Group::default);
        let mut conditions = conditions.of(branches * self.tokens * width);
        for (i, group) in groups.iter_mut().enumerate() {
            let tokens = i * self.tokens / count..(i + 1) * self.tokens / count;
            for branch in 0..branches {
                let (out, rest) = conditions.split_at_mut(tokens.len() * width);
                let x = &z[(branch * self.tokens + tokens.start) * wide..][..tokens.len() * wide];
                self.arch.dispatch(Apply { layer: &self.head.condition, x, out, epilogue: Write });
                conditions = rest;
            }
            group.start(tokens, self.process.noise, dim);
        }
    }

    /// Steps to take at once.
    pub fn chunk(&self) -> usize {
        (ROWS * parallel::count()).div_ceil(self.branches() * self.tokens)
    }

    /// Takes `steps`, with their embedded timesteps `[steps, width]`.
    pub fn take(&mut self, steps: Range<usize>, time: &[f32]) {
        let Self { arch, head, bare, process, tokens, .. } = *self;
        let (width, columns) = (head.input.d_out(), head.modulation.d_out());
        let branches = self.branches();
        let count = branches * tokens;
        let rows = steps.len() * count;
        let Workspace { conditions, activated, modulations, groups } = &mut *self.workspace;
        let conditions = &*conditions.of(count * width);
        let modulations = modulations.of(rows * columns);

        let rows_of_part = rows.div_ceil(parallel::count());
        let parts = activated
            .of(rows * width)
            .chunks_mut(rows_of_part * width)
            .zip(modulations.chunks_mut(rows_of_part * columns));
        let mut parts: Vec<_> = parts
            .enumerate()
            .map(|(i, (activated, out))| {
                let rows = i * rows_of_part..rows.min((i + 1) * rows_of_part);
                Some(Modulate { layer: &head.modulation, time, conditions, rows, activated, out })
            })
            .collect();
        parallel::each(&mut parts, |part| part.take().map_or((), |part| arch.dispatch(part)));

        let modulations = &*modulations;
        parallel::each(groups, |group| {
            let modulations = &modulations[branches * group.tokens.start * columns..];
            let (steps, stride) = (steps.clone(), count * columns);
            arch.dispatch(Reverse { head, bare, process, tokens, steps, modulations, stride, group });
        });
    }

    /// Writes the recorded part of the `steps` just taken to `trajectory`.
    pub fn keep(&mut self, steps: Range<usize>, trajectory: &mut Trajectory) {
        let dim = self.head.input.d_in();
        for group in &mut self.workspace.groups {
            let (first, count) = (group.tokens.start, group.tokens.len());
            for at in 0..steps.len() {
                let taken = steps.start + at + 1;
                if let Ok(frame) = trajectory.taken.binary_search(&taken) {
                    let x = &group.trail.get()[at * count * dim..][..count * dim];
                    trajectory.frames[(frame * self.tokens + first) * dim..][..count * dim].copy_from_slice(x);
                }
                if self.process.explain {
                    let predictions = &group.predictions.get()[at * count * 2 * dim..][..count * 2 * dim];
                    let to = &mut trajectory.predictions[((taken - 1) * self.tokens + first) * 2 * dim..];
                    to[..count * 2 * dim].copy_from_slice(predictions);
                }
            }
        }
    }
}
