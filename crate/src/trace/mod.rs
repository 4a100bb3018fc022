//! Recorded decodings: a JSON file of everything that one image went through, which page and command line both read and
//! write. Numbers are exact: lists of them are base64 of little-endian f32.

mod check;
mod floats;
mod replay;

use serde::{Deserialize, Serialize};

pub use self::replay::{Replay, ReplayError, replay};
use crate::config::Label;
use crate::diffusion::Solver;
use crate::engine::Engine;
use crate::sampler::{CfgSchedule, Decoding, Iteration, Settings, Standing};

/// What `format` says in every trace.
const FORMAT: &str = "marscope-trace";
/// The version this code reads and writes.
const VERSION: u64 = 1;

/// One image's decoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// What computed it.
    pub model: TraceModel,
    /// What it was computed under.
    pub settings: TraceSettings,
    /// `order[rank]` is the position that comes at `rank`.
    pub order: Vec<usize>,
    /// Where it started, if some tokens were known.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub start: Option<TraceStart>,
    /// What happened. Those before the start's iteration are its history, which is shown and not computed again.
    pub iterations: Vec<TraceIteration>,
}

/// Which weights a trace is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceModel {
    /// Name of the weights.
    pub name: String,
    /// Numbers in the network.
    pub parameters: usize,
}

/// One decoding's settings, as the page has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceSettings {
    /// Class; null is unconditional.
    #[serde(deserialize_with = "Option::deserialize")]
    pub label: Label,
    /// Seed of the noise and of a random order, at most 2^53 - 1.
    pub seed: u64,
    /// Guidance scale.
    pub cfg: f32,
    /// How the guidance goes over the iterations.
    pub cfg_schedule: CfgSchedule,
    /// Iterations K.
    pub iterations: usize,
    /// Diffusion steps a token.
    pub steps: usize,
    /// Those of the last iteration, where later iterations take fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_steps: Option<usize>,
    /// How the reverse process is solved.
    #[serde(default, skip_serializing_if = "Solver::is_ddpm")]
    pub solver: Solver,
    /// The unconditional branch runs in every so many-th iteration.
    #[serde(default = "crate::sampler::each", skip_serializing_if = "is_each")]
    pub cfg_every: usize,
    /// Scale of the noise that each reverse step adds.
    pub temperature: f32,
}

/// A picture under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceStart {
    /// The iteration that comes next.
    pub iteration: usize,
    /// `[L]`, 1 = masked.
    pub masked: Vec<u8>,
    /// `[L, C]`; read where not masked.
    #[serde(with = "floats")]
    pub tokens: Vec<f32>,
}

/// What one iteration did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceIteration {
    /// Which one.
    pub iteration: usize,
    /// Positions sampled in it.
    pub tokens: Vec<usize>,
    /// `[L]`, 1 = masked before it.
    pub mask_before: Vec<u8>,
    /// Guidance scale in effect.
    pub cfg: f32,
    /// `[frames]`: the timestep each frame is at.
    pub timesteps: Vec<usize>,
    /// `[frames]`
    pub alpha_bar: Vec<f32>,
    /// `[frames, tokens, C]`: frame 0 is the noise, the last one the tokens.
    #[serde(with = "floats")]
    pub trajectory: Vec<f32>,
    /// `[L, C]`: the tokens before it, 0 where masked.
    #[serde(with = "floats")]
    pub before: Vec<f32>,
    /// Milliseconds spent.
    pub ms: TraceMs,
}

/// Milliseconds an iteration took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceMs {
    /// In the transformer; 0 where the device did both in one go.
    pub backbone: f32,
    /// In the denoising head, or in both.
    pub head: f32,
}

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not JSON, or something is missing or of another kind.
    #[error("the trace cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another file.
    #[error("this is no marscope trace: its \"format\" is not \"{FORMAT}\"")]
    Format,
    /// A trace of another time.
    #[error(
        "the trace is of version {0}, and this program reads version {VERSION}: use a marscope as new as the trace"
    )]
    Version(String),
    /// Something that does not fit the rest.
    #[error("the trace is damaged: {0}")]
    Damaged(String),
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: serde_json::Value,
    #[serde(default)]
    version: serde_json::Value,
}

