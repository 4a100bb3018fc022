//! The head's dispatches: what it is told for all steps ahead, then the whole reverse process, fused or layer by layer.
//! Section 3.2 of the paper; the modulations, 60% of its arithmetic, never see x and so need not wait for it.

use super::buffers::View;
use super::device::Gpu;
use super::error::GpuError;
use super::head_fused::Fused;
use super::kernel::{Kernel, Op};
use super::linear::linear;
use super::load::{Loader, padded};
use super::model::Cost;
use super::pass::{Count, Dispatch, Pass, grid};
use super::workspace::{Inputs, Results, Room};
use crate::config::MarConfig;
use crate::fast::{Network, Then};

const GIVEN: Kernel = Kernel { entry: "given", source: &[include_str!("head_given.wgsl")], bindings: "urrw" };

/// Bytes of modulations at once. The steps of a process go in chunks that stay below.
const MODULATION_BYTES: usize = 64 << 20;

/// The dispatches from z to tokens.
pub struct HeadOps {
    /// Embeds z.
    condition: Vec<Op>,
    /// Modulations of a chunk of steps.
    modulation: Vec<Op>,
    chain: Chain,
}

/// The reverse process itself.
enum Chain {
    /// All steps of a chunk in one dispatch.
    Fused(Op),
    /// The layers of a step and what it does with them; x starts as the noise, which is copied here.
    Wide { step: Vec<Op>, x: View },
}

/// What the reverse process reads and writes besides weights.
pub struct Wiring<'a> {
    /// Steps, noise and passes.
    pub inputs: &'a Inputs,
    /// `[steps of a chunk * rows, modulations]`.
    pub modulated: &'a View,
    /// x and the last clean token, `[2, tokens, C]`.
    pub state: &'a View,
    /// What the host reads.
    pub results: &'a Results,
}

/// How a reverse process is cut into dispatches.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// Rows of the head.
    pub rows: usize,
    /// Steps of the process.
    pub steps: usize,
    /// Steps of a chunk, the last one perhaps less.
    pub each: usize,
    /// Whether the steps of a chunk have passes of their own.
    pub wide: bool,
}

impl Chunks {
    /// `steps` steps over `rows` rows.
    pub fn new(gpu: &Gpu, config: &MarConfig, rows: usize, steps: usize) -> Self {
        let each = (most_modulations(config) / rows.max(1)).clamp(1, steps);
        Self { rows, steps, each, wide: Fused::new(gpu, config).is_none() }
    }

    /// How many passes it takes.
    pub fn passes(self) -> usize {
        self.steps.div_ceil(self.each) + if self.wide { self.steps } else { 0 }
    }

    /// The passes: a chunk, then its steps where they have their own, then the next chunk.
    pub fn list(self, base: Pass) -> Vec<Pass> {
        let mut passes = Vec::with_capacity(self.passes());
        for first in (0..self.steps).step_by(self.each) {
            let steps = self.each.min(self.steps - first);
            let mut pass = Pass { first: first as u32, steps: steps as u32, ..base };
            pass.rows[Count::Modulations.index() as usize] = (steps * self.rows) as u32;
            passes.push(pass);
            if self.wide {
                passes.extend((0..steps as u32).map(|at| Pass { first: pass.first + at, steps: at, ..pass }));
            }
        }
        passes
    }
}

/// Rows of modulations that fit into [`MODULATION_BYTES`].
pub fn most_modulations(config: &MarConfig) -> usize {
    MODULATION_BYTES / (4 * modulations(config))
}

/// Columns of all modulations, padded.
pub fn modulations(config: &MarConfig) -> usize {
    padded((3 * config.diffloss_d + 2) * config.diffloss_w)
}

/// Records the head of `network` over `z`.
///
/// # Errors
/// [`GpuError::TooLarge`].
#[expect(clippy::too_many_arguments, reason = "the parts of a workspace that is being put together")]
pub fn record(
    gpu: &Gpu,
    network: &Network<Loader>,
    halves: bool,
    inputs: &Inputs,
    results: &Results,
    z: &View,
    time: &View,
    room: Room,
) -> Result<HeadOps, GpuError> {
    let (config, head) = (&network.config, &network.head);
    let width = padded(config.diffloss_w);
    let buffer = |what: &str, numbers: usize| gpu.storage(what, 4 * numbers as u64);
    let embedded = buffer("the embedded conditions", room.picked * width)?;
    let given = buffer("what the head is told", room.modulations * width)?;
    let modulated = buffer("the head's modulations", room.modulations * modulations(config))?;
    let state = buffer("the tokens under way", 2 * room.picked * config.token_dim())?;
    let passes = &inputs.passes;

    let condition = linear(gpu, halves, passes, Count::Conditions, z, &head.condition, &embedded, Then::Write);
    let shape = gpu.constant(&[config.diffloss_w as u32, width as u32]);
    let lanes = ("LANES", f64::from(gpu.tuning().row_lanes));
    let views = [&shape, time, &embedded, &given];
    let each = config.diffloss_w;
    let tell = Op::new(gpu, &gpu.compile(&GIVEN, &[lanes]), passes, &views, move |pass| {
        let (rows, conditions) = (Count::Modulations.of(pass), Count::Conditions.of(pass));
        Dispatch::new(grid(rows, 1), each * (pass.steps + conditions + rows) as usize)
    });
    let mut modulation = vec![tell];
    let layer = &head.modulation;
    modulation.extend(linear(gpu, halves, passes, Count::Modulations, &given, layer, &modulated, Then::Write));

    let wiring = Wiring { inputs, modulated: &modulated, state: &state, results };
    let chain = if let Some(shape) = Fused::new(gpu, config) {
        Chain::Fused(shape.record(gpu, config, head, halves, &wiring))
    } else {
        let step = super::head_wide::record(gpu, config, head, halves, &wiring, room)?;
        Chain::Wide { step, x: state.clone() }
    };
    Ok(HeadOps { condition, modulation, chain })
}

impl HeadOps {
    /// What has to be copied before the dispatches: the noise that x starts as, of `tokens * C` numbers.
    pub fn prepare(&self, encoder: &mut wgpu::CommandEncoder, noise: &View, numbers: usize) {
        if let Chain::Wide { x, .. } = &self.chain {
            let bytes = 4 * numbers as u64;
            encoder.copy_buffer_to_buffer(&noise.buffer, noise.offset, &x.buffer, x.offset, bytes);
        }
    }

    /// The dispatches under `passes`, the first of which is at `slot`, added to `cost`.
    pub fn encode(
        &self,
        encoder: &mut wgpu::ComputePass<'_>,
        passes: &[Pass],
        chunks: Chunks,
        slot: usize,
        cost: &mut Cost,
    ) {
        let mut run = |ops: &[Op], at: usize| {
            for op in ops {
                op.encode(encoder, &passes[at], slot + at, cost);
            }
        };
        run(&self.condition, 0);
        let mut at = 0;
        while at < passes.len() {
            run(&self.modulation, at);
            match &self.chain {
                Chain::Fused(reverse) => run(std::slice::from_ref(reverse), at),
                Chain::Wide { step, .. } => (0..passes[at].steps as usize).for_each(|taken| run(step, at + 1 + taken)),
            }
            at += if chunks.wide { 1 + passes[at].steps as usize } else { 1 };
        }
    }
}
