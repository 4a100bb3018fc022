//! Why a picture cannot be decoded or probed.
//! All settings are checked before the model runs.

use crate::diffusion::ScheduleError;
use crate::network::NetworkError;
use crate::tokens::TokensError;

/// Why settings are invalid, or why a decoding failed.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A label beyond the model's classes.
    #[error("label {label} is not one of the {classes} classes: give 0 to {}, or none", classes - 1)]
    Label {
        /// Asked for.
        label: usize,
        /// Classes there are.
        classes: usize,
    },
    /// Too few or too many iterations.
    #[error("{iterations} iterations over {tokens} tokens are not possible: give 1 to {tokens}")]
    Iterations {
        /// Asked for.
        iterations: usize,
        /// Tokens of an image.
        tokens: usize,
    },
    /// The number of diffusion steps.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A setting is not a number, or out of range.
    #[error("{name} is {value}: give a number from {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Asked for.
        value: f32,
        /// Smallest allowed.
        least: f32,
        /// Largest allowed.
        most: f32,
    },
    /// An order that is no permutation.
    #[error("an order must hold each of the {tokens} positions once")]
    Order {
        /// Tokens of an image.
        tokens: usize,
    },
    /// The device failed while its result was read.
    #[error("the device gave no result ({0}). Reload, or use the CPU engine")]
    Device(String),
    /// A picture under way whose tokens are of another kind or number.
    #[error("the picture to start from: {0}")]
    Tokens(TokensError),
    /// A picture under way whose mask is of the wrong length.
    #[error("the picture to start from has {found} mask entries; this model's have {expected}")]
    MaskLength {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A picture to start from whose iteration does not exist.
    #[error("there is no iteration {iteration} to go on from: give 0 to {most}")]
    Iteration {
        /// Asked for.
        iteration: usize,
        /// The last one possible.
        most: usize,
    },
    /// A known token that is not finite.
    #[error("token {token} of the picture to start from holds a number that is not finite: mask it or set it")]
    NotFinite {
        /// Its position.
        token: usize,
    },
    /// Images of a batch that cannot be decoded together.
    #[error("image {image} has {found} masked tokens and image 0 has {expected}: decode them separately")]
    Uneven {
        /// The image.
        image: usize,
        /// Its masked tokens.
        found: usize,
        /// Those of the first image.
        expected: usize,
    },
    /// A position beyond the grid.
    #[error("there is no token {token}: give 0 to {}", tokens - 1)]
    Token {
        /// Asked for.
        token: usize,
        /// Tokens of an image.
        tokens: usize,
    },
    /// A token that has been drawn already.
    #[error("token {token} is known at this point: choose a masked one")]
    Known {
        /// Asked for.
        token: usize,
    },
    /// Too many samples, or none.
    #[error("{count} samples of a token are not possible: give 1 to {most}")]
    Count {
        /// Asked for.
        count: usize,
        /// The most there can be.
        most: usize,
    },
    /// Fewer diffusion steps in later iterations, but the first number is not a plain number.
    #[error("with fewer steps in later iterations, the steps of the first must be a number such as 50, not '{0}'")]
    LateSteps(String),
    /// How often the unconditional branch runs.
    #[error("the unconditional branch cannot run every {every} iterations: give 1 to {tokens}")]
    CfgEvery {
        /// Asked for.
        every: usize,
        /// Tokens of an image.
        tokens: usize,
    },
    /// The caller stopped the computation.
    #[error("stopped, as asked")]
    Stopped,
}

impl From<NetworkError> for SampleError {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Stopped => Self::Stopped,
            NetworkError::Device(problem) => Self::Device(problem),
        }
    }
}
