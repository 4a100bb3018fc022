//! Latents of the KL autoencoder as tokens, and pictures of them again: what the official checkpoints are decoded
//! through. Sections 3.1 and 4 of the paper; a token is a latent position, or a patch of them.

use burn::tensor::{Device, Tensor, TensorData};

use marscope_core::config::{PAPER_LATENT_SCALE, WeightsConfig};
use marscope_core::tokenizer::{Patches, Tokenizer, TokenizerError};
use marscope_core::tokens::{Tokens, TokensRef};

use super::{Kl, KlError};

/// The autoencoder and its device.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    /// The network.
    pub kl: Kl,
    /// The device it is on.
    pub device: Device,
}

/// The tokenizer of latents.
pub struct LatentTokenizer {
    autoencoder: Autoencoder,
    patches: Patches,
    /// Factor from latents to tokens.
    scale: f32,
}

impl LatentTokenizer {
    /// The tokenizer of the weights that `config` describes.
    ///
    /// # Errors
    /// [`KlError::Unfit`] when the weights were trained with another autoencoder.
    pub fn new(autoencoder: Autoencoder, config: &WeightsConfig) -> Result<Self, KlError> {
        let (model, kl) = (&config.model, autoencoder.kl.config());
        let found = [kl.embed_dim, kl.stride()];
        let expected = [model.vae_embed_dim, model.vae_stride];
        if found != expected {
            return Err(KlError::Unfit { found, expected });
        }
        Ok(Self { autoencoder, patches: Patches::of(model), scale: config.latent_scale.unwrap_or(PAPER_LATENT_SCALE) })
    }

    fn upload(&self, numbers: Vec<f32>, [channels, side]: [usize; 2]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(numbers, [1, channels, side, side]), &self.autoencoder.device)
    }
}

impl Tokenizer for LatentTokenizer {
    fn image(&self) -> [usize; 2] {
        [3, self.patches.image()[1] * self.autoencoder.kl.config().stride()]
    }

    /// The tokens of the posterior's mean.
    fn encode(&self, image: &[f32]) -> Result<Tokens, TokenizerError> {
        let mean = self.autoencoder.kl.encode(self.upload(image.to_vec(), self.image())).mean * self.scale;
        Ok(Tokens::Continuous { dim: self.patches.token_dim(), values: self.patches.patchify(&download(mean)?) })
    }

    fn decode(&self, tokens: TokensRef<'_>) -> Result<Vec<f32>, TokenizerError> {
        let TokensRef::Continuous { values, .. } = tokens else {
            return Err(TokenizerError::Kind { expected: "continuous" });
        };
        let latent = self.upload(self.patches.unpatchify(values), self.patches.image()) / self.scale;
        download(self.autoencoder.kl.decode(latent).clamp(-1.0, 1.0))
    }
}

fn download(tensor: Tensor<4>) -> Result<Vec<f32>, TokenizerError> {
    let data = tensor.try_into_data().map_err(|error| TokenizerError::Device(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| TokenizerError::Device(format!("{error:?}")))
}
