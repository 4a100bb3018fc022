//! A pipeline: weights on a device with their configuration and tokenizer, ready to decode pictures.
//! The page and the command line both use it.

use std::sync::Arc;

use serde::Serialize;

use crate::config::{Defaults, Label, TokenizerKind, WeightsConfig};
use crate::network::Network;
use crate::sampler::{DecodeState, Decoding, ImagePlan, Order, Probe, SampleError, SeededNoise, Settings};
use crate::tokenizer::{PixelTokenizer, Tokenizer, TokenizerError};
use crate::tokens::Tokens;

/// What weights are, for whoever shows them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ModelInfo {
    /// Name of the weights.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// What makes pictures of its tokens.
    pub tokenizer: TokenizerKind,
    /// Height and width of a picture, in pixels.
    pub image: [usize; 2],
    /// Channels of a picture: 1 for grey, 3 for colour.
    pub channels: usize,
    /// Channels of a latent; of the picture itself for pixel patches.
    pub latent_channels: usize,
    /// Pixels per side that a latent covers; 1 for pixel patches.
    pub stride: usize,
    /// Latents per side that a token covers; pixels for pixel patches.
    pub patch: usize,
    /// Pixels per side that a token covers: patch * stride.
    pub token_side: usize,
    /// Rows and columns of tokens.
    pub grid: [usize; 2],
    /// L, the number of tokens.
    pub tokens: usize,
    /// Numbers of a token, C: latentChannels * patch * patch, the channel slowest.
    pub token_dim: usize,
    /// Buffer positions in front of the tokens, which hold the class.
    pub buffer: usize,
    /// Numbers in the network.
    pub parameters: usize,
    /// Numbers in the autoencoder; 0 for pixel patches.
    pub autoencoder_parameters: usize,
    /// The device that the engine runs on.
    #[cfg_attr(feature = "ts", ts(type = "Device"))]
    pub device: String,
    /// Settings to start from.
    pub defaults: Defaults,
}

impl ModelInfo {
    /// Of the weights that `config` describes, with an autoencoder of `autoencoder_parameters`, on `device`.
    pub fn of(config: &WeightsConfig, autoencoder_parameters: usize, device: &str) -> Self {
        let model = &config.model;
        Self {
            name: config.name.clone(),
            classes: config.classes.clone(),
            tokenizer: config.tokenizer,
            image: [model.img_size; 2],
            channels: config.channels(),
            latent_channels: model.vae_embed_dim,
            stride: model.vae_stride,
            patch: model.patch_size,
            token_side: model.patch_size * model.vae_stride,
            grid: [model.grid(); 2],
            tokens: model.tokens(),
            token_dim: model.token_dim(),
            buffer: model.buffer_size,
            parameters: model.parameters(),
            autoencoder_parameters,
            device: device.to_owned(),
            defaults: config.defaults,
        }
    }
}

/// Weights on a device.
pub struct Pipeline {
    /// The weights' `config.json`.
    pub config: WeightsConfig,
    /// The network.
    pub network: Arc<dyn Network>,
    /// The tokenizer; `None` for latents without their autoencoder.
    tokenizer: Option<Box<dyn Tokenizer>>,
}

impl Pipeline {
    /// The network of `config`, with the tokenizer that it names if that needs no weights of its own.
    pub fn new(config: WeightsConfig, network: Arc<dyn Network>) -> Self {
        let tokenizer: Option<Box<dyn Tokenizer>> = match config.tokenizer {
            TokenizerKind::Pixel => Some(Box::new(PixelTokenizer::of(&config.model))),
            TokenizerKind::Kl => None,
        };
        Self { config, network, tokenizer }
    }

    /// The pipeline with `tokenizer`.
    #[must_use]
    pub fn with_tokenizer(self, tokenizer: Box<dyn Tokenizer>) -> Self {
        Self { tokenizer: Some(tokenizer), ..self }
    }

    /// The tokenizer, which turns tokens into pictures.
    ///
    /// # Errors
    /// [`TokenizerError::NoAutoencoder`] when the tokens are latents and their autoencoder was not given.
    pub fn tokenizer(&self) -> Result<&dyn Tokenizer, TokenizerError> {
        let channels = self.config.model.vae_embed_dim;
        self.tokenizer.as_deref().ok_or(TokenizerError::NoAutoencoder { channels })
    }

    /// Numbers in the network.
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// The settings that show these weights at their best.
    pub fn settings(&self) -> Settings {
        self.config.defaults.settings()
    }

    /// Starts decoding one image per label and seed: from `start`, or with every token masked.
    ///
    /// # Errors
    /// As [`Decoding::new`].
    pub fn decode(
        &self,
        images: &[(Label, u64)],
        order: impl Into<Order>,
        settings: Settings,
        start: Option<DecodeState>,
    ) -> Result<Decoding, SampleError> {
        let (order, grid) = (order.into(), self.config.model.grid());
        let plans =
            images.iter().map(|&(label, seed)| ImagePlan { label, order: order.positions(grid, seed) }).collect();
        let noise = Arc::new(SeededNoise::new(images.iter().map(|&(_, seed)| seed)));
        let decoding = Decoding::new(self.network.clone(), settings, plans, noise, start)?;
        Ok(decoding.clipping(self.config.clip_denoised))
    }

    /// A probe of one image of `label` at `state`.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn probe(&self, label: Label, state: DecodeState) -> Result<Probe, SampleError> {
        Ok(Probe::new(self.network.clone(), label, state)?.clipping(self.config.clip_denoised))
    }

    /// What the weights are, on `device`.
    pub fn info(&self, device: &str) -> ModelInfo {
        let autoencoder = self.tokenizer.as_deref().map_or(0, Tokenizer::parameters);
        ModelInfo::of(&self.config, autoencoder, device)
    }

    /// Decodes `tokens` to images, each `[channels, height, width]` in `[-1, 1]`.
    ///
    /// # Errors
    /// As [`Self::tokenizer`] and [`Tokenizer::decode`].
    pub async fn images(&self, tokens: &Tokens) -> Result<Vec<Vec<f32>>, TokenizerError> {
        let (tokenizer, each) = (self.tokenizer()?, self.config.model.tokens());
        let mut images = Vec::new();
        for i in 0..tokens.count() / each {
            images.push(tokenizer.decode(tokens.view().slice(i * each..(i + 1) * each)).await?);
        }
        Ok(images)
    }
}
