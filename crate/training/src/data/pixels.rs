//! Images as patches of their pixels, for training without an autoencoder.
//! The paper's pixel-space experiments (its appendix); flips as in appendix B.

use super::{DataError, Dataset, Example, Images, TokenShape};
use marscope_core::random::Stream;
use marscope_core::tokenizer::{Patches, from_byte};

/// Images cut into square patches, pixels in `[-1, 1]`.
pub struct ImageTokens {
    images: Box<dyn Images>,
    patches: Patches,
    shape: TokenShape,
    flip: bool,
}

impl ImageTokens {
    /// `images` of `classes` classes in patches of `patch` pixels per side; with `flip`, mirrored half of the time.
    ///
    /// # Errors
    /// [`DataError::Patch`] when `patch` does not divide the side.
    pub fn new(images: Box<dyn Images>, classes: usize, patch: usize, flip: bool) -> Result<Self, DataError> {
        let (channels, side) = (images.channels(), images.side());
        if patch == 0 || !side.is_multiple_of(patch) {
            return Err(DataError::Patch { patch, side });
        }
        let shape = TokenShape { tokens: (side / patch).pow(2), dim: channels * patch * patch, classes };
        Ok(Self { patches: Patches::new(channels, side, patch), images, shape, flip })
    }
}

impl Dataset for ImageTokens {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> TokenShape {
        self.shape
    }

    fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError> {
        let (mut pixels, label) = self.images.image(index)?;
        if self.flip && random.below(2) == 1 {
            mirror(&mut pixels, self.images.side());
        }
        let pixels: Vec<f32> = pixels.into_iter().map(from_byte).collect();
        Ok(Example { tokens: self.patches.patchify(&pixels), label })
    }
}

/// Reverses every row of `side` numbers.
pub(super) fn mirror<T>(pixels: &mut [T], side: usize) {
    pixels.chunks_exact_mut(side).for_each(<[T]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageSet;
    use marscope_core::random::Philox;

    fn images() -> ImageSet {
        // Two 2x2 images of one channel.
        ImageSet { pixels: vec![0, 51, 102, 255, 1, 2, 3, 4], labels: vec![1, 0], channels: 1, side: 2 }
    }

    #[test]
    fn an_example_is_the_image_or_its_mirror_image() {
        let plain = ImageTokens::new(Box::new(images()), 2, 2, false).unwrap();
        assert_eq!(plain.shape(), TokenShape { tokens: 1, dim: 4, classes: 2 });
        let stream = |at| Philox::new(1).stream(0, at);
        let example = plain.example(0, &mut stream(0)).unwrap();
        let close = |tokens: &[f32], expected: [f32; 4]| tokens.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(&example.tokens, [-1.0, -0.6, -0.2, 1.0]), "{example:?}");
        assert_eq!(example.label, 1);

        let flipping = ImageTokens::new(Box::new(images()), 2, 2, true).unwrap();
        let mut mirrored = 0;
        for at in 0..400 {
            let found = flipping.example(0, &mut stream(at)).unwrap();
            assert_eq!(found, flipping.example(0, &mut stream(at)).unwrap());
            let as_mirrored = close(&found.tokens, [-0.6, -1.0, 1.0, -0.2]);
            assert!(as_mirrored || found == example, "{found:?}");
            mirrored += usize::from(as_mirrored);
        }
        // Half of 400, within 5 standard deviations.
        assert!((150..250).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn a_patch_that_does_not_fit_is_an_error() {
        for patch in [0, 3, 4] {
            assert!(matches!(ImageTokens::new(Box::new(images()), 2, patch, false), Err(DataError::Patch { .. })));
        }
    }
}
