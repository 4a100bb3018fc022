//! One submission: what changed is written, everything dispatched, the results copied to where the host reads them.
//! Sections 3.2 and 3.3 of the paper.

use super::backbone::block_bytes;
use super::buffers::{Mapped, View};
use super::error::GpuError;
use super::head::Chunks;
use super::load::padded;
use super::model::{Cost, Model};
use super::pass::{Pass, SLOT};
use super::workspace::{Room, Workspace, Writing};
use crate::config::MarConfig;
use crate::diffusion::Draw;
use crate::fast::Plan;

/// What a submission does.
pub struct Work<'a> {
    /// What the backbone runs over, if it runs.
    pub plan: Option<&'a Plan>,
    /// z where it does not, `[rows, width]`.
    pub given: Option<&'a [f32]>,
    /// The reverse process, if it runs.
    pub draw: Option<&'a Draw<'a>>,
    /// Whether z is read back.
    pub want_z: bool,
    /// Whether the attention weights are.
    pub watch: bool,
}

/// What came back, empty where nothing was asked for.
#[derive(Default)]
pub struct Back {
    /// `[frames, tokens, C]`, the noise not among them.
    pub frames: Vec<f32>,
    /// `[steps, tokens, 2C]`.
    pub explained: Vec<f32>,
    /// `[rows, width]`.
    pub z: Vec<f32>,
    /// Of each block, `[images, heads, sequence, sequence]`.
    pub watched: Vec<f32>,
}

/// Numbers of each of the parts of [`Back`] as the GPU has them.
#[derive(Clone, Copy, Default)]
struct Sizes {
    frames: usize,
    explained: usize,
    z: usize,
}

impl Model {
    /// Runs `work`, whose z are `rows` rows.
    pub(super) async fn run(&self, work: &Work<'_>, rows: usize) -> Result<Back, GpuError> {
        let config = self.config();
        let chunks = work.draw.map(|draw| Chunks::new(self.gpu(), config, rows, draw.steps.len()));
        let sizes = self.sizes(work, rows);
        let mut workspace = self.workspace(Self::room(work, rows, chunks, sizes)).await?;
        let base = self.base(work, rows, sizes);
        let passes = chunks.map_or_else(Vec::new, |chunks| chunks.list(base));
        let writing = write(config, work, &workspace, base, &passes);
        let copies = copies(config, work, &workspace, sizes);
        let bytes = copies.iter().map(|copy| copy.size).sum();
        self.make_readable(&mut workspace, bytes).await?;

        let submit = || self.submit(work, &mut workspace, &writing, base, &passes, chunks, &copies);
        let mapped = self.gpu().guarded("during an iteration", submit).await?;
        let read = self.gpu().read(workspace.readable(), bytes, mapped).await?;
        self.count(|cost| cost.read += bytes);
        self.put_back(workspace);

        let (frames, rest) = read.split_at(sizes.frames);
        let (explained, rest) = rest.split_at(sizes.explained);
        let (z, watched) = rest.split_at(sizes.z);
        let width = config.decoder_embed_dim;
        let z = z.chunks_exact(padded(width)).flat_map(|row| &row[..width]).copied().collect();
        Ok(Back { frames: frames.to_vec(), explained: explained.to_vec(), z, watched: watched.to_vec() })
    }

    fn sizes(&self, work: &Work<'_>, rows: usize) -> Sizes {
        let config = self.config();
        let z = if work.want_z { rows * padded(config.decoder_embed_dim) } else { 0 };
        let Some(draw) = work.draw else { return Sizes { z, ..Sizes::default() } };
        let numbers = self.tokens(draw) * config.token_dim();
        assert_eq!(draw.noise.len(), (1 + draw.steps.len()) * numbers, "noise for every step and token");
        let per_token = if draw.cfg.is_some() { 2 } else { 1 };
        assert_eq!(rows, per_token * self.tokens(draw), "a condition for every row of the head");
        // The noise itself, the first frame, is on the host already.
        let kept = draw.taken().iter().filter(|&&taken| taken > 0).count();
        let explained = if draw.explain { draw.steps.len() * 2 * numbers } else { 0 };
        Sizes { frames: kept * numbers, explained, z }
    }

    fn room(work: &Work<'_>, rows: usize, chunks: Option<Chunks>, sizes: Sizes) -> Room {
        Room {
            images: work.plan.map_or(1, |plan| plan.images),
            picked: rows,
            steps: chunks.map_or(0, |chunks| chunks.steps),
            modulations: chunks.map_or(0, |chunks| chunks.each * rows),
            passes: 1 + chunks.map_or(0, Chunks::passes),
            noise: work.draw.map_or(0, |draw| draw.noise.len()),
            frames: sizes.frames,
            explained: sizes.explained,
            watched: usize::from(work.watch),
        }
    }

    /// The pass of the backbone, and what those of the head have in common.
    fn base(&self, work: &Work<'_>, rows: usize, sizes: Sizes) -> Pass {
        let rows = rows as u32;
        let mut pass = Pass { rows: [0, 0, 0, rows, rows, 0, 0, 0], images: 1, ..Pass::default() };
        if let Some(plan) = work.plan {
            for (count, each) in pass.rows.iter_mut().zip([plan.known, plan.seen, plan.all]) {
                *count = (plan.images * each) as u32;
            }
            pass.images = plan.images as u32;
        }
        if let Some(draw) = work.draw {
            let tokens = self.tokens(draw);
            pass.tokens = tokens as u32;
            pass.guided = u32::from(draw.cfg.is_some());
            pass.total = draw.steps.len() as u32;
            pass.stride = draw.stride as u32;
            pass.frames = (sizes.frames / (tokens * self.config().token_dim())) as u32;
            pass.explain = u32::from(draw.explain);
            pass.clip = u32::from(draw.clip);
            pass.cfg = draw.cfg.unwrap_or(1.0);
            pass.temperature = draw.temperature;
        }
        pass
    }

