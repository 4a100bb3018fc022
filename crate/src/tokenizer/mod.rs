//! Tokenizers: an image to a grid of continuous tokens and back.
//! Section 3.1 of the paper; anything that gives vectors will do, pixel patches included.

#[cfg(feature = "burn")]
mod kl;
#[cfg(feature = "burn")]
mod latent;
mod pixel;

#[cfg(feature = "burn")]
pub use self::kl::{Kl, KlConfig, KlError, Posterior};
#[cfg(feature = "burn")]
pub use self::latent::{Autoencoder, LatentTokenizer};
pub use self::pixel::PixelTokenizer;

/// Images `[channels, height, width]` in `[-1, 1]` to tokens `[L, C]`, row-major over the grid, and back.
pub trait Tokenizer {
    /// Channels of the images, and their side in pixels.
    fn image(&self) -> [usize; 2];

    /// The tokens of `image`.
    fn encode(&self, image: &[f32]) -> Vec<f32>;

    /// The image that `tokens` stand for.
    fn decode(&self, tokens: &[f32]) -> Vec<f32>;
}

/// A pixel in `[-1, 1]` as the byte that a screen or a PNG file takes.
pub fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// A byte as a pixel in `[-1, 1]`.
pub fn from_byte(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}
