//! One submission: writes the inputs, dispatches all kernels, copies the results to buffers that the host can read.
//! Sections 3.2 and 3.3 of the paper.

use super::buffers::{Mapped, View, padded};
use super::capacity::Capacity;
use super::cost::Cost;
use super::device::Gpu;
use super::error::GpuError;
use super::head::Chunks;
use super::inputs::{Staging, padded_rows};
use super::results::attention_bytes;
use super::uniforms::{SLOT, Uniforms};
use super::weights::Uploader;
use super::workspace::Workspace;
use crate::gather::GatherPlan;
use crate::head;
use crate::weights::Parameters;
use marscope_core::config::MarConfig;
use marscope_core::diffusion::ReverseProcess;

/// What a submission computes.
pub struct Submission<'a> {
    /// Where z comes from.
    pub source: Source<'a>,
    /// The reverse process, if it runs.
    pub process: Option<&'a ReverseProcess<'a>>,
    /// Whether z is read back.
    pub want_z: bool,
    /// Whether the attention weights are.
    pub want_attention: bool,
}

/// Where z comes from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The backbone, over the rows of a plan.
    Backbone(&'a GatherPlan),
    /// The host, `[rows, width]`.
    Host(&'a [f32]),
}

/// The results; empty where nothing was requested.
#[derive(Default)]
pub struct Readback {
    /// `[frames, tokens, C]`, the noise not among them.
    pub frames: Vec<f32>,
    /// `[steps, tokens, 2C]`.
    pub predictions: Vec<f32>,
    /// `[rows, width]`.
    pub z: Vec<f32>,
    /// Of each block, `[images, heads, sequence, sequence]`.
    pub attention: Vec<f32>,
}

/// A submission with its sizes: everything that follows from it and the configuration.
pub struct SizedSubmission<'a> {
    submission: &'a Submission<'a>,
    config: &'a MarConfig,
    /// Rows of z.
    rows: usize,
    /// Tokens of the process.
    tokens: usize,
    chunks: Option<Chunks>,
    /// Numbers of the frames, the predictions and z, as the GPU has them.
    frames: usize,
    predictions: usize,
    z: usize,
}

impl<'a> SizedSubmission<'a> {
    /// The sizes of `submission`.
    ///
    /// # Panics
    /// If noise or conditions do not fit the process; the caller must check it.
    pub fn new(gpu: &Gpu, config: &'a MarConfig, submission: &'a Submission<'a>) -> Self {
        let (width, dim) = (config.decoder_embed_dim, config.token_dim());
        let rows = match submission.source {
            Source::Backbone(plan) => plan.picks.len(),
            Source::Host(z) => z.len() / width,
        };
        let z = if submission.want_z { rows * padded(width) } else { 0 };
        let none = Self { submission, config, rows, tokens: 0, chunks: None, frames: 0, predictions: 0, z };
        let Some(process) = submission.process else { return none };
        let tokens = head::tokens(process, dim);
        let steps = process.steps.len();
        assert_eq!(process.noise.len(), (1 + steps) * tokens * dim, "noise for every step and token");
        let branches = if process.cfg.is_some() { 2 } else { 1 };
        assert_eq!(rows, branches * tokens, "a condition for every row of the head");
        // The noise itself, the first frame, is on the host already.
        let kept = process.taken().iter().filter(|&&taken| taken > 0).count();
        Self {
            tokens,
            chunks: Some(Chunks::new(gpu, config, rows, steps)),
            frames: kept * tokens * dim,
            predictions: if process.explain { 2 * steps * tokens * dim } else { 0 },
            ..none
        }
    }

    /// What a workspace needs for it.
    pub fn capacity(&self) -> Capacity {
        let Self { submission, rows, chunks, frames, predictions, .. } = *self;
        Capacity {
            images: match submission.source {
                Source::Backbone(plan) => plan.images,
                Source::Host(_) => 1,
            },
            picked: rows,
            steps: chunks.map_or(0, |chunks| chunks.steps),
            modulations: chunks.map_or(0, |chunks| chunks.steps_of_chunk * rows),
            uniforms: 1 + chunks.map_or(0, Chunks::count),
            noise: submission.process.map_or(0, |process| process.noise.len()),
            frames,
            predictions,
            attention: usize::from(submission.want_attention),
        }
    }

