//! Latents of an autoencoder as tokens, and pictures of them again.
//! Sections 3.1 and 4 of the paper: a token is a latent position, or a patch of them, times a factor.

use std::sync::Arc;

use super::{Conversion, KlConfig, Patches, Tokenizer, TokenizerError, check_image, continuous};
use crate::config::{PAPER_LATENT_SCALE, WeightsConfig};
use crate::tokens::{Tokens, TokensRef};

/// A KL autoencoder on its device: what an engine computes.
pub trait Autoencoder {
    /// The autoencoder's shape.
    fn config(&self) -> &KlConfig;

    /// Number of parameters.
    fn parameters(&self) -> usize;

    /// The mean of the posterior of `image`, `[3, side, side]` in `[-1, 1]`: latents
    /// `[embed_dim, side / stride, side / stride]`.
    ///
    /// # Errors
    /// [`TokenizerError::Device`].
    ///
    /// # Panics
    /// Unless [`KlConfig::stride`] divides `side` and the image has that size.
    fn encode<'a>(&'a self, image: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>>;

    /// The image of `latents`, `[embed_dim, side, side]`: `[3, side * stride, side * stride]`, about in `[-1, 1]` but not
    /// clipped.
    ///
    /// # Errors
    /// [`TokenizerError::Device`].
    ///
    /// # Panics
    /// Unless the latents have that size.
    fn decode<'a>(&'a self, latents: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>>;
}

/// The tokenizer of latents.
pub struct LatentTokenizer {
    autoencoder: Arc<dyn Autoencoder>,
    patches: Patches,
    /// Factor from latents to tokens.
    scale: f32,
}

impl LatentTokenizer {
    /// The tokenizer of the weights that `config` describes.
    ///
    /// # Errors
    /// [`TokenizerError::Unfit`] when the weights were trained with another autoencoder.
    pub fn new(autoencoder: Arc<dyn Autoencoder>, config: &WeightsConfig) -> Result<Self, TokenizerError> {
        let (model, kl) = (&config.model, autoencoder.config());
        let found = [kl.embed_dim, kl.stride()];
        let expected = [model.vae_embed_dim, model.vae_stride];
        if found != expected {
            return Err(TokenizerError::Unfit { found, expected });
        }
        Ok(Self { patches: Patches::of(model), scale: config.latent_scale.unwrap_or(PAPER_LATENT_SCALE), autoencoder })
    }
}

impl Tokenizer for LatentTokenizer {
    fn image(&self) -> [usize; 2] {
        [3, self.patches.image()[1] * self.autoencoder.config().stride()]
    }

    fn parameters(&self) -> usize {
        self.autoencoder.parameters()
    }

    /// The tokens of the posterior's mean.
    fn encode<'a>(&'a self, image: &'a [f32]) -> Conversion<'a, Tokens> {
        Box::pin(async move {
            let [channels, side] = self.image();
            check_image(image, channels * side * side)?;
            let mut mean = self.autoencoder.encode(image, side).await?;
            for value in &mut mean {
                *value *= self.scale;
            }
            Ok(Tokens::Continuous { dim: self.patches.token_dim(), values: self.patches.patchify(&mean) })
        })
    }

