//! A network on the GPU: an iteration is one submission and one read-back.
//! Sections 3.2 and 3.3 of the paper.

use std::sync::{Mutex, PoisonError};

use web_time::Instant;

use super::capacity::Capacity;
use super::cost::Cost;
use super::device::Gpu;
use super::error::GpuError;
use super::head_buffers::most_modulations;
use super::submission::{Readback, SizedSubmission, Source, Submission};
use super::weights::Uploader;
use super::workspace::Workspace;
use crate::gather::GatherPlan;
use crate::head;
use crate::weights::Parameters;
use marscope_core::checkpoint::TensorSource;
use marscope_core::config::MarConfig;
use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{
    Answer, BackboneInput, BackboneOutput, Continue, IterationOutput, Network, NetworkError, Session, milliseconds,
};

/// A network, resident on a GPU.
pub struct Model {
    gpu: Gpu,
    network: Parameters<Uploader>,
    bytes: u64,
    /// Workspaces that no iteration is using: one, unless several were under way at once.
    idle: Mutex<Vec<Workspace>>,
    cost: Mutex<Cost>,
}

impl Gpu {
    /// The network of `config` with the parameters of `source`, which are read one at a time, on this GPU.
    ///
    /// # Errors
    /// [`GpuError::Checkpoint`] names the tensor that is missing, misshapen, not finite or left over;
    /// [`GpuError::TooLarge`] the one that the adapter has no buffer for.
    pub async fn load(&self, config: &MarConfig, source: &dyn TensorSource) -> Result<Model, GpuError> {
        let modulations = config.diffloss_w * head::modulation_columns(config);
        let joined = ("the modulation of the head's blocks", modulations);
        let mut uploader = Uploader::new(self, source, Some(joined))?;
        let load = || Parameters::load(config, source, &mut uploader);
        let network = self.guarded("while loading the weights", load).await??;
        let model =
            Model { gpu: self.clone(), network, bytes: uploader.bytes, idle: Mutex::default(), cost: Mutex::default() };
        // The first workspace compiles every kernel, so a driver that rejects one fails here.
        let first = model.workspace(Capacity { images: 1, picked: 1, steps: 1, ..Capacity::default() }).await?;
        model.put_back(first);
        Ok(model)
    }
}

impl Model {
    /// The GPU it is on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Bytes that its parameters take there.
    pub fn weight_bytes(&self) -> u64 {
        self.bytes
    }