    /// Runs it in `workspace`, which covers its capacity, and adds what it took to `cost`.
    ///
    /// # Errors
    /// What the driver refuses.
    pub async fn run(
        &self,
        gpu: &Gpu,
        network: &Parameters<Uploader>,
        workspace: &mut Workspace,
        cost: &mut Cost,
    ) -> Result<Readback, GpuError> {
        let base = self.base();
        let uniforms = self.chunks.map_or_else(Vec::new, |chunks| chunks.uniforms(base));
        let staging = self.stage(workspace, base, &uniforms);
        let copies = self.copies(workspace);
        let bytes = copies.iter().map(|copy| copy.size).sum();
        let readable = readable(gpu, workspace, bytes, cost).await?;
        let submit = || {
            let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            self.write(gpu, network, workspace, &staging, cost);
            self.encode(&mut encoder, workspace, base, &uniforms, cost);
            let mut end = 0;
            for copy in &copies {
                encoder.copy_buffer_to_buffer(&copy.buffer, copy.offset, &readable, end, copy.size);
                end += copy.size;
            }
            gpu.queue().submit([encoder.finish()]);
            cost.submissions += 1;
            Mapped::request(&readable, end)
        };
        let mapped = gpu.guarded("during an iteration", submit).await?;
        let numbers = gpu.read(&readable, bytes, mapped).await?;
        cost.read += bytes;
        Ok(self.split(&numbers))
    }

    /// The uniforms of the backbone, and what those of the head have in common.
    fn base(&self) -> Uniforms {
        let rows = self.rows as u32;
        let mut uniforms = Uniforms { rows: [0, 0, 0, rows, rows, 0, 0, 0], images: 1, ..Uniforms::default() };
        if let Source::Backbone(plan) = self.submission.source {
            for (count, rows) in uniforms.rows.iter_mut().zip([plan.known, plan.encoder_rows, plan.decoder_rows]) {
                *count = (plan.images * rows) as u32;
            }
            uniforms.images = plan.images as u32;
        }
        if let Some(process) = self.submission.process {
            uniforms.tokens = self.tokens as u32;
            uniforms.guided = u32::from(process.cfg.is_some());
            uniforms.total = process.steps.len() as u32;
            uniforms.stride = process.stride as u32;
            uniforms.frames = (self.frames / (self.tokens * self.config.token_dim())) as u32;
            uniforms.explain = u32::from(process.explain);
            uniforms.clip = process.clip.unwrap_or(0.0);
            uniforms.cfg = process.cfg.unwrap_or(1.0);
            uniforms.temperature = process.temperature;
        }
        uniforms
    }

    /// The inputs at the offsets where the kernels of `workspace` read them.
    fn stage(&self, workspace: &Workspace, base: Uniforms, uniforms: &[Uniforms]) -> Staging {
        let (inputs, mut staging) = (&workspace.inputs, Staging::default());
        for (i, uniforms) in (0..).zip(std::iter::once(&base).chain(uniforms)) {
            staging.put(&inputs.uniforms.part(SLOT * i, SLOT), bytemuck::bytes_of(uniforms));
        }
        if let Source::Backbone(plan) = self.submission.source {
            let tokens = padded_rows(&plan.tokens, self.config.token_dim());
            staging.put(&inputs.tokens, bytemuck::cast_slice(&tokens));
            for (view, list) in inputs.gather.iter().zip([&plan.encoder_input, &plan.decoder_input, &plan.z]) {
                staging.put(view, bytemuck::cast_slice(list));
            }
            staging.put(&inputs.picks, bytemuck::cast_slice(&plan.picks));
        }
        if let Some(process) = self.submission.process {
            staging.put(&inputs.steps, bytemuck::cast_slice(&process.steps.table));
            staging.put(&inputs.noise, bytemuck::cast_slice(process.noise));
        }
        staging
    }