    /// The image, clipped to `[-1, 1]`.
    fn decode<'a>(&'a self, tokens: TokensRef<'a>) -> Conversion<'a, Vec<f32>> {
        Box::pin(async move {
            let [channels, side] = self.patches.image();
            let tokens = continuous(tokens, channels * side * side)?;
            let mut latents = self.patches.unpatchify(tokens);
            for value in &mut latents {
                *value /= self.scale;
            }
            let mut image = self.autoencoder.decode(&latents, side).await?;
            for value in &mut image {
                *value = value.clamp(-1.0, 1.0);
            }
            Ok(image)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenizerKind;
    use crate::preset::Preset;

    /// Repeats each latent over its pixels: of channels 0 to 2 forth, and back where the image has them.
    struct Repeat(KlConfig);

    impl Autoencoder for Repeat {
        fn config(&self) -> &KlConfig {
            &self.0
        }

        fn parameters(&self) -> usize {
            7
        }

        fn encode<'a>(&'a self, image: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
            let small = side / self.0.stride();
            let at = move |i: usize| (i / (small * small), i / small % small * 2, i % small * 2);
            let latent = move |i: usize| {
                let (channel, y, x) = at(i);
                if channel < 3 { image[(channel * side + y) * side + x] } else { 0.0 }
            };
            Box::pin(async move { Ok((0..self.0.embed_dim * small * small).map(latent).collect()) })
        }

        fn decode<'a>(&'a self, latents: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
            let large = 2 * side;
            let pixel = move |i: usize| {
                let (channel, y, x) = (i / (large * large), i / large % large / 2, i % large / 2);
                latents[(channel * side + y) * side + x]
            };
            Box::pin(async move { Ok((0..3 * large * large).map(pixel).collect()) })
        }
    }

    /// Pictures of 8 x 8, latents of 4 channels and 4 x 4, tokens of 2 x 2 of them.
    fn config() -> WeightsConfig {
        let mut config = Preset::Tiny.weights(&[]);
        (config.tokenizer, config.latent_scale) = (TokenizerKind::Kl, Some(0.5));
        let model = &mut config.model;
        (model.img_size, model.vae_stride, model.vae_embed_dim, model.patch_size) = (8, 2, 4, 2);
        config
    }

    fn tokenizer() -> LatentTokenizer {
        let kl = KlConfig { ch_mult: vec![1, 1], embed_dim: 4, ..KlConfig::kl16() };
        LatentTokenizer::new(Arc::new(Repeat(kl)), &config()).unwrap()
    }

    /// What a future that waits for nothing gives.
    fn now<T>(mut future: Conversion<'_, T>) -> Result<T, TokenizerError> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn latents_are_scaled_cut_and_clipped() {
        let tokenizer = tokenizer();
        assert_eq!((tokenizer.image(), tokenizer.parameters()), ([3, 8], 7));
        // Every 2 x 2 pixels are the same.
        let value = |i: usize| (i / 64 * 16 + i / 8 % 8 / 2 * 4 + i % 8 / 2) as f32 / 32.0 - 1.0;
        let image: Vec<f32> = (0..3 * 64).map(value).collect();
        let tokens = now(tokenizer.encode(&image)).unwrap();
        assert_eq!(tokens.count(), 4);
        // The second token: of channel 1, the latents of row 0 and columns 2 and 3, halved.
        let numbers = tokens.continuous().unwrap();
        assert_eq!(numbers[16 + 4..16 + 6], [18.0 / 64.0 - 0.5, 19.0 / 64.0 - 0.5]);
        let clipped: Vec<f32> = image.iter().map(|value| value.clamp(-1.0, 1.0)).collect();
        assert_eq!(now(tokenizer.decode(tokens.view())).unwrap(), clipped);
        assert!(image.iter().all(|&value| value < 1.0), "so that what is over 1 shows below");
        let large = Tokens::Continuous { dim: 16, values: vec![2.0; 64] };
        assert_eq!(now(tokenizer.decode(large.view())).unwrap(), [1.0; 3 * 64]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let tokenizer = tokenizer();
        let said = now(tokenizer.encode(&[0.0; 5])).unwrap_err().to_string();
        assert_eq!(said, "the picture has 5 numbers; this model's have 192");
        let mut image = [0.0; 192];
        image[9] = f32::NAN;
        assert!(matches!(now(tokenizer.encode(&image)), Err(TokenizerError::NotFinite { at: 9 })));
        let short = Tokens::Continuous { dim: 16, values: vec![0.0; 48] };
        let said = now(tokenizer.decode(short.view())).unwrap_err().to_string();
        assert_eq!(said, "the tokens have 48 numbers; this model's have 64");
        assert!(matches!(now(tokenizer.decode(TokensRef::Discrete(&[0; 4]))), Err(TokenizerError::Kind { .. })));
        let kl = KlConfig { embed_dim: 4, ..KlConfig::kl16() };
        let said = LatentTokenizer::new(Arc::new(Repeat(kl)), &config()).err().unwrap().to_string();
        assert!(
            said.starts_with("the autoencoder has latents of 4 channels and stride 16; the weights need 4"),
            "{said}"
        );
    }
}
