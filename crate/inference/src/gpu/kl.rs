//! The autoencoder on the GPU: a picture is one submission and one read-back.
//! Section 4 of the paper.

use std::sync::{Mutex, PoisonError};

use super::autoencoder::Pass;
use super::buffers::{Mapped, View};
use super::cost::Cost;
use super::device::Gpu;
use super::error::GpuError;
use super::uniforms::Uniforms;
use super::weights::Uploader;
use crate::autoencoder::Parameters;
use marscope_core::checkpoint::TensorSource;
use marscope_core::tokenizer::{Autoencoder, Conversion, KlConfig};

/// A KL autoencoder, resident on a GPU.
pub struct Kl {
    gpu: Gpu,
    network: Parameters<Uploader>,
    /// Workspaces that no picture is using.
    idle: Mutex<Vec<Workspace>>,
    cost: Mutex<Cost>,
}

/// Which way a picture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Encode,
    Decode,
}

/// The ops of one way, on features of one side, and what the host reads.
struct Workspace {
    way: Way,
    side: usize,
    pass: Pass,
    readable: View,
}

impl Gpu {
    /// The autoencoder of `config`, which is valid, with the parameters of `source`, which are read one at a time, on this GPU.
    ///
    /// # Errors
    /// [`GpuError::Checkpoint`] names the tensor that is missing, misshapen, not finite or left over;
    /// [`GpuError::TooLarge`] what the adapter has no buffer for.
    pub async fn load_autoencoder(&self, config: &KlConfig, source: &dyn TensorSource) -> Result<Kl, GpuError> {
        let mut uploader = Uploader::new(self, source, None)?;
        let load = || Parameters::load(config, source, &mut uploader);
        let network = self.guarded("while loading the autoencoder", load).await??;
        let kl = Kl { gpu: self.clone(), network, idle: Mutex::default(), cost: Mutex::default() };
        // The first workspace compiles the decoder's kernels, so a driver that rejects one fails here.
        let first = kl.workspace(Way::Decode, config.resolution / config.stride()).await?;
        kl.put_back(first);
        Ok(kl)
    }
}

impl Kl {
    /// The GPU's work so far.
    pub fn cost(&self) -> Cost {
        *self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one way on the features `x`, `[channels, side, side]`. Returns the first `channels` of the result.
    async fn run(&self, way: Way, x: &[f32], side: usize, channels: usize) -> Result<Vec<f32>, GpuError> {
        let workspace = self.workspace(way, side).await?;
        let Workspace { pass, readable, .. } = &workspace;
        let bytes = 4 * (channels * pass.side * pass.side) as u64;
        let mut cost = Cost { written: 4 * x.len() as u64, read: bytes, submissions: 1, ..Cost::default() };
        let submit = || {
            let queue = self.gpu.queue();
            queue.write_buffer(&pass.input.buffer, pass.input.offset, bytemuck::cast_slice(x));
            let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut compute = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for op in &pass.ops {
                op.encode(&mut compute, &Uniforms::default(), 0, &mut cost);
            }
            drop(compute);
            encoder.copy_buffer_to_buffer(&pass.output.buffer, pass.output.offset, &readable.buffer, 0, bytes);
            queue.submit([encoder.finish()]);
            Mapped::request(&readable.buffer, bytes)
        };
        let mapped = self.gpu.guarded("while converting a picture", submit).await?;
        let numbers = self.gpu.read(&readable.buffer, bytes, mapped).await?;
        *self.cost.lock().unwrap_or_else(PoisonError::into_inner) += cost;
        self.put_back(workspace);
        Ok(numbers)
    }

    /// A workspace of `way` for features of `side`: an idle one, or one that is made.
    async fn workspace(&self, way: Way, side: usize) -> Result<Workspace, GpuError> {
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = idle.iter().position(|idle| (idle.way, idle.side) == (way, side)) {
                return Ok(idle.swap_remove(at));
            }
        }
        let layers = match way {
            Way::Encode => &self.network.encoder,
            Way::Decode => &self.network.decoder,
        };
        let make = || {
            let pass = Pass::new(&self.gpu, layers, side)?;
            let limit = self.gpu.device().limits().max_buffer_size;
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let readable = self.gpu.buffer("what a picture reads back", pass.output.size, limit, usage)?;
            Ok(Workspace { way, side, pass, readable })
        };
        let made = self.gpu.guarded("while allocating the buffers of a picture", make).await?;
        self.cost.lock().unwrap_or_else(PoisonError::into_inner).grown += 1;
        made
    }

    /// Keeps a workspace that no command is using any more.
    fn put_back(&self, workspace: Workspace) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

impl Autoencoder for Kl {
    fn config(&self) -> &KlConfig {
        &self.network.config
    }

    fn parameters(&self) -> usize {
        self.network.parameters
    }

    fn encode<'a>(&'a self, image: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
        assert!(image.len() == 3 * side * side && side.is_multiple_of(self.config().stride()), "an image of {side}");
        // The means come first, then the log variances.
        Box::pin(async move { Ok(self.run(Way::Encode, image, side, self.config().embed_dim).await?) })
    }

    fn decode<'a>(&'a self, latents: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
        assert_eq!(latents.len(), self.config().embed_dim * side * side, "latents of {side}");
        Box::pin(async move { Ok(self.run(Way::Decode, latents, side, 3).await?) })
    }
}
