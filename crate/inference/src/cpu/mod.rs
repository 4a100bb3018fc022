//! The engine on the CPU: it uses the machine's longest vectors, and all cores natively or one in a page.
//! Sections 3.2 and 3.3 of the paper. The tests compare it with the Burn reference and with the official code's numbers.
//!
//! A file may use only those before it in this list, as a test checks:
//! 1. `buffer`: aligned numbers
//! 2. `pool`: idle workspaces
//! 3. `tile`: the kernel under every product
//! 4. `linear`: linear layers
//! 5. `norm`: layer norms and their modulation
//! 6. `attention`: attention within each image
//! 7. `weights`: the parameters, packed
//! 8. `backbone`: the backbone's operations
//! 9. `head`: the head's operations, and the solver's step
//! 10. `draw`: a whole reverse process
//! 11. `planes`: features as a convolution reads them
//! 12. `conv`: convolutions
//! 13. `kl`: the autoencoder

// Kernels are generic over the vectors a machine has, and become its instructions only where they are inlined into the
// function that is compiled for it (`Arch::dispatch`).
#![allow(clippy::inline_always)]

mod attention;
mod backbone;
mod buffer;
mod conv;
mod draw;
mod head;
mod kl;
mod linear;
mod norm;
mod planes;
mod pool;
mod tile;
mod weights;

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use self::backbone::{Attention, Pass};
use self::draw::{Drawing, Rows};
pub use self::kl::Kl;
use self::norm::Norm;
use self::pool::Pool;
use self::weights::Packer;
use crate::gather::GatherPlan;
use crate::help::{Help, Helped, Helper};
use crate::weights::Parameters;
use marscope_core::checkpoint::{CheckpointError, TensorSource};
use marscope_core::config::MarConfig;
use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{Answer, BackboneInput, BackboneOutput, Continue, Network, NetworkError, Session};
use marscope_simd::parallel;

/// Images of a part. With more, a layer's output leaves the cache before the next layer reads it.
const IMAGES: usize = 4;

/// The network on the CPU.
pub struct Cpu {
    arch: Arch,
    network: Parameters<Packer>,
    /// The norm of the head's final layer.
    bare: Norm,
    passes: Pool<backbone::Workspace>,
    draws: Pool<draw::Workspace>,
}

