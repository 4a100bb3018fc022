//! The interface of training data: sequences of continuous tokens, each with a label, one example at a time.
//! Section 3.1 of the paper: tokens can be any vectors, so nothing here depends on images.

use super::DataError;
use marscope_core::random::Stream;

/// Labelled sequences of continuous tokens.
pub trait Dataset: Send + Sync {
    /// Examples of an epoch.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of an example, numbers of a token, and classes.
    fn shape(&self) -> TokenShape;

    /// Example `index`, below [`Self::len`]. Every random choice in it (flip, latent sample) is drawn from `random`, so
    /// that the same index and the same stream give the same example.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] when this example cannot be read, which training can skip. Any other error means that
    /// the whole set cannot be read.
    fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError>;
}

/// The shape of every example of a [`Dataset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenShape {
    /// Tokens of an example, L.
    pub tokens: usize,
    /// Numbers of a token, C.
    pub dim: usize,
    /// Number of classes; labels are smaller.
    pub classes: usize,
}

/// One sequence and its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// `[L, C]`.
    pub tokens: Vec<f32>,
    /// The class.
    pub label: usize,
}
