//! Recorded decodings: a JSON file of everything that one image went through, which page and command line both read and
//! write. Numbers are exact: lists of them are base64 of little-endian f32.

mod check;
mod floats;
mod replay;

use serde::{Deserialize, Serialize};

pub use self::replay::{Replay, ReplayError, replay};
use crate::head::HeadOutput;
use crate::pipeline::Pipeline;
use crate::sampler::{DecodeState, Decoding, Iteration, PictureSettings};
use crate::tokens::Tokens;

/// The value of `format` in every trace.
pub const FORMAT: &str = "marscope-trace";
/// The version this code reads and writes.
pub const VERSION: u64 = 1;

/// One image's decoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The model that computed it.
    pub model: TraceModel,
    /// The settings.
    pub settings: PictureSettings,
    /// `order[rank]` is the position that comes at `rank`.
    pub order: Vec<usize>,
    /// The start state, if some tokens were known.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub start: Option<TraceStart>,
    /// The iterations. Those before the start's iteration are its history: they are shown, but not replayed.
    pub iterations: Vec<TraceIteration>,
}

/// Which weights a trace is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TraceModel {
    /// Name of the weights.
    pub name: String,
    /// Numbers in the network.
    pub parameters: usize,
}

/// The state that a decoding starts from.
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
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TraceIteration {
    /// Which one.
    pub iteration: usize,
    /// Positions sampled in it.
    #[cfg_attr(feature = "ts", ts(type = "Uint32Array"))]
    pub tokens: Vec<usize>,
    /// `[L]`, 1 = masked before it.
    #[cfg_attr(feature = "ts", ts(type = "Uint8Array"))]
    pub mask_before: Vec<u8>,
    /// Guidance scale in effect.
    pub cfg: f32,
    /// `[frames]`: the timestep each frame is at.
    #[cfg_attr(feature = "ts", ts(type = "Uint32Array"))]
    pub timesteps: Vec<usize>,
    /// `[frames]`
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub alpha_bar: Vec<f32>,
    /// `[frames, tokens, C]`: frame 0 is the noise, the last one the tokens.
    #[serde(with = "floats")]
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub trajectory: Vec<f32>,
    /// `[L, C]`: the tokens before it, 0 where masked.
    #[serde(with = "floats")]
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub before: Vec<f32>,
    /// Milliseconds spent.
    pub ms: TraceMs,
}

/// Milliseconds an iteration took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TraceMs {
    /// In the transformer; 0 where the device did both in one go.
    pub backbone: f32,
    /// In the denoising head, or in both.
    pub head: f32,
}

/// Why a file is not a valid trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not JSON, or something is missing or of another kind.
    #[error("the trace cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another file.
    #[error("this is not a marscope trace: its \"format\" is not \"{FORMAT}\"")]
    Format,
    /// Another version of the format.
    #[error("the trace is of version {0}, but this program reads version {VERSION}: use a newer marscope")]
    Version(String),
    /// Something inconsistent.
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
    /// [`TraceError::Damaged`] for a seed or a number of steps that a trace cannot hold.
    pub fn begin(pipeline: &Pipeline, decoding: &Decoding, seed: u64) -> Result<Self, TraceError> {
        let [image] = decoding.images() else {
            return Err(TraceError::Damaged("it holds one image, but several are decoded".into()));
        };
        let settings = decoding.settings();
        let state = decoding.state();
        let start = if state.masked.contains(&false) {
            Some(TraceStart {
                iteration: state.iteration,
                masked: bytes(&state.masked),
                tokens: numbers(&state.tokens)?,
            })
        } else {
            None
        };
        let trace = Self {
            model: TraceModel { name: pipeline.config.name.clone(), parameters: pipeline.parameters() },
            settings: PictureSettings { label: image.label, seed, sampling: settings.clone() },
            order: image.order.clone(),
            start,
            iterations: Vec::new(),
        };
        trace.check()?;
        Ok(trace)
    }

    /// Appends `iteration`; `before` is the state before it.
    ///
    /// # Errors
    /// As [`TraceIteration::new`].
    pub fn push(&mut self, before: &DecodeState, iteration: &Iteration) -> Result<(), TraceError> {
        self.iterations.push(TraceIteration::new(before, iteration)?);
        Ok(())
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

impl TraceIteration {
    /// Of `iteration` of one image, which stood at `before`.
    ///
    /// # Errors
    /// [`TraceError::Damaged`] for tokens that a trace cannot hold.
    pub fn new(before: &DecodeState, iteration: &Iteration) -> Result<Self, TraceError> {
        let after = |&taken: &usize| iteration.steps.after(taken);
        let HeadOutput::Diffusion(trajectory) = &iteration.drawn;
        let (timesteps, alpha_bar) =
            trajectory.taken.iter().map(after).map(|(timestep, share)| (timestep, share as f32)).unzip();
        Ok(Self {
            iteration: iteration.iteration,
            tokens: iteration.rows.iter().map(|&(_, token)| token).collect(),
            mask_before: bytes(&before.masked),
            cfg: iteration.cfg,
            timesteps,
            alpha_bar,
            trajectory: trajectory.frames.clone(),
            before: numbers(&before.tokens)?,
            ms: TraceMs { backbone: iteration.backbone_ms.unwrap_or(0.0) as f32, head: iteration.head_ms as f32 },
        })
    }
}

impl TraceStart {
    /// What the sampler takes.
    pub fn state(&self) -> DecodeState {
        let masked: Vec<bool> = self.masked.iter().map(|&entry| entry == 1).collect();
        let dim = self.tokens.len() / masked.len();
        let tokens = Tokens::Continuous { dim, values: self.tokens.clone() };
        DecodeState { iteration: self.iteration, tokens, masked }
    }
}

/// The numbers of continuous tokens; traces hold no others.
fn numbers(tokens: &Tokens) -> Result<Vec<f32>, TraceError> {
    let numbers = tokens.continuous().ok_or_else(|| TraceError::Damaged("it cannot hold ids of a codebook".into()));
    numbers.map(<[f32]>::to_vec)
}

fn bytes(masked: &[bool]) -> Vec<u8> {
    masked.iter().map(|&masked| u8::from(masked)).collect()
}
