//! The KL autoencoder of latent diffusion: from images to continuous latents and back; the tokenizer of `ImageNet`
//! models. Section 4 of the paper (its KL-16); the network is that of Rombach et al., arXiv 2112.10752.

mod decoder;
mod encoder;
mod layers;
mod multiplications;
mod reference;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use self::layers::{Conv, lay, unlay};
pub use self::multiplications::multiplications;
use crate::model::{Names, Params};
use marscope_core::checkpoint::{Checkpoint, CheckpointError};
use marscope_core::tokenizer::{KlConfig, KlConfigError};

/// The whole autoencoder.
#[derive(Module, Debug)]
pub struct Kl {
    encoder: encoder::Encoder,
    quant_conv: Conv,
    post_quant_conv: Conv,
    decoder: decoder::Decoder,
    #[module(skip)]
    config: KlConfig,
    #[module(skip)]
    names: Names,
}

/// Why an autoencoder cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KlError {
    /// Its shape.
    #[error(transparent)]
    Config(#[from] KlConfigError),
    /// Its weights.
    #[error("the KL autoencoder: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// The normal distribution that the encoder gives every latent number, both `[n, embed_dim, h, w]`.
pub struct Posterior {
    /// Mean.
    pub mean: Tensor<4>,
    /// Natural logarithm of the variance, within `[-30, 20]`.
    pub logvar: Tensor<4>,
}

impl Posterior {
    /// Standard deviation, shaped as the mean.
    pub fn std(&self) -> Tensor<4> {
        (self.logvar.clone() * 0.5).exp()
    }

    /// The sample for standard normal noise `eps`, shaped as the mean.
    pub fn sample(&self, eps: Tensor<4>) -> Tensor<4> {
        self.mean.clone() + self.std() * eps
    }
}

impl Kl {
    /// The autoencoder with the parameters of `checkpoint`, which must hold nothing else (an official file may carry
    /// the discriminator of its training too, under `loss.`: [`Checkpoint::without_prefix`] drops it).
    ///
    /// # Errors
    /// Names the field of `config` that does not fit, or the tensor that is missing, misshapen, not finite or left
    /// over.
    pub fn load(config: &KlConfig, checkpoint: &Checkpoint, device: &Device) -> Result<Self, KlError> {
        config.validate()?;
        Ok(Self::of(config, checkpoint, device)?)
    }

    /// As [`Self::load`], of a shape that is known to be valid.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn of(config: &KlConfig, checkpoint: &Checkpoint, device: &Device) -> Result<Self, CheckpointError> {
        Self::new(config, Params::load(checkpoint, device))
    }

    /// The autoencoder as it starts training; the same one for the same `seed`.
    ///
    /// # Errors
    /// Names the field of `config` that does not fit.
    pub fn init(config: &KlConfig, seed: u64, device: &Device) -> Result<Self, KlConfigError> {
        config.validate()?;
        let kl = Self::new(config, Params::init(seed, device));
        Ok(kl.expect("initialisation asks no checkpoint for anything"))
    }

    /// The autoencoder of `config`, which is valid.
    fn new(config: &KlConfig, mut params: Params) -> Result<Self, CheckpointError> {
        let (z, latent) = (config.z_channels, config.embed_dim);
        Ok(Self {
            encoder: encoder::Encoder::new(&mut params, config)?,
            quant_conv: Conv::new(&mut params, "quant_conv", [2 * z, 2 * latent], 1)?,
            post_quant_conv: Conv::new(&mut params, "post_quant_conv", [latent, z], 1)?,
            decoder: decoder::Decoder::new(&mut params, config)?,
            config: config.clone(),
            names: params.finish()?,
        })
    }

    /// Where the autoencoder lives.
    pub fn device(&self) -> Device {
        self.post_quant_conv.device()
    }

    /// Official names of the parameters.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The autoencoder's shape.
    pub fn config(&self) -> &KlConfig {
        &self.config
    }

    /// Images `[n, 3, h, w]` in `[-1, 1]` to the distribution of their latents,
    /// `[n, embed_dim, h / stride, w / stride]`.
    ///
    /// # Panics
    /// When there are not three channels or [`KlConfig::stride`] does not divide a side.
    pub fn encode(&self, image: Tensor<4>) -> Posterior {
        let [_, channels, h, w] = image.dims();
        let stride = self.config.stride();
        assert!(
            channels == 3 && h.is_multiple_of(stride) && w.is_multiple_of(stride),
            "images of {channels} x {h} x {w} do not fit: they need 3 channels and sides that {stride} divides"
        );
        let moments = unlay(self.quant_conv.forward(self.encoder.forward(lay(image))));
        let latent = self.config.embed_dim;
        Posterior {
            mean: moments.clone().narrow(1, 0, latent),
            logvar: moments.narrow(1, latent, latent).clamp(-30.0, 20.0),
        }
    }

    /// Latents `[n, embed_dim, h, w]`, unscaled, to images `[n, 3, stride h, stride w]`, about in `[-1, 1]` but not
    /// clipped.
    ///
    /// # Panics
    /// When there are not [`KlConfig::embed_dim`] channels.
    pub fn decode(&self, latent: Tensor<4>) -> Tensor<4> {
        let channels = latent.dims()[1];
        assert!(channels == self.config.embed_dim, "latents of {channels} channels, not {}", self.config.embed_dim);
        unlay(self.decoder.forward(self.post_quant_conv.forward(lay(latent))))
    }
}