#[derive(Serialize)]
struct File<'a> {
    format: &'a str,
    version: u64,
    #[serde(flatten)]
    trace: &'a Trace,
}

impl Trace {
    /// A trace of the only image of `decoding`, which has `seed` and has done nothing yet.
    ///
    /// # Errors
    /// [`TraceError::Damaged`] for a seed or a number of steps that a trace has no room for.
    pub fn begin(engine: &Engine, decoding: &Decoding, seed: u64) -> Result<Self, TraceError> {
        let [image] = decoding.images() else {
            return Err(TraceError::Damaged("it is of one image, and several are decoded".into()));
        };
        let settings = decoding.settings();
        let plain = || TraceError::Damaged(format!("its diffusion steps are a number, not '{}'", settings.steps));
        let standing = decoding.standing();
        let start = standing.masked.contains(&false).then(|| TraceStart {
            iteration: standing.iteration,
            masked: bytes(&standing.masked),
            tokens: standing.tokens.clone(),
        });
        let trace = Self {
            model: TraceModel { name: engine.config.name.clone(), parameters: engine.parameters() },
            settings: TraceSettings {
                label: image.label,
                seed,
                cfg: settings.cfg,
                cfg_schedule: settings.cfg_schedule,
                iterations: settings.iterations,
                steps: settings.steps.parse().map_err(|_| plain())?,
                late_steps: settings.late_steps,
                solver: settings.solver,
                cfg_every: settings.cfg_every,
                temperature: settings.temperature,
            },
            order: image.order.clone(),
            start,
            iterations: Vec::new(),
        };
        trace.check()?;
        Ok(trace)
    }

    /// Notes `iteration`, before which the picture stood at `before`.
    pub fn push(&mut self, before: &Standing, iteration: &Iteration) {
        let after = |&taken: &usize| iteration.steps.after(taken);
        let (timesteps, alpha_bar) =
            iteration.taken.iter().map(after).map(|(timestep, share)| (timestep, share as f32)).unzip();
        self.iterations.push(TraceIteration {
            iteration: iteration.iteration,
            tokens: iteration.rows.iter().map(|&(_, token)| token).collect(),
            mask_before: bytes(&before.masked),
            cfg: iteration.cfg,
            timesteps,
            alpha_bar,
            trajectory: iteration.trajectory.clone(),
            before: before.tokens.clone(),
            ms: TraceMs { backbone: iteration.backbone_ms.unwrap_or(0.0) as f32, head: iteration.head_ms as f32 },
        });
    }

    /// Reads a trace and checks everything in it.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn read(json: &[u8]) -> Result<Self, TraceError> {
        let head: Head = serde_json::from_slice(json)?;
        if head.format != FORMAT {
            return Err(TraceError::Format);
        }
        if head.version != VERSION {
            return Err(TraceError::Version(head.version.to_string()));
        }
        let trace: Self = serde_json::from_slice(json)?;
        trace.check()?;
        Ok(trace)
    }

    /// The file's content.
    ///
    /// # Errors
    /// Never in practice: plain data always converts.
    pub fn to_json(&self) -> Result<String, TraceError> {
        Ok(serde_json::to_string(&File { format: FORMAT, version: VERSION, trace: self })?)
    }
}

/// What a trace leaves out, for it is so unless somebody asks for something else.
#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_each(every: &usize) -> bool {
    *every == 1
}

impl TraceSettings {
    /// What the sampler takes; `clip` is the model's.
    pub fn settings(&self, clip: bool) -> Settings {
        Settings {
            iterations: self.iterations,
            steps: self.steps.to_string(),
            late_steps: self.late_steps,
            solver: self.solver,
            cfg: self.cfg,
            cfg_every: self.cfg_every,
            cfg_schedule: self.cfg_schedule,
            temperature: self.temperature,
            clip,
            stride: 0,
        }
    }
}

impl TraceStart {
    /// What the sampler takes.
    pub fn standing(&self) -> Standing {
        let masked = self.masked.iter().map(|&entry| entry == 1).collect();
        Standing { iteration: self.iteration, tokens: self.tokens.clone(), masked }
    }
}

fn bytes(masked: &[bool]) -> Vec<u8> {
    masked.iter().map(|&masked| u8::from(masked)).collect()
}