impl Cpu {
    /// The network of `config` with the parameters of `source`, which are read one at a time.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &MarConfig, source: &dyn TensorSource) -> Result<Self, CheckpointError> {
        let arch = Arch::new();
        let mut packer = Packer { columns: arch.dispatch(Columns) };
        Ok(Self {
            arch,
            network: Parameters::load(config, source, &mut packer)?,
            bare: Norm::bare(config.diffloss_w),
            passes: Pool::default(),
            draws: Pool::default(),
        })
    }

    /// The conditions z of `picks`, pairs of image and token, `[picks, decoder width]`.
    fn conditions(&self, input: &BackboneInput<'_>, picks: &[(usize, usize)]) -> Vec<f32> {
        let config = &self.network.config;
        let width = config.decoder_embed_dim;
        let parts = self.pass(input, false, |images, input| {
            let of_part = picks.iter().enumerate().filter(|(_, (image, _))| images.contains(image));
            let (rows, picks): (Vec<_>, Vec<_>) =
                of_part.map(|(row, &(image, token))| (row, (image - images.start, token))).unzip();
            (GatherPlan::new(config, input, &picks), rows)
        });
        let mut z = vec![0.0; picks.len() * width];
        for part in parts {
            for (from, &row) in part.workspace.z(part.rows.len(), width).chunks_exact(width).zip(&part.rows) {
                z[row * width..][..width].copy_from_slice(from);
            }
            self.passes.put_back(part.workspace);
        }
        z
    }

    /// z of every token and all attention weights.
    fn with_attention(&self, input: &BackboneInput<'_>) -> BackboneOutput {
        let config = &self.network.config;
        let (width, buffer) = (config.decoder_embed_dim, config.buffer_size);
        let mut output = BackboneOutput::default();
        for part in self.pass(input, true, |_, input| (GatherPlan::whole(config, input), Vec::new())) {
            let rows = part.workspace.z(part.plan.picks.len(), width);
            for image in rows.chunks_exact(part.plan.decoder_rows * width) {
                output.z.extend_from_slice(&image[buffer * width..]);
            }
            let Attention { encoder, decoder } = part.attention.unwrap_or_default();
            for (all, blocks) in [(&mut output.encoder, encoder), (&mut output.decoder, decoder)] {
                all.resize_with(blocks.len(), Vec::new);
                for (all, block) in all.iter_mut().zip(blocks) {
                    all.extend(block);
                }
            }
            self.passes.put_back(part.workspace);
        }
        output
    }

    /// Runs the backbone over all images, a few to a part; `plan` makes the plan of a part and says where its rows of z go.
    fn pass(
        &self,
        input: &BackboneInput<'_>,
        attention: bool,
        plan: impl Fn(&Range<usize>, &BackboneInput<'_>) -> (GatherPlan, Vec<usize>),
    ) -> Vec<Part> {
        let total = input.labels.len();
        let images_of_part = total.div_ceil(parallel::count()).clamp(1, IMAGES);
        let part = |first: usize| {
            let images = first..total.min(first + images_of_part);
            let (plan, rows) = plan(&images, &input.of_images(images.clone()));
            Part { plan, rows, workspace: self.passes.take(), attention: attention.then(Attention::default) }
        };
        let mut parts: Vec<_> = (0..total).step_by(images_of_part).map(part).collect();
        parallel::each(&mut parts, |Part { plan, workspace, attention, .. }| {
            self.arch.dispatch(Pass { plan, network: &self.network, workspace, attention: attention.as_mut() });
        });
        parts
    }

    /// Runs a reverse process under `z`, `[rows, decoder width]`, or `[2 rows, ..]` with guidance: the conditional rows, then
    /// the unconditional ones. `proceed` is called once for every diffusion step, a few steps ahead. The modulations are computed
    /// here for the first steps, and come from `help` for the others.
    async fn reverse(
        &self,
        z: &[f32],
        process: &ReverseProcess<'_>,
        help: Vec<Help<'_>>,
        proceed: &mut dyn Continue,
    ) -> Result<Trajectory, NetworkError> {
        let (head, dim, total) = (&self.network.head, self.network.config.token_dim(), process.steps.len());
        let tokens = crate::head::tokens(process, dim);
        let rows = Rows { tokens, branches: if process.cfg.is_some() { 2 } else { 1 } };
        let taken = process.taken();
        let mut trajectory = Trajectory {
            frames: vec![0.0; taken.len() * tokens * dim],
            predictions: vec![0.0; if process.explain { total * tokens * 2 * dim } else { 0 }],
            taken,
        };
        if trajectory.taken[0] == 0 {
            trajectory.frames[..tokens * dim].copy_from_slice(&process.noise[..tokens * dim]);
        }
        let width = self.network.config.diffloss_w;
        let time = head.time.embed(&process.steps.timesteps);
        let mut workspace = self.draws.take();
        let mut drawing = Drawing { arch: self.arch, head, bare: &self.bare, process, rows, workspace: &mut workspace };
        drawing.start(z);
        let first = help.first().map_or(total, |help| help.steps.start);
        let mut parts = vec![(0..first, None)];
        parts.extend(help.into_iter().map(|Help { steps, modulations }| (steps, Some(modulations))));
        for (part, help) in parts {
            let known = match help {
                // If they do not come, they are computed here after all.
                Some(modulations) => modulations.await.ok(),
                None => None,
            };
            let mut done = part.start;
            while done < part.end {
                let steps = done..part.end.min(done + rows.chunk());
                for _ in steps.clone() {
                    if !proceed.should_continue().await {
                        self.draws.put_back(workspace);
                        return Err(NetworkError::Stopped);
                    }
                }
                let of_step = rows.count() * head.modulation.d_out();
                let known = known.as_ref().map(|known| &known[(done - part.start) * of_step..]);
                drawing.take(steps.clone(), &time[steps.start * width..steps.end * width], known);
                drawing.keep(steps.clone(), &mut trajectory);
                done = steps.end;
            }
        }
        self.draws.put_back(workspace);
        Ok(trajectory)
    }

    /// The modulations of all rows at `steps` of `timesteps`, `[steps, rows, columns]`.
    fn modulations_of(&self, z: &[f32], guided: bool, timesteps: &[usize], steps: Range<usize>) -> Vec<f32> {
        let MarConfig { decoder_embed_dim: wide, diffloss_w: width, .. } = self.network.config;
        let head = &self.network.head;
        let branches = if guided { 2 } else { 1 };
        let rows = Rows { tokens: z.len() / wide / branches, branches };
        let mut workspace = self.draws.take();
        workspace.embed(self.arch, head, z, rows);
        let time = head.time.embed(timesteps);
        let mut modulations = Vec::with_capacity(steps.len() * rows.count() * head.modulation.d_out());
        for time in time[steps.start * width..steps.end * width].chunks(rows.chunk() * width) {
            modulations.extend_from_slice(workspace.modulate(self.arch, head, time, rows));
        }
        self.draws.put_back(workspace);
        modulations
    }
}

impl Network for Cpu {
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
        Box::pin(async move { Ok(self.conditions(input, picks)) })
    }

    fn draw<'a>(
        &'a self,
        z: &'a [f32],
        input: &'a HeadInput<'a>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, HeadOutput> {
        let HeadInput::Diffusion(process) = input;
        Box::pin(async move { Ok(HeadOutput::Diffusion(self.reverse(z, process, Vec::new(), proceed).await?)) })
    }

    fn backbone<'a>(&'a self, input: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        Box::pin(async move { Ok(self.with_attention(input)) })
    }
}

impl Helper for Cpu {
    fn modulations<'a>(
        &'a self,
        z: &'a [f32],
        guided: bool,
        timesteps: &'a [usize],
        steps: Range<usize>,
    ) -> Answer<'a, Vec<f32>> {
        Box::pin(async move { Ok(self.modulations_of(z, guided, timesteps, steps)) })
    }
}

impl Helped for Cpu {
    fn draw_helped<'a>(
        &'a self,
        z: &'a [f32],
        process: &'a ReverseProcess<'a>,
        help: Vec<Help<'a>>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, Trajectory> {
        Box::pin(self.reverse(z, process, help, proceed))
    }
}

/// Some of the images, with the plan of their pass through the backbone.
struct Part {
    plan: GatherPlan,
    /// Rows of z that its picks are.
    rows: Vec<usize>,
    workspace: backbone::Workspace,
    attention: Option<Attention>,
}

/// The columns of a panel on this machine.
struct Columns;

impl WithSimd for Columns {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        tile::columns::<S>()
    }
}
