//! Pixel patches as tokens: the image itself, cut into squares, channel slowest inside a token.
//! Appendix of the paper's pixel-space experiments; also the patchify of latents.

use super::Tokenizer;

/// Cuts `[channels, side, side]` into `patch x patch` squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelTokenizer {
    channels: usize,
    side: usize,
    patch: usize,
}

impl PixelTokenizer {
    /// For square images of `side` pixels; `patch` must divide `side`.
    pub fn new(channels: usize, side: usize, patch: usize) -> Self {
        assert!(patch > 0 && side.is_multiple_of(patch), "patch {patch} does not divide side {side}");
        Self { channels, side, patch }
    }

    /// For every number of the tokens in order, the index of the pixel it holds.
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

impl Tokenizer for PixelTokenizer {
    fn image(&self) -> [usize; 2] {
        [self.channels, self.side]
    }

    fn encode(&self, image: &[f32]) -> Vec<f32> {
        self.pixels().map(|pixel| image[pixel]).collect()
    }

    fn decode(&self, tokens: &[f32]) -> Vec<f32> {
        let mut image = vec![0.0; tokens.len()];
        for (pixel, &value) in self.pixels().zip(tokens) {
            image[pixel] = value;
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn channel_is_slowest_inside_a_token() {
        let image: Vec<f32> = (0..2 * 4 * 4).map(|i| i as f32).collect();
        let tokens = PixelTokenizer::new(2, 4, 2).encode(&image);
        assert_eq!(tokens[..8], [0.0, 1.0, 4.0, 5.0, 16.0, 17.0, 20.0, 21.0]);
        assert_eq!(tokens[8..16], [2.0, 3.0, 6.0, 7.0, 18.0, 19.0, 22.0, 23.0]);
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(channels in 1usize..4, grid in 1usize..6, patch in 1usize..5) {
            let tokenizer = PixelTokenizer::new(channels, grid * patch, patch);
            let image: Vec<f32> = (0..channels * (grid * patch).pow(2)).map(|i| i as f32).collect();
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&image)), image);
        }

        #[test]
        fn bytes_survive(byte: u8) {
            prop_assert_eq!(super::super::to_byte(super::super::from_byte(byte)), byte);
        }
    }
}