    /// Makes sure that the host can read `bytes` from `workspace`.
    async fn make_readable(&self, workspace: &mut Workspace, bytes: u64) -> Result<(), GpuError> {
        if workspace.readback.as_ref().is_some_and(|readback| readback.size >= bytes) {
            return Ok(());
        }
        let limit = self.gpu().device().limits().max_buffer_size;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = bytes.next_power_of_two().min(limit).max(bytes);
        let make = || self.gpu().buffer("what an iteration reads back", size, limit, usage);
        workspace.readback = Some(self.gpu().guarded("while making room for an iteration", make).await??);
        self.count(|cost| cost.grown += 1);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "everything that goes into a submission")]
    fn submit(
        &self,
        work: &Work<'_>,
        workspace: &mut Workspace,
        writing: &Writing,
        base: Pass,
        passes: &[Pass],
        chunks: Option<Chunks>,
        copies: &[View],
    ) -> Mapped {
        let (device, queue) = (self.gpu().device(), self.gpu().queue());
        let mut written = writing.bytes().len() as u64;
        queue.write_buffer(&workspace.inputs.all.buffer, 0, writing.bytes());
        if let Some(given) = work.given {
            let rows = padded_rows(given, self.config().decoder_embed_dim);
            queue.write_buffer(&workspace.z.buffer, workspace.z.offset, bytemuck::cast_slice(&rows));
            written += 4 * rows.len() as u64;
        }
        if let Some(draw) = work.draw
            && workspace.timesteps != draw.steps.timesteps
        {
            let time = self.embed(&draw.steps.timesteps);
            queue.write_buffer(&workspace.time.buffer, workspace.time.offset, bytemuck::cast_slice(&time));
            workspace.timesteps.clone_from(&draw.steps.timesteps);
            written += 4 * time.len() as u64;
        }

        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some(draw) = work.draw {
            let numbers = self.tokens(draw) * self.config().token_dim();
            workspace.head.prepare(&mut encoder, &workspace.inputs.noise, numbers);
        }
        let mut cost = Cost { submissions: 1, written, ..Cost::default() };
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            if work.plan.is_some() {
                let ops = workspace.backbone.iter().filter(|op| work.watch || !op.watch);
                ops.for_each(|op| op.encode(&mut pass, &base, 0, &mut cost));
            }
            if let Some(chunks) = chunks {
                workspace.head.encode(&mut pass, passes, chunks, 1, &mut cost);
            }
        }
        let readable = workspace.readable();
        let mut end = 0;
        for copy in copies {
            encoder.copy_buffer_to_buffer(&copy.buffer, copy.offset, readable, end, copy.size);
            end += copy.size;
        }
        queue.submit([encoder.finish()]);
        self.count(|total| *total += cost);
        Mapped::request(readable, end)
    }
}

/// The inputs of `work` where the kernels of `workspace` find them.
fn write(config: &MarConfig, work: &Work<'_>, workspace: &Workspace, base: Pass, passes: &[Pass]) -> Writing {
    let (inputs, mut writing) = (&workspace.inputs, Writing::default());
    for (i, pass) in (0..).zip(std::iter::once(&base).chain(passes)) {
        writing.put(&inputs.passes.part(SLOT * i, SLOT), bytemuck::bytes_of(pass));
    }
    if let Some(plan) = work.plan {
        writing.put(&inputs.tokens, bytemuck::cast_slice(&padded_rows(&plan.tokens, config.token_dim())));
        for (view, places) in inputs.places.iter().zip([&plan.enter, &plan.decode, &plan.leave]) {
            writing.put(view, bytemuck::cast_slice(places));
        }
        writing.put(&inputs.picks, bytemuck::cast_slice(&plan.picks));
    }
    if let Some(draw) = work.draw {
        writing.put(&inputs.steps, bytemuck::cast_slice(&draw.steps.table));
        writing.put(&inputs.noise, bytemuck::cast_slice(draw.noise));
    }
    writing
}

/// What the host reads, in the order of [`Back`].
fn copies(config: &MarConfig, work: &Work<'_>, workspace: &Workspace, sizes: Sizes) -> Vec<View> {
    let results = &workspace.results;
    let parts = [(&results.frames, sizes.frames), (&results.explained, sizes.explained), (&workspace.z, sizes.z)];
    let part = |(view, numbers): (&View, usize)| (numbers > 0).then(|| view.part(0, 4 * numbers as u64));
    let mut copies: Vec<View> = parts.into_iter().filter_map(part).collect();
    if let (true, Some(watched), Some(plan)) = (work.watch, &results.watched, work.plan) {
        let mut from = 0;
        let mut blocks = |depth: usize, heads: usize, rows: usize| {
            for _ in 0..depth {
                copies.push(watched.part(from, (4 * plan.images * heads * rows * rows) as u64));
                from += block_bytes(config, workspace.room.images, heads);
            }
        };
        blocks(config.encoder_depth, config.encoder_num_heads, plan.seen);
        blocks(config.decoder_depth, config.decoder_num_heads, plan.all);
    }
    copies
}

/// `rows` of `width` numbers as the kernels read them, whole vec4.
fn padded_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let stride = padded(width);
    let mut out = vec![0.0; rows.len() / width * stride];
    for (to, from) in out.chunks_exact_mut(stride).zip(rows.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    out
}
