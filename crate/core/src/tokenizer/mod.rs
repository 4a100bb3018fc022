//! Tokenizers: an image to a grid of continuous tokens and back.
//! Section 3.1 of the paper: any tokenizer that gives vectors works, pixel patches too.

mod error;
mod kl;
mod latent;
mod patches;

use std::pin::Pin;

pub use self::error::TokenizerError;
pub use self::kl::{AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS, KlConfig, KlConfigError};
pub use self::latent::{Autoencoder, LatentTokenizer};
pub use self::patches::{Patches, PixelTokenizer};

use crate::tokens::{Tokens, TokensError, TokensRef};

/// The future of a converted image, tokens or latents.
pub type Conversion<'a, T> = Pin<Box<dyn Future<Output = Result<T, TokenizerError>> + 'a>>;

/// Images `[channels, side, side]` in `[-1, 1]` to `[L]` tokens, row-major over the grid, and back.
pub trait Tokenizer {
    /// Channels of the images, and their side in pixels.
    fn image(&self) -> [usize; 2];

    /// Number of parameters; 0 if it has none.
    fn parameters(&self) -> usize;

    /// The tokens of `image`.
    ///
    /// # Errors
    /// [`TokenizerError::Image`] or [`TokenizerError::Device`].
    fn encode<'a>(&'a self, image: &'a [f32]) -> Conversion<'a, Tokens>;

    /// Decodes `tokens`, `[L]`, to an image.
    ///
    /// # Errors
    /// [`TokenizerError::Kind`], [`TokenizerError::Tokens`] or [`TokenizerError::Device`].
    fn decode<'a>(&'a self, tokens: TokensRef<'a>) -> Conversion<'a, Vec<f32>>;
}

/// Checks that `image` has `expected` numbers, all finite.
fn check_image(image: &[f32], expected: usize) -> Result<(), TokenizerError> {
    let found = image.len();
    if found != expected {
        return Err(TokenizerError::Image { found, expected });
    }
    match image.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(TokenizerError::NotFinite { at }),
    }
}

/// The numbers of continuous `tokens`, of which there must be `expected`.
fn continuous(tokens: TokensRef<'_>, expected: usize) -> Result<&[f32], TokenizerError> {
    match tokens {
        TokensRef::Discrete(_) => Err(TokenizerError::Kind { expected: "continuous" }),
        TokensRef::Continuous { values, .. } if values.len() == expected => Ok(values),
        TokensRef::Continuous { values, .. } => Err(TokensError::Length { found: values.len(), expected }.into()),
    }
}

/// A pixel in `[-1, 1]` as the byte that a screen or a PNG file takes.
pub fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// A byte as a pixel in `[-1, 1]`.
pub fn from_byte(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}
