//! Latents of the KL autoencoder as tokens, and pictures of them again: what the official checkpoints are decoded through.
//! Sections 3.1 and 4 of the paper; a token is a latent position, or a patch of them.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Kl, KlError, PixelTokenizer, Tokenizer};
use crate::config::{PAPER_LATENT_SCALE, WeightsConfig};

/// The autoencoder, and where it computes.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    /// The network.
    pub kl: Kl,
    /// The device it is on.
    pub device: Device,
}

/// Pictures through the autoencoder.
pub struct LatentTokenizer {
    autoencoder: Autoencoder,
    patches: PixelTokenizer,
    /// What latents are multiplied by to be tokens.
    scale: f32,
}

impl LatentTokenizer {
    /// The autoencoder between the tokens of the weights that `config` describes and pictures.
    ///
    /// # Errors
    /// [`KlError::Unfit`] when it is another one than the weights were trained on.
    pub fn new(autoencoder: Autoencoder, config: &WeightsConfig) -> Result<Self, KlError> {
        let (model, kl) = (&config.model, autoencoder.kl.config());
        let found = [kl.embed_dim, kl.stride()];
        let expected = [model.vae_embed_dim, model.vae_stride];
        if found != expected {
            return Err(KlError::Unfit { found, expected });
        }
        let patches = PixelTokenizer::new(model.vae_embed_dim, model.img_size / model.vae_stride, model.patch_size);
        Ok(Self { autoencoder, patches, scale: config.latent_scale.unwrap_or(PAPER_LATENT_SCALE) })
    }

    fn upload(&self, numbers: Vec<f32>, [channels, side]: [usize; 2]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(numbers, [1, channels, side, side]), &self.autoencoder.device)
    }
}

impl Tokenizer for LatentTokenizer {
    fn image(&self) -> [usize; 2] {
        [3, self.patches.image()[1] * self.autoencoder.kl.config().stride()]
    }

    /// The tokens of the latents' mean.
    fn encode(&self, image: &[f32]) -> Vec<f32> {
        let mean = self.autoencoder.kl.encode(self.upload(image.to_vec(), self.image())).mean * self.scale;
        self.patches.encode(&download(mean))
    }

    fn decode(&self, tokens: &[f32]) -> Vec<f32> {
        let latent = self.upload(self.patches.decode(tokens), self.patches.image()) / self.scale;
        download(self.autoencoder.kl.decode(latent).clamp(-1.0, 1.0))
    }
}

fn download(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("it was converted")
}
