//! Tokenizers: an image to a grid of continuous tokens and back.
//! Section 3.1 of the paper: any tokenizer that gives vectors works, pixel patches too.

mod patches;

pub use self::patches::{Patches, PixelTokenizer};

use crate::tokens::{Tokens, TokensRef};

/// Images `[channels, height, width]` in `[-1, 1]` to `[L]` tokens, row-major over the grid, and back.
pub trait Tokenizer {
    /// Channels of the images, and their side in pixels.
    fn image(&self) -> [usize; 2];

    /// The tokens of `image`.
    ///
    /// # Errors
    /// [`TokenizerError::Device`].
    fn encode(&self, image: &[f32]) -> Result<Tokens, TokenizerError>;

    /// Decodes `tokens`, `[L]`, to an image.
    ///
    /// # Errors
    /// [`TokenizerError::Kind`] or [`TokenizerError::Device`].
    fn decode(&self, tokens: TokensRef<'_>) -> Result<Vec<f32>, TokenizerError>;
}

/// Why tokens or an image cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// Latents without their autoencoder.
    #[error(
        "the tokens of these weights are latents of {channels} channels, and only their autoencoder can turn them into \
         pictures: give it with --kl on the command line. The page cannot draw them yet"
    )]
    NoAutoencoder {
        /// Channels of the latents.
        channels: usize,
    },
    /// Ids for a tokenizer of continuous tokens, or the other way round.
    #[error("the tokenizer takes {expected} tokens, but got the other kind")]
    Kind {
        /// What it takes.
        expected: &'static str,
    },
    /// The device failed.
    #[error("the autoencoder gave no result: {0}")]
    Device(String),
}

/// A pixel in `[-1, 1]` as the byte that a screen or a PNG file takes.
pub fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// A byte as a pixel in `[-1, 1]`.
pub fn from_byte(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}
