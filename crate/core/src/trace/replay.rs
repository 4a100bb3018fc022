//! Decodes a trace again and compares the tokens with the recorded ones.
//! Noise is a function of its address, so the same settings give the same picture on every device, up to rounding.

use super::Trace;
use crate::pipeline::Pipeline;
use crate::sampler::{Order, SampleError};
use crate::tokens::{Tokens, TokensRef};

/// The result of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The largest difference between a recorded and a new number.
    pub difference: f32,
    /// Tokens that were compared.
    pub compared: usize,
    /// The finished picture's `[L]` tokens.
    pub tokens: Tokens,
}

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The model has other weights.
    #[error(
        "the trace was made with {recorded} parameters named {name}, but the model has {here}: give its weights as --model"
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
    #[error("the trace holds no iteration to replay: record one after the decoding has begun")]
    Empty,
    /// An iteration with other tokens than the trace says.
    #[error("iteration {iteration} draws the tokens {found:?}, but the trace has {recorded:?}")]
    Tokens {
        /// The iteration.
        iteration: usize,
        /// What is sampled now.
        found: Vec<usize>,
        /// What was recorded.
        recorded: Vec<usize>,
    },
    /// Ids of a codebook.
    #[error("the model draws ids of a codebook, but the trace holds continuous tokens: give the weights of the trace")]
    Continuous,
    /// An invalid setting, or a failure of the device.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// Decodes `trace` again with `pipeline`.
///
/// # Errors
/// See [`ReplayError`].
pub async fn replay(pipeline: &Pipeline, trace: &Trace) -> Result<Replay, ReplayError> {
    let here = pipeline.parameters();
    let dim = pipeline.config.model.token_dim();
    let first = trace.start.as_ref().map_or(0, |start| start.iteration);
    let mut recorded = trace.iterations.iter().filter(|iteration| iteration.iteration >= first).peekable();
    let Some(sized) = recorded.peek() else { return Err(ReplayError::Empty) };
    let fits = sized.before.len() == pipeline.config.model.tokens() * dim;
    if here != trace.model.parameters || !fits {
        let name = trace.model.name.clone();
        return Err(ReplayError::Model { name, recorded: trace.model.parameters, here });
    }

    let settings = trace.settings.sampling.clone();
    let images = [(trace.settings.label, trace.settings.seed)];
    let start = trace.start.as_ref().map(super::TraceStart::state);
    let mut decoding = pipeline.decode(&images, Order::Positions(trace.order.clone()), settings, start)?;
    let (mut difference, mut compared) = (0.0f32, 0);
    while let Some(now) = decoding.advance().await? {
        let Some(then) = recorded.next() else { continue };
        let found: Vec<usize> = now.rows.iter().map(|&(_, token)| token).collect();
        if found != then.tokens {
            return Err(ReplayError::Tokens { iteration: now.iteration, found, recorded: then.tokens.clone() });
        }
        let last = &then.trajectory[then.trajectory.len() - found.len() * dim..];
        let TokensRef::Continuous { values, .. } = now.drawn.tokens(dim) else {
            return Err(ReplayError::Continuous);
        };
        for (&found, &recorded) in values.iter().zip(last) {
            let off = (found - recorded).abs();
            // `f32::max` would pass over a NaN.
            if off > difference || off.is_nan() {
                difference = off;
            }
        }
        compared += found.len();
    }
    if let Some(beyond) = recorded.next() {
        let (iteration, recorded) = (beyond.iteration, beyond.tokens.clone());
        return Err(ReplayError::Tokens { iteration, found: Vec::new(), recorded });
    }
    Ok(Replay { difference, compared, tokens: decoding.tokens().clone() })
}
