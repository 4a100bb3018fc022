//! A trace computed again, and how far the new tokens are from the recorded ones.
//! Noise is a function of its address, so the same settings give the same picture on every device, up to rounding.

use super::Trace;
use crate::engine::Engine;
use crate::sampler::{Order, SampleError};

/// How a replay went.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The largest difference between a recorded number and the same one now.
    pub difference: f32,
    /// Tokens that were compared.
    pub tokens: usize,
    /// The finished picture, `[channels, height, width]` in `[-1, 1]`.
    pub image: Vec<f32>,
}

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Other weights.
    #[error(
        "the trace is of {recorded} parameters named {name}, and the model has {here}: give its weights as --model"
    )]
    Model {
        /// Name of the weights it was recorded with.
        name: String,
        /// Their number.
        recorded: usize,
        /// Numbers of the model at hand.
        here: usize,
    },
    /// Nothing to compare.
    #[error("the trace holds no iteration that is computed: record one that has begun")]
    Empty,
    /// Tokens that do not come when the trace says.
    #[error("iteration {iteration} gives the tokens {found:?}, and the trace has {recorded:?} in it")]
    Tokens {
        /// The iteration.
        iteration: usize,
        /// What is sampled now.
        found: Vec<usize>,
        /// What was recorded.
        recorded: Vec<usize>,
    },
    /// A setting that this model or any refuses, or the device failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// Computes `trace` again with `engine`.
///
/// # Errors
/// Says why nothing can be compared.
pub fn replay(engine: &Engine, trace: &Trace) -> Result<Replay, ReplayError> {
    let here = engine.parameters();
    let dim = engine.config.model.token_dim();
    let first = trace.start.as_ref().map_or(0, |start| start.iteration);
    let mut recorded = trace.iterations.iter().filter(|iteration| iteration.iteration >= first).peekable();
    let Some(sized) = recorded.peek() else { return Err(ReplayError::Empty) };
    let fits = sized.before.len() == engine.config.model.tokens() * dim;
    if here != trace.model.parameters || !fits {
        let name = trace.model.name.clone();
        return Err(ReplayError::Model { name, recorded: trace.model.parameters, here });
    }

    let settings = trace.settings.settings(engine.config.clip_denoised);
    let images = [(trace.settings.label, trace.settings.seed)];
    let start = trace.start.as_ref().map(super::TraceStart::standing);
    let mut decoding = engine.decode(&images, Order::Positions(trace.order.clone()), settings, start)?;
    let (mut difference, mut tokens) = (0.0f32, 0);
    while let Some(now) = pollster::block_on(decoding.advance())? {
        let Some(then) = recorded.next() else { continue };
        let found: Vec<usize> = now.rows.iter().map(|&(_, token)| token).collect();
        if found != then.tokens {
            return Err(ReplayError::Tokens { iteration: now.iteration, found, recorded: then.tokens.clone() });
        }
        let last = &then.trajectory[then.trajectory.len() - found.len() * dim..];
        for (&found, &recorded) in now.trajectory.iter().zip(last) {
            let off = (found - recorded).abs();
            // `f32::max` would pass over a NaN.
            if off > difference || off.is_nan() {
                difference = off;
            }
        }
        tokens += found.len();
    }
    if let Some(beyond) = recorded.next() {
        let (iteration, recorded) = (beyond.iteration, beyond.tokens.clone());
        return Err(ReplayError::Tokens { iteration, found: Vec::new(), recorded });
    }
    Ok(Replay { difference, tokens, image: engine.images(&decoding).swap_remove(0) })
}