    /// The GPU's work so far.
    pub fn cost(&self) -> Cost {
        *self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// z of every token and all attention weights.
    ///
    /// # Errors
    /// [`GpuError`].
    async fn with_attention(&self, input: &BackboneInput<'_>) -> Result<BackboneOutput, GpuError> {
        let config = self.config();
        let plan = GatherPlan::whole(config, input);
        let readback = self
            .run(&Submission { source: Source::Backbone(&plan), process: None, want_z: true, want_attention: true })
            .await?;
        let width = config.decoder_embed_dim;
        let of_image = |image: &[f32]| image[config.buffer_size * width..].to_vec();
        let z = readback.z.chunks_exact(plan.decoder_rows * width).flat_map(of_image).collect();
        let mut rest = &readback.attention[..];
        let mut blocks = |depth: usize, heads: usize, rows: usize| -> Vec<Vec<f32>> {
            let mut next = || {
                let (block, others) = rest.split_at(plan.images * heads * rows * rows);
                rest = others;
                block.to_vec()
            };
            (0..depth).map(|_| next()).collect()
        };
        Ok(BackboneOutput {
            z,
            encoder: blocks(config.encoder_depth, config.encoder_num_heads, plan.encoder_rows),
            decoder: blocks(config.decoder_depth, config.decoder_num_heads, plan.decoder_rows),
        })
    }

    async fn run(&self, submission: &Submission<'_>) -> Result<Readback, GpuError> {
        let sized = SizedSubmission::new(&self.gpu, self.config(), submission);
        let mut workspace = self.workspace(sized.capacity()).await?;
        let mut cost = Cost::default();
        let readback = sized.run(&self.gpu, &self.network, &mut workspace, &mut cost).await;
        *self.cost.lock().unwrap_or_else(PoisonError::into_inner) += cost;
        let readback = readback?;
        self.put_back(workspace);
        Ok(readback)
    }

    /// The trajectory of `process` from what was read back: its frames follow the noise, if that is kept.
    fn trajectory(&self, process: &ReverseProcess<'_>, readback: Readback) -> Trajectory {
        let (taken, dim) = (process.taken(), self.config().token_dim());
        let noise = if taken[0] == 0 { head::tokens(process, dim) * dim } else { 0 };
        let frames = [&process.noise[..noise], &readback.frames].concat();
        Trajectory { taken, frames, predictions: readback.predictions }
    }

    /// A workspace that covers `need`: an idle one, or one that is made.
    async fn workspace(&self, need: Capacity) -> Result<Workspace, GpuError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let capacity = match idle {
            Some(workspace) if workspace.capacity.covers(need) => return Ok(workspace),
            Some(small) => small.capacity,
            None => Capacity::default(),
        };
        let capacity = capacity.grown(need, most_modulations(&self.gpu, self.config()));
        let make = || Workspace::new(&self.gpu, &self.network, capacity);
        let made = self.gpu.guarded("while allocating the buffers of an iteration", make).await??;
        self.cost.lock().unwrap_or_else(PoisonError::into_inner).grown += 1;
        Ok(made)
    }

    /// Keeps a workspace that no command is using any more.
    fn put_back(&self, workspace: Workspace) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

/// An iteration is one submission and one read-back: z is read back only where it is wanted.
impl Network for Model {
    fn config(&self) -> &MarConfig {
        &self.network.config
    }

    fn parameters(&self) -> usize {
        self.network.parameters
    }

    fn z<'a>(
        &'a self,
        _: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>> {
        Box::pin(async move {
            let plan = GatherPlan::new(self.config(), input, picks);
            let source = Source::Backbone(&plan);
            let z = Submission { source, process: None, want_z: true, want_attention: false };
            Ok(self.run(&z).await?.z)
        })
    }

    fn draw<'a>(
        &'a self,
        z: &'a [f32],
        input: &'a HeadInput<'a>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, HeadOutput> {
        let HeadInput::Diffusion(process) = input;
        Box::pin(async move {
            ask(proceed).await?;
            let source = Source::Host(z);
            let draw = Submission { source, process: Some(process), want_z: false, want_attention: false };
            Ok(HeadOutput::Diffusion(self.trajectory(process, self.run(&draw).await?)))
        })
    }

    fn iterate<'a>(
        &'a self,
        _: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
        head: &'a HeadInput<'a>,
        want_z: bool,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, IterationOutput> {
        let HeadInput::Diffusion(process) = head;
        Box::pin(async move {
            ask(proceed).await?;
            let started = Instant::now();
            let plan = GatherPlan::new(self.config(), input, picks);
            let source = Source::Backbone(&plan);
            let iteration = Submission { source, process: Some(process), want_z, want_attention: false };
            let mut readback = self.run(&iteration).await?;
            let z = want_z.then(|| std::mem::take(&mut readback.z));
            let drawn = HeadOutput::Diffusion(self.trajectory(process, readback));
            Ok(IterationOutput { drawn, z, backbone_ms: None, head_ms: milliseconds(started) })
        })
    }

    fn backbone<'a>(&'a self, input: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        Box::pin(async move { Ok(self.with_attention(input).await?) })
    }
}

/// A submission cannot be stopped, so this is asked before it.
async fn ask(proceed: &mut dyn Continue) -> Result<(), NetworkError> {
    if proceed.should_continue().await { Ok(()) } else { Err(NetworkError::Stopped) }
}
