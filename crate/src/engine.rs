//! A weights folder ready for use: configuration, tokenizer and network on a device.
//! What the page and the command line both start from.

use std::sync::Arc;

use crate::checkpoint::{Checkpoint, CheckpointError, Weights};
use crate::config::{ConfigError, Label, MarConfig, TokenizerKind, WeightsConfig};
use crate::diffusion::Solver;
use crate::network::{self, Device, Network};
use crate::sampler::{CfgSchedule, Decoding, ImagePlan, Moment, Order, SampleError, SeededNoise, Settings, Standing};
use crate::tokenizer::{PixelTokenizer, Tokenizer};

/// Weights on a device.
pub struct Engine {
    /// What the folder says of itself.
    pub config: WeightsConfig,
    /// The network.
    pub network: Network,
    /// Between tokens and images.
    pub tokenizer: Box<dyn Tokenizer>,
}

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// `config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights file.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The network, or its device.
    #[error(transparent)]
    Network(#[from] network::LoadError),
}

impl Engine {
    /// Reads `config.json` and the weights, both whole, onto `device`. The weights are a safetensors file or an official
    /// `.pth` checkpoint, of which the EMA weights are taken.
    ///
    /// # Errors
    /// Says which of the two is wrong, where, and what to do.
    pub async fn load(config: &str, weights: &[u8], device: &Device) -> Result<Self, LoadError> {
        let config = WeightsConfig::parse(config)?;
        let network = Network::load(&config.model, &Checkpoint::read(weights, Weights::Ema)?, device).await?;
        Ok(Self::new(config, network))
    }

    /// A network that is at hand already.
    pub fn new(config: WeightsConfig, network: Network) -> Self {
        Self { tokenizer: Self::tokenizer(&config), config, network }
    }

    /// The tokenizer that `config` asks for.
    pub fn tokenizer(config: &WeightsConfig) -> Box<dyn Tokenizer> {
        let MarConfig { vae_embed_dim, img_size, vae_stride, patch_size, .. } = config.model;
        match config.tokenizer {
            // Latents are an image of their own, which is all that can be made of tokens without the autoencoder: a
            // `LatentTokenizer` in this one's place has it.
            TokenizerKind::Pixel | TokenizerKind::Kl => {
                Box::new(PixelTokenizer::new(vae_embed_dim, img_size / vae_stride, patch_size))
            }
        }
    }

    /// Numbers in the network.
    pub fn parameters(&self) -> usize {
        self.network.parameters()
    }

    /// The settings that show these weights at their best, with no trajectory kept.
    pub fn settings(&self) -> Settings {
        let defaults = self.config.defaults;
        Settings {
            iterations: defaults.iterations,
            steps: defaults.steps.to_string(),
            late_steps: None,
            solver: Solver::default(),
            cfg: defaults.cfg,
            cfg_every: 1,
            cfg_schedule: CfgSchedule::default(),
            temperature: defaults.temperature,
            clip: self.config.clip_denoised,
            stride: 0,
        }
    }

    /// Starts decoding one image a label, each from its own seed: from `start`, or with every token masked.
    ///
    /// # Errors
    /// As [`Decoding::new`].
    pub fn decode(
        &self,
        images: &[(Label, u64)],
        order: impl Into<Order>,
        settings: Settings,
        start: Option<Standing>,
    ) -> Result<Decoding, SampleError> {
        let (order, grid) = (order.into(), self.config.model.grid());
        let plans =
            images.iter().map(|&(label, seed)| ImagePlan { label, order: order.positions(grid, seed) }).collect();
        let noise = Arc::new(SeededNoise::new(images.iter().map(|&(_, seed)| seed)));
        Decoding::new(self.network.clone(), settings, plans, noise, start)
    }

    /// The moment at which one image of `label` stands as `standing` says, to ask questions about.
    ///
    /// # Errors
    /// As [`Moment::new`].
    pub fn moment(&self, label: Label, standing: Standing) -> Result<Moment, SampleError> {
        Moment::new(self.network.clone(), label, standing)
    }

    /// The images that a decoding stands at, one after the other, each `[channels, height, width]` in `[-1, 1]`.
    pub fn images(&self, decoding: &Decoding) -> Vec<Vec<f32>> {
        let each = self.config.model.tokens() * self.config.model.token_dim();
        decoding.tokens().chunks_exact(each).map(|tokens| self.tokenizer.decode(tokens)).collect()
    }
}
