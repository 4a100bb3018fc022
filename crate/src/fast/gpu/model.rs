//! A network on the GPU: an iteration is one submission and one read-back.
//! Sections 3.2 and 3.3 of the paper.

use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::device::Gpu;
use super::error::GpuError;
use super::head::most_modulations;
use super::iteration::{Back, Work};
use super::load::Loader;
use super::workspace::{Room, Workspace};
use crate::checkpoint::Checkpoint;
use crate::config::MarConfig;
use crate::diffusion::{Draw, Drawn};
use crate::fast::{Network, Plan, Seen, Watched};

/// A network, resident on a GPU.
pub struct Model {
    gpu: Gpu,
    network: Network<Loader>,
    halves: bool,
    bytes: u64,
    /// Workspaces that no iteration is using: one, unless several were under way at once.
    idle: Mutex<Vec<Workspace>>,
    cost: Mutex<Cost>,
}

/// What the GPU was asked to do since the model was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Kernels dispatched.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submissions: u64,
    /// Bytes that the dispatches read and write on the GPU, each counted once a dispatch.
    pub moved: u64,
    /// Bytes written to the GPU, weights not counted.
    pub written: u64,
    /// Bytes read back.
    pub read: u64,
    /// Times that buffers were made because there was no room.
    pub grown: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.dispatches += more.dispatches;
        self.submissions += more.submissions;
        self.moved += more.moved;
        self.written += more.written;
        self.read += more.read;
        self.grown += more.grown;
    }
}

impl Gpu {
    /// The network of `config` with the parameters of `checkpoint`, on this GPU.
    ///
    /// # Errors
    /// [`GpuError::Checkpoint`] names the tensor that is missing, misshapen, not finite or left over;
    /// [`GpuError::TooLarge`] the one that the adapter has no buffer for.
    pub async fn load(&self, config: &MarConfig, checkpoint: &Checkpoint) -> Result<Model, GpuError> {
        let mut loader = Loader::new(self, config, checkpoint)?;
        let load = || Network::load(config, checkpoint, &mut loader);
        let network = self.guarded("while loading the weights", load).await??;
        let model = Model {
            gpu: self.clone(),
            network,
            halves: loader.halves,
            bytes: loader.bytes,
            idle: Mutex::default(),
            cost: Mutex::default(),
        };
        // The first workspace compiles every kernel, so that a driver that refuses one does so here.
        let first = model.workspace(Room { images: 1, picked: 1, steps: 1, ..Room::default() }).await?;
        model.put_back(first);
        Ok(model)
    }
}

impl Model {
    /// The network's shape.
    pub fn config(&self) -> &MarConfig {
        &self.network.config
    }

    /// Numbers the network consists of.
    pub fn parameters(&self) -> usize {
        self.network.parameters
    }

    /// The GPU it is on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Bytes that its parameters take there.
    pub fn weight_bytes(&self) -> u64 {
        self.bytes
    }