    /// Writes the inputs, z where it comes from the host, and the embedded timesteps of a schedule that is new.
    fn write(
        &self,
        gpu: &Gpu,
        network: &Parameters<Uploader>,
        workspace: &mut Workspace,
        staging: &Staging,
        cost: &mut Cost,
    ) {
        let mut write = |view: &View, bytes: &[u8]| {
            gpu.queue().write_buffer(&view.buffer, view.offset, bytes);
            cost.written += bytes.len() as u64;
        };
        write(&workspace.inputs.all, staging.bytes());
        if let Source::Host(z) = self.submission.source {
            write(&workspace.z, bytemuck::cast_slice(&padded_rows(z, self.config.decoder_embed_dim)));
        }
        if let Some(process) = self.submission.process
            && workspace.timesteps != process.steps.timesteps
        {
            let time = network.head.time.embed(&process.steps.timesteps);
            write(&workspace.time, bytemuck::cast_slice(&time));
            workspace.timesteps.clone_from(&process.steps.timesteps);
        }
    }

    fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        workspace: &Workspace,
        base: Uniforms,
        uniforms: &[Uniforms],
        cost: &mut Cost,
    ) {
        if self.submission.process.is_some() {
            workspace.head.prepare(encoder, &workspace.inputs.noise, self.tokens * self.config.token_dim());
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        if matches!(self.submission.source, Source::Backbone(_)) {
            let ops = workspace.backbone.iter().filter(|op| self.submission.want_attention || !op.for_probe);
            ops.for_each(|op| op.encode(&mut pass, &base, 0, cost));
        }
        if let Some(chunks) = self.chunks {
            workspace.head.encode(&mut pass, uniforms, chunks.wide, 1, cost);
        }
    }

    /// What the host reads, in the order of [`Readback`].
    fn copies(&self, workspace: &Workspace) -> Vec<View> {
        let (results, config) = (&workspace.results, self.config);
        let parts = [(&results.frames, self.frames), (&results.predictions, self.predictions), (&workspace.z, self.z)];
        let part = |(view, numbers): (&View, usize)| (numbers > 0).then(|| view.part(0, 4 * numbers as u64));
        let mut copies: Vec<View> = parts.into_iter().filter_map(part).collect();
        if let (true, Some(attention), Source::Backbone(plan)) =
            (self.submission.want_attention, &results.attention, self.submission.source)
        {
            let mut from = 0;
            let mut blocks = |depth: usize, heads: usize, rows: usize| {
                for _ in 0..depth {
                    copies.push(attention.part(from, (4 * plan.images * heads * rows * rows) as u64));
                    from += attention_bytes(config, workspace.capacity.images, heads);
                }
            };
            blocks(config.encoder_depth, config.encoder_num_heads, plan.encoder_rows);
            blocks(config.decoder_depth, config.decoder_num_heads, plan.decoder_rows);
        }
        copies
    }

    fn split(&self, numbers: &[f32]) -> Readback {
        let (frames, rest) = numbers.split_at(self.frames);
        let (predictions, rest) = rest.split_at(self.predictions);
        let (z, attention) = rest.split_at(self.z);
        let width = self.config.decoder_embed_dim;
        let z = z.chunks_exact(padded(width)).flat_map(|row| &row[..width]).copied().collect();
        Readback { frames: frames.to_vec(), predictions: predictions.to_vec(), z, attention: attention.to_vec() }
    }
}

/// A buffer of `workspace` that the host can read `bytes` from.
async fn readable(gpu: &Gpu, workspace: &mut Workspace, bytes: u64, cost: &mut Cost) -> Result<wgpu::Buffer, GpuError> {
    if let Some(readback) = workspace.readback.as_ref().filter(|readback| readback.size >= bytes) {
        return Ok(readback.buffer.clone());
    }
    let limit = gpu.device().limits().max_buffer_size;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let size = bytes.next_power_of_two().min(limit).max(bytes);
    let make = || gpu.buffer("what an iteration reads back", size, limit, usage);
    let made = gpu.guarded("while allocating the buffers of an iteration", make).await??;
    cost.grown += 1;
    Ok(workspace.readback.insert(made).buffer.clone())
}
