//! The fast engine on the CPU: vectors of whatever length the machine has, all cores natively, one in a page.
//! Sections 3.2 and 3.3 of the paper; held against plain Burn and the official numbers by the tests.

// Kernels are generic over the vectors a machine has, and become its instructions only where they are inlined into the
// function that is compiled for it (`Arch::dispatch`).
#![allow(clippy::inline_always)]

mod attention;
mod buffer;
mod draw;
mod head;
mod linear;
pub(crate) mod math;
mod norm;
mod pass;
pub(crate) mod threads;
mod tile;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use pulp::{Arch, Simd, WithSimd};

use self::draw::Process;
use self::norm::Norm;
use self::pass::{Attention, Packer, Pass};
use super::{Network, Plan, Seen, Watched};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::MarConfig;
use crate::diffusion::{Draw, Drawn};

/// Pictures a thread takes through the backbone at once: more, and what is between two layers leaves the cache.
const IMAGES: usize = 4;

/// The network on the CPU.
pub struct Cpu {
    arch: Arch,
    network: Network<Packer>,
    /// The norm of the head's final layer.
    bare: Norm,
    passes: Pool<pass::Workspace>,
    draws: Pool<draw::Workspace>,
}

impl Cpu {
    /// The network of `config` with the parameters of `checkpoint`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &MarConfig, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let arch = Arch::new();
        let mut packer = Packer { columns: arch.dispatch(Columns) };
        Ok(Self {
            arch,
            network: Network::load(config, checkpoint, &mut packer)?,
            bare: Norm::bare(config.diffloss_w),
            passes: Pool::default(),
            draws: Pool::default(),
        })
    }

    /// The network's shape.
    pub fn config(&self) -> &MarConfig {
        &self.network.config
    }

    /// Numbers it consists of.
    pub fn parameters(&self) -> usize {
        self.network.parameters
    }

    /// The conditions z of `picks` (image and token) among the pictures, `[picks, decoder width]`.
    pub fn z(&self, seen: &Seen<'_>, picks: &[(usize, usize)]) -> Vec<f32> {
        let config = &self.network.config;
        let width = config.decoder_embed_dim;
        let parts = self.pass(seen, false, |images, seen| {
            let of_part = picks.iter().enumerate().filter(|(_, (image, _))| images.contains(image));
            let (rows, picks): (Vec<_>, Vec<_>) =
                of_part.map(|(row, &(image, token))| (row, (image - images.start, token))).unzip();
            (Plan::new(config, seen, &picks), rows)
        });
        let mut z = vec![0.0; picks.len() * width];
        for part in parts {
            for (from, &row) in part.workspace.z(part.rows.len(), width).chunks_exact(width).zip(&part.rows) {
                z[row * width..][..width].copy_from_slice(from);
            }
            self.passes.give(part.workspace);
        }
        z
    }

    /// Every z of the pictures, and who attended to whom.
    pub fn watch(&self, seen: &Seen<'_>) -> Watched {
        let config = &self.network.config;
        let (width, buffer) = (config.decoder_embed_dim, config.buffer_size);
        let mut watched = Watched::default();
        for part in self.pass(seen, true, |_, seen| (Plan::whole(config, seen), Vec::new())) {
            let rows = part.workspace.z(part.plan.picks.len(), width);
            for image in rows.chunks_exact(part.plan.all * width) {
                watched.z.extend_from_slice(&image[buffer * width..]);
            }
            let Attention { encoder, decoder } = part.attention.unwrap_or_default();
            for (all, blocks) in [(&mut watched.encoder, encoder), (&mut watched.decoder, decoder)] {
                all.resize_with(blocks.len(), Vec::new);
                for (all, block) in all.iter_mut().zip(blocks) {
                    all.extend(block);
                }
            }
            self.passes.give(part.workspace);
        }
        watched
    }

    /// Takes all pictures through the backbone, a few to a part; `plan` says what of a part, and where its rows go.
    fn pass(
        &self,
        seen: &Seen<'_>,
        watch: bool,
        plan: impl Fn(&Range<usize>, &Seen<'_>) -> (Plan, Vec<usize>),
    ) -> Vec<Part> {
        let config = &self.network.config;
        let (length, dim) = (config.tokens(), config.token_dim());
        let total = seen.labels.len();
        let each = total.div_ceil(threads::count()).clamp(1, IMAGES);
        let part = |first: usize| {
            let images = first..total.min(first + each);
            let seen = Seen {
                tokens: &seen.tokens[images.start * length * dim..images.end * length * dim],
                masked: &seen.masked[images.start * length..images.end * length],
                labels: &seen.labels[images.clone()],
            };
            let (plan, rows) = plan(&images, &seen);
            Part { plan, rows, workspace: self.passes.take(), attention: watch.then(Attention::default) }
        };
        let mut parts: Vec<_> = (0..total).step_by(each).map(part).collect();
        threads::each(&mut parts, |Part { plan, workspace, attention, .. }| {
            self.arch.dispatch(Pass { plan, network: &self.network, workspace, watch: attention.as_mut() });
        });
        parts
    }

    /// Draws tokens under their conditions.
    ///
    /// `z` is `[rows, decoder width]`, or `[2 rows, ..]` with guidance: the conditional rows, then the unconditional
    /// ones. `go_on` is asked once for every diffusion step, a few steps ahead, and `None` is the result once it says no.
    pub async fn draw(&self, z: &[f32], draw: &Draw<'_>, mut go_on: impl AsyncFnMut() -> bool) -> Option<Drawn> {
        let (head, dim, total) = (&self.network.head, self.network.config.token_dim(), draw.steps.len());
        let tokens = draw.noise.len() / dim / (total + 1);
        let taken = draw.taken();
        let mut drawn = Drawn {
            frames: vec![0.0; taken.len() * tokens * dim],
            head: vec![0.0; if draw.explain { total * tokens * 2 * dim } else { 0 }],
            taken,
        };
        if drawn.taken[0] == 0 {
            drawn.frames[..tokens * dim].copy_from_slice(&draw.noise[..tokens * dim]);
        }
        let width = self.network.config.diffloss_w;
        let time = head.time.embed(&draw.steps.timesteps);
        let mut workspace = self.draws.take();
        let mut process = Process { arch: self.arch, head, bare: &self.bare, draw, tokens, workspace: &mut workspace };
        process.start(z);
        let mut done = 0;
        while done < total {
            let steps = done..total.min(done + process.chunk());
            for _ in steps.clone() {
                if !go_on().await {
                    self.draws.give(workspace);
                    return None;
                }
            }
            process.take(steps.clone(), &time[steps.start * width..steps.end * width]);
            process.keep(steps.clone(), &mut drawn);
            done = steps.end;
        }
        self.draws.give(workspace);
        Some(drawn)
    }
}

/// Pictures on their way through the backbone.
struct Part {
    plan: Plan,
    /// Where the z of its picks go.
    rows: Vec<usize>,
    workspace: pass::Workspace,
    attention: Option<Attention>,
}

/// Workspaces between two uses, so that each is allocated once.
struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Pool<T> {
    fn take(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, used: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }
}

/// The columns of a panel on the machine at hand.
struct Columns;

impl WithSimd for Columns {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        tile::columns::<S>()
    }
}