    /// What was asked of the GPU so far.
    pub fn cost(&self) -> Cost {
        *self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the cost.
    pub(super) fn count(&self, add: impl FnOnce(&mut Cost)) {
        add(&mut self.cost.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One iteration: the backbone over `seen`, then the reverse process of `draw` under z of `picks` (image and token),
    /// which stays on the GPU and comes back, `[picks, width]`, only if `want_z`.
    ///
    /// With guidance the images are the conditional ones, then the unconditional ones, and `picks` the rows of the former,
    /// then the same rows of the latter; `draw` is over half as many rows.
    ///
    /// # Errors
    /// [`GpuError`], but none of its fault leaves the model unusable, save a lost device.
    pub async fn iterate(
        &self,
        seen: &Seen<'_>,
        picks: &[(usize, usize)],
        draw: &Draw<'_>,
        want_z: bool,
    ) -> Result<(Drawn, Option<Vec<f32>>), GpuError> {
        let plan = Plan::new(self.config(), seen, picks);
        let work = Work { plan: Some(&plan), given: None, draw: Some(draw), want_z, watch: false };
        let mut back = self.run(&work, picks.len()).await?;
        let z = want_z.then(|| std::mem::take(&mut back.z));
        Ok((drawn(draw, back, self.tokens(draw) * self.config().token_dim()), z))
    }

    /// The conditions z of `picks` (image and token), `[picks, width]`.
    ///
    /// # Errors
    /// As [`Self::iterate`].
    pub async fn z(&self, seen: &Seen<'_>, picks: &[(usize, usize)]) -> Result<Vec<f32>, GpuError> {
        let plan = Plan::new(self.config(), seen, picks);
        let work = Work { plan: Some(&plan), given: None, draw: None, want_z: true, watch: false };
        Ok(self.run(&work, picks.len()).await?.z)
    }

    /// The reverse process under `z`, `[rows, width]`, or `[2 rows, width]` with guidance, the unconditional ones below.
    ///
    /// # Errors
    /// As [`Self::iterate`].
    pub async fn draw(&self, z: &[f32], draw: &Draw<'_>) -> Result<Drawn, GpuError> {
        let rows = z.len() / self.config().decoder_embed_dim;
        let work = Work { plan: None, given: Some(z), draw: Some(draw), want_z: false, watch: false };
        let back = self.run(&work, rows).await?;
        Ok(drawn(draw, back, self.tokens(draw) * self.config().token_dim()))
    }

    /// z of every token and all attention weights.
    ///
    /// # Errors
    /// As [`Self::iterate`].
    pub async fn watch(&self, seen: &Seen<'_>) -> Result<Watched, GpuError> {
        let config = self.config();
        let plan = Plan::whole(config, seen);
        let work = Work { plan: Some(&plan), given: None, draw: None, want_z: true, watch: true };
        let back = self.run(&work, plan.picks.len()).await?;
        let width = config.decoder_embed_dim;
        let of_image = |image: &[f32]| image[config.buffer_size * width..].to_vec();
        let z = back.z.chunks_exact(plan.all * width).flat_map(of_image).collect();
        let mut rest = &back.watched[..];
        let mut blocks = |depth: usize, heads: usize, rows: usize| -> Vec<Vec<f32>> {
            let mut next = || {
                let (block, others) = rest.split_at(plan.images * heads * rows * rows);
                rest = others;
                block.to_vec()
            };
            (0..depth).map(|_| next()).collect()
        };
        Ok(Watched {
            z,
            encoder: blocks(config.encoder_depth, config.encoder_num_heads, plan.seen),
            decoder: blocks(config.decoder_depth, config.decoder_num_heads, plan.all),
        })
    }

    /// Embedded timesteps, `[timesteps, head width]`.
    pub(super) fn embed(&self, timesteps: &[usize]) -> std::sync::Arc<Vec<f32>> {
        self.network.head.time.embed(timesteps)
    }

    /// Tokens that `draw` draws.
    pub(super) fn tokens(&self, draw: &Draw<'_>) -> usize {
        draw.noise.len() / self.config().token_dim() / (1 + draw.steps.len())
    }

    /// A workspace with room for `need`: an idle one, or one that is made.
    pub(super) async fn workspace(&self, need: Room) -> Result<Workspace, GpuError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let room = match idle {
            Some(workspace) if workspace.room.has(need) => return Ok(workspace),
            Some(small) => small.room,
            None => Room::default(),
        };
        let room = room.grown(need, most_modulations(self.config()));
        let make = || Workspace::new(&self.gpu, &self.network, self.halves, room);
        let made = self.gpu.guarded("while making room for an iteration", make).await??;
        self.count(|cost| cost.grown += 1);
        Ok(made)
    }

    /// Gives back a workspace that no command is using.
    pub(super) fn put_back(&self, workspace: Workspace) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

/// The trajectory of `draw`, of `numbers` numbers a frame: the frames that came back, behind the noise if that is kept.
fn drawn(draw: &Draw<'_>, back: Back, numbers: usize) -> Drawn {
    let taken = draw.taken();
    let mut frames = if taken[0] == 0 { draw.noise[..numbers].to_vec() } else { Vec::new() };
    frames.extend(back.frames);
    Drawn { taken, frames, head: back.explained }
}
