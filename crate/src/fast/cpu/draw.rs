//! A whole reverse process: its tokens in groups, its steps in chunks, and what is kept of it.
//! Section 3.2 of the paper ("Sampler").

use std::ops::Range;

use pulp::Arch;

use super::buffer::Buffer;
use super::head::{Group, Modulate, Reverse};
use super::linear::{Apply, Write};
use super::norm::Norm;
use super::pass::Packer;
use super::threads;
use crate::diffusion::{Draw, Drawn};
use crate::fast::Head;

/// Rows whose modulations are done at once, for each thread: enough to make a product well shaped, few enough to leave the
/// cache to the weights and to ask often whether to go on.
const ROWS: usize = 32;

/// What a process works in, kept between calls.
#[derive(Default)]
pub struct Workspace {
    /// `[rows, width]`, group by group, the conditional rows of each first.
    conditions: Buffer,
    /// `[steps of a chunk, rows, width]`.
    activated: Buffer,
    /// `[steps of a chunk, rows, layers of the head]`.
    modulations: Buffer,
    groups: Vec<Group>,
}

/// A reverse process under way.
pub struct Process<'a> {
    /// What computes.
    pub arch: Arch,
    /// The head.
    pub head: &'a Head<Packer>,
    /// The norm of its final layer.
    pub bare: &'a Norm,
    /// What is drawn.
    pub draw: &'a Draw<'a>,
    /// Tokens.
    pub tokens: usize,
    /// In what.
    pub workspace: &'a mut Workspace,
}

impl Process<'_> {
    /// Conditional and unconditional halves.
    fn branches(&self) -> usize {
        if self.draw.cfg.is_some() { 2 } else { 1 }
    }

    /// Embeds z, `[rows, decoder width]`, and starts every group at its noise.
    pub fn start(&mut self, z: &[f32]) {
        let (width, dim, branches) = (self.head.input.d_out(), self.head.input.d_in(), self.branches());
        let wide = self.head.condition.d_in();
        let Workspace { conditions, groups, .. } = &mut *self.workspace;
        let count = threads::count().min(self.tokens);
        groups.resize_with(count, Group::default);
        let mut conditions = conditions.of(branches * self.tokens * width);
        for (i, group) in groups.iter_mut().enumerate() {
            let tokens = i * self.tokens / count..(i + 1) * self.tokens / count;
            for branch in 0..branches {
                let (out, rest) = conditions.split_at_mut(tokens.len() * width);
                let x = &z[(branch * self.tokens + tokens.start) * wide..][..tokens.len() * wide];
                self.arch.dispatch(Apply { layer: &self.head.condition, x, out, finish: Write });
                conditions = rest;
            }
            group.start(tokens, self.draw.noise, dim);
        }
    }

    /// Steps to take at once.
    pub fn chunk(&self) -> usize {
        (ROWS * threads::count()).div_ceil(self.branches() * self.tokens)
    }

    /// Takes `steps`, with their embedded timesteps `[steps, width]`.
    pub fn take(&mut self, steps: Range<usize>, time: &[f32]) {
        let Self { arch, head, bare, draw, tokens, .. } = *self;
        let (width, layers) = (head.input.d_out(), head.modulation.d_out());
        let branches = self.branches();
        let count = branches * tokens;
        let rows = steps.len() * count;
        let Workspace { conditions, activated, modulations, groups } = &mut *self.workspace;
        let conditions = &*conditions.of(count * width);
        let modulations = modulations.of(rows * layers);

        let each = rows.div_ceil(threads::count());
        let parts = activated.of(rows * width).chunks_mut(each * width).zip(modulations.chunks_mut(each * layers));
        let mut parts: Vec<_> = parts
            .enumerate()
            .map(|(i, (activated, out))| {
                let rows = i * each..rows.min((i + 1) * each);
                Some(Modulate { layer: &head.modulation, time, conditions, rows, activated, out })
            })
            .collect();
        threads::each(&mut parts, |part| part.take().map_or((), |part| arch.dispatch(part)));

        let modulations = &*modulations;
        threads::each(groups, |group| {
            let modulations = &modulations[branches * group.tokens.start * layers..];
            let (steps, stride) = (steps.clone(), count * layers);
            arch.dispatch(Reverse { head, bare, draw, tokens, steps, modulations, stride, group });
        });
    }

    /// Writes what is kept of the `steps` just taken to `drawn`.
    pub fn keep(&mut self, steps: Range<usize>, drawn: &mut Drawn) {
        let dim = self.head.input.d_in();
        for group in &mut self.workspace.groups {
            let (first, count) = (group.tokens.start, group.tokens.len());
            for at in 0..steps.len() {
                let taken = steps.start + at + 1;
                if let Ok(frame) = drawn.taken.binary_search(&taken) {
                    let x = &group.trail.get()[at * count * dim..][..count * dim];
                    drawn.frames[(frame * self.tokens + first) * dim..][..count * dim].copy_from_slice(x);
                }
                if self.draw.explain {
                    let said = &group.said.get()[at * count * 2 * dim..][..count * 2 * dim];
                    let to = &mut drawn.head[((taken - 1) * self.tokens + first) * 2 * dim..];
                    to[..count * 2 * dim].copy_from_slice(said);
                }
            }
        }
    }
}
