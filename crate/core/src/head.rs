//! The head draws tokens from their conditions z. `"head"` in config.json names its kind.
//! Section 3.2 of the paper, whose head is a diffusion; other heads are added here.
//!
//! A head iterates (a diffusion, a flow) or draws in one step (a classifier over a codebook, a mixture, a regression). Each
//! kind has a variant of [`HeadInput`] and of [`HeadOutput`]. The sampler builds the input and the engines match on it, so a
//! new variant does not compile until both handle it. The loss is in the training package.

use serde::{Deserialize, Serialize};

use crate::diffusion::{ReverseProcess, Trajectory};
use crate::tokens::TokensRef;

/// The kinds of heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// The Diffusion Loss: predicts the noise added to a token.
    #[default]
    Diffusion,
}

/// The input of a head.
#[derive(Clone, Copy, Debug)]
pub enum HeadInput<'a> {
    /// For a diffusion: the reverse process to run.
    Diffusion(ReverseProcess<'a>),
}

/// The output of a head.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadOutput {
    /// For a diffusion: the trajectory of the process.
    Diffusion(Trajectory),
}

impl HeadOutput {
    /// The tokens drawn, one a row; those of a diffusion have `dim` numbers each.
    pub fn tokens(&self, dim: usize) -> TokensRef<'_> {
        match self {
            Self::Diffusion(trajectory) => TokensRef::Continuous { dim, values: trajectory.last() },
        }
    }

    /// The trajectory of an iterated head; `None` for a head that draws in one step.
    pub fn trajectory(&self) -> Option<&Trajectory> {
        match self {
            Self::Diffusion(trajectory) => Some(trajectory),
        }
    }
}
