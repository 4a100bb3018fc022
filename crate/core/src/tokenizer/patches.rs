//! Patches: `[channels, side, side]`, pixels or latents, cut into squares, channel slowest inside a token.
//! The official `patchify` and `unpatchify`; as a tokenizer, the paper's pixel-space experiments.

use super::{Conversion, Tokenizer, check_image, continuous};
use crate::config::MarConfig;
use crate::tokens::{Tokens, TokensRef};

/// Cuts `[channels, side, side]` into `patch x patch` squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    channels: usize,
    side: usize,
    patch: usize,
}

/// Patches of the image itself as tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelTokenizer(pub Patches);

impl Patches {
    /// For square images of `side` pixels; `patch` must divide `side`.
    pub fn new(channels: usize, side: usize, patch: usize) -> Self {
        assert!(patch > 0 && side.is_multiple_of(patch), "patch {patch} does not divide side {side}");
        Self { channels, side, patch }
    }

    /// The patches of the network of `config`.
    pub fn of(config: &MarConfig) -> Self {
        Self::new(config.vae_embed_dim, config.img_size / config.vae_stride, config.patch_size)
    }

    /// Channels, and side.
    pub fn image(&self) -> [usize; 2] {
        [self.channels, self.side]
    }

    /// Numbers of a token, C.
    pub fn token_dim(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    /// `[channels, side, side]` to `[L, C]`.
    pub fn patchify(&self, image: &[f32]) -> Vec<f32> {
        self.pixels().map(|pixel| image[pixel]).collect()
    }

    /// `[L, C]` to `[channels, side, side]`.
    pub fn unpatchify(&self, tokens: &[f32]) -> Vec<f32> {
        let mut image = vec![0.0; tokens.len()];
        for (pixel, &value) in self.pixels().zip(tokens) {
            image[pixel] = value;
        }
        image
    }

    /// For every number of the tokens, in order, the index of its pixel.
    fn pixels(&self) -> impl Iterator<Item = usize> {
        let Self { channels, side, patch } = *self;
        let grid = side / patch;
        (0..grid * grid).flat_map(move |token| {
            let (top, left) = (token / grid * patch, token % grid * patch);
            (0..channels * patch * patch).map(move |i| {
                let (channel, y, x) = (i / (patch * patch), i / patch % patch, i % patch);
                (channel * side + top + y) * side + left + x
            })
        })
    }
}

impl PixelTokenizer {
    /// The tokenizer of the network of `config`.
    pub fn of(config: &MarConfig) -> Self {
        Self(Patches::of(config))
    }

    /// Numbers of an image, and of its tokens.
    fn numbers(&self) -> usize {
        let [channels, side] = self.0.image();
        channels * side * side
    }
}

impl Tokenizer for PixelTokenizer {
    fn image(&self) -> [usize; 2] {
        self.0.image()
    }

    fn parameters(&self) -> usize {
        0
    }

    fn encode<'a>(&'a self, image: &'a [f32]) -> Conversion<'a, Tokens> {
        Box::pin(async move {
            check_image(image, self.numbers())?;
            Ok(Tokens::Continuous { dim: self.0.token_dim(), values: self.0.patchify(image) })
        })
    }

    fn decode<'a>(&'a self, tokens: TokensRef<'a>) -> Conversion<'a, Vec<f32>> {
        Box::pin(async move { Ok(self.0.unpatchify(continuous(tokens, self.numbers())?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn channel_is_slowest_inside_a_token() {
        let image: Vec<f32> = (0..2 * 4 * 4).map(|i| i as f32).collect();
        let tokens = Patches::new(2, 4, 2).patchify(&image);
        assert_eq!(tokens[..8], [0.0, 1.0, 4.0, 5.0, 16.0, 17.0, 20.0, 21.0]);
        assert_eq!(tokens[8..16], [2.0, 3.0, 6.0, 7.0, 18.0, 19.0, 22.0, 23.0]);
    }

    proptest! {
        #[test]
        fn unpatchify_undoes_patchify(channels in 1usize..4, grid in 1usize..6, patch in 1usize..5) {
            let patches = Patches::new(channels, grid * patch, patch);
            let image: Vec<f32> = (0..channels * (grid * patch).pow(2)).map(|i| i as f32).collect();
            prop_assert_eq!(patches.unpatchify(&patches.patchify(&image)), image);
        }

        #[test]
        fn bytes_survive(byte: u8) {
            prop_assert_eq!(super::super::to_byte(super::super::from_byte(byte)), byte);
        }
    }
}
