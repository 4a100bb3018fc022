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
    /// Its rows.
    pub rows: Rows,
    /// Its buffers.
    pub workspace: &'a mut Workspace,
}

/// The rows of a draw: every token's, with guidance once more without the class.
#[derive(Clone, Copy)]
pub struct Rows {
    /// Tokens.
    pub tokens: usize,
    /// Conditional and unconditional halves.
    pub branches: usize,
}

impl Rows {
    /// How many there are.
    pub fn count(self) -> usize {
        self.branches * self.tokens
    }

    /// Tokens of each group: as many groups as can run at once.
    fn groups(self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let count = parallel::count().min(self.tokens);
        (0..count).map(move |i| i * self.tokens / count..(i + 1) * self.tokens / count)
    }

    /// Steps to take at once.
    pub fn chunk(self) -> usize {
        (ROWS * parallel::count()).div_ceil(self.count())
    }
}

impl Workspace {
    /// Embeds z, `[rows, decoder width]`.
    pub fn embed(&mut self, arch: Arch, head: &HeadParameters<Packer>, z: &[f32], rows: Rows) {
        let (width, wide) = (head.input.d_out(), head.condition.d_in());
        let mut conditions = self.conditions.of(rows.count() * width);
        for tokens in rows.groups() {
            for branch in 0..rows.branches {
                let (out, rest) = conditions.split_at_mut(tokens.len() * width);
                let x = &z[(branch * rows.tokens + tokens.start) * wide..][..tokens.len() * wide];
                arch.dispatch(Apply { layer: &head.condition, x, out, epilogue: Write });
                conditions = rest;
            }
        }
    }

    /// The modulations of some steps under the embedded z, `[steps, rows, columns]`, from embedded timesteps `[steps, width]`.
    pub fn modulate(&mut self, arch: Arch, head: &HeadParameters<Packer>, time: &[f32], rows: Rows) -> &[f32] {
        let (width, columns) = (head.input.d_out(), head.modulation.d_out());
        let total = time.len() / width * rows.count();
        let conditions = &*self.conditions.of(rows.count() * width);
        let modulations = self.modulations.of(total * columns);
        let rows_of_part = total.div_ceil(parallel::count());
        let parts = self
            .activated
            .of(total * width)
            .chunks_mut(rows_of_part * width)
            .zip(modulations.chunks_mut(rows_of_part * columns));
        let mut parts: Vec<_> = parts
            .enumerate()
            .map(|(i, (activated, out))| {
                let rows = i * rows_of_part..total.min((i + 1) * rows_of_part);
                Some(Modulate { layer: &head.modulation, time, conditions, rows, activated, out })
            })
            .collect();
        parallel::each(&mut parts, |part| part.take().map_or((), |part| arch.dispatch(part)));
        modulations
    }
}

impl Drawing<'_> {
    /// Embeds z, `[rows, decoder width]`, and starts every group at its noise.
    pub fn start(&mut self, z: &[f32]) {
        self.workspace.embed(self.arch, self.head, z, self.rows);
        let groups = &mut self.workspace.groups;
        groups.resize_with(self.rows.groups().len(), Group::default);
        for (group, tokens) in groups.iter_mut().zip(self.rows.groups()) {
            group.start(tokens, self.process.noise, self.head.input.d_in());
        }
    }

    /// Takes `steps`, with their embedded timesteps `[steps, width]` and, where they are known, their modulations.
    pub fn take(&mut self, steps: Range<usize>, time: &[f32], known: Option<&[f32]>) {
        let Self { arch, head, bare, process, rows, .. } = *self;
        if known.is_none() {
            self.workspace.modulate(arch, head, time, rows);
        }
        let Workspace { modulations, groups, .. } = &mut *self.workspace;
        let modulations = known.unwrap_or(modulations.get());
        let columns = head.modulation.d_out();
        parallel::each(groups, |group| {
            let modulations = &modulations[rows.branches * group.tokens.start * columns..];
            let (steps, stride) = (steps.clone(), rows.count() * columns);
            arch.dispatch(Reverse { head, bare, process, tokens: rows.tokens, steps, modulations, stride, group });
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
                    trajectory.frames[(frame * self.rows.tokens + first) * dim..][..count * dim].copy_from_slice(x);
                }
                if self.process.explain {
                    let predictions = &group.predictions.get()[at * count * 2 * dim..][..count * 2 * dim];
                    let to = &mut trajectory.predictions[((taken - 1) * self.rows.tokens + first) * 2 * dim..];
                    to[..count * 2 * dim].copy_from_slice(predictions);
                }
            }
        }
    }
}
