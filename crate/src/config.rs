//! What a weights folder says of itself: the network's shape under the official constructor's names, and how to use it.
//! Section 4 and appendix B of the paper give the presets.

use serde::{Deserialize, Serialize};

/// The class of an image; `None` is the unconditional branch (the learned fake latent).
pub type Label = Option<usize>;

/// The network's shape, under the names of the official constructor's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarConfig {
    /// Side of the square image, in pixels.
    pub img_size: usize,
    /// Pixels a tokenizer position covers, per side (1 for pixel patches).
    pub vae_stride: usize,
    /// Tokenizer positions a token covers, per side.
    pub patch_size: usize,
    /// Channels of the tokenizer's output (of the image itself for pixel patches).
    pub vae_embed_dim: usize,
    /// Encoder width.
    pub encoder_embed_dim: usize,
    /// Encoder blocks.
    pub encoder_depth: usize,
    /// Encoder attention heads.
    pub encoder_num_heads: usize,
    /// Decoder width; also the width of z.
    pub decoder_embed_dim: usize,
    /// Decoder blocks.
    pub decoder_depth: usize,
    /// Decoder attention heads.
    pub decoder_num_heads: usize,
    /// Hidden width of a block's MLP over its width.
    #[serde(default = "four")]
    pub mlp_ratio: f64,
    /// Number of classes.
    pub class_num: usize,
    /// Buffer positions in front of the tokens, each holding the class embedding.
    pub buffer_size: usize,
    /// Residual blocks of the denoising head.
    pub diffloss_d: usize,
    /// Width of the denoising head.
    pub diffloss_w: usize,
    /// Default respacing of the reverse process: a count such as `100`, or `ddim25`.
    pub num_sampling_steps: String,
    /// Times each token is noised per training pass.
    #[serde(default = "one")]
    pub diffusion_batch_mul: usize,
}

fn four() -> f64 {
    4.0
}

fn one() -> usize {
    1
}

impl MarConfig {
    /// Tokens per side of the grid.
    pub fn grid(&self) -> usize {
        self.img_size / self.vae_stride / self.patch_size
    }

    /// Sequence length L: tokens of one image.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid()
    }

    /// Numbers a token holds, C.
    pub fn token_dim(&self) -> usize {
        self.vae_embed_dim * self.patch_size * self.patch_size
    }

    /// Numbers in the network.
    pub fn parameters(&self) -> usize {
        let linear = |d_in: usize, d_out: usize| (d_in + 1) * d_out;
        let stack = |width: usize, depth: usize| {
            let hidden = (width as f64 * self.mlp_ratio) as usize;
            let block = linear(width, 3 * width)
                + linear(width, width)
                + linear(width, hidden)
                + linear(hidden, width)
                + 4 * width;
            // Position table, blocks, the norm behind them.
            (self.buffer_size + self.tokens()) * width + depth * block + 2 * width
        };
        let (encoder, decoder, head) = (self.encoder_embed_dim, self.decoder_embed_dim, self.diffloss_w);
        let in_front = (self.class_num + 1) * encoder + linear(self.token_dim(), encoder) + 2 * encoder;
        // `decoder_embed`, the mask token, the position table behind the decoder.
        let between = linear(encoder, decoder) + decoder + self.tokens() * decoder;
        let time = linear(256, head) + linear(head, head);
        let res_block = 2 * head + 2 * linear(head, head) + linear(head, 3 * head);
        let last = linear(head, 2 * head) + linear(head, 2 * self.token_dim());
        let net = linear(self.token_dim(), head) + time + linear(decoder, head) + self.diffloss_d * res_block + last;
        in_front + stack(encoder, self.encoder_depth) + between + stack(decoder, self.decoder_depth) + net
    }

    /// Checks that the parts fit each other and stay within what memory can hold.
    ///
    /// # Errors
    /// Names the first field that does not fit, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let whole = |name: &'static str, value: usize, most: usize| {
            if value == 0 || value > most { Err(ConfigError::Range { name, value, most }) } else { Ok(()) }
        };
        whole("img_size", self.img_size, 4096)?;
        whole("vae_stride", self.vae_stride, 64)?;
        whole("patch_size", self.patch_size, 64)?;
        whole("vae_embed_dim", self.vae_embed_dim, 256)?;
        whole("encoder_embed_dim", self.encoder_embed_dim, 8192)?;
        whole("decoder_embed_dim", self.decoder_embed_dim, 8192)?;
        whole("encoder_depth", self.encoder_depth, 256)?;
        whole("decoder_depth", self.decoder_depth, 256)?;
        whole("encoder_num_heads", self.encoder_num_heads, 256)?;
        whole("decoder_num_heads", self.decoder_num_heads, 256)?;
        whole("class_num", self.class_num, 1_000_000)?;
        whole("buffer_size", self.buffer_size, 4096)?;
        whole("diffloss_d", self.diffloss_d, 256)?;
        whole("diffloss_w", self.diffloss_w, 8192)?;
        whole("diffusion_batch_mul", self.diffusion_batch_mul, 64)?;
        let divides = |name: &'static str, value: usize, by: usize| {
            if value.is_multiple_of(by) { Ok(()) } else { Err(ConfigError::Divides { name, value, by }) }
        };
        divides("img_size", self.img_size, self.vae_stride * self.patch_size)?;
        divides("encoder_embed_dim", self.encoder_embed_dim, self.encoder_num_heads)?;
        divides("decoder_embed_dim", self.decoder_embed_dim, self.decoder_num_heads)?;
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0) {
            return Err(ConfigError::MlpRatio(self.mlp_ratio));
        }
        Ok(())
    }
}

/// How pixels become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    /// Patches of the image itself, in `[-1, 1]`.
    Pixel,
    /// Latents of the KL autoencoder, scaled to unit variance. The autoencoder is not part of the weights.
    Kl,
}

/// Settings that show the weights at their best; what the page and the command line start from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defaults {
    /// Guidance scale.
    pub cfg: f32,
    /// Decoding iterations K.
    pub iterations: usize,
    /// Diffusion steps an iteration.
    pub steps: usize,
    /// Scale of the noise added at each reverse step.
    pub temperature: f32,
}

/// `config.json` of a weights folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsConfig {
    /// Name of the weights.
    pub name: String,
    /// Class names, `class_num` of them.
    pub classes: Vec<String>,
    /// The tokenizer in front of the network.
    pub tokenizer: TokenizerKind,
    /// What the autoencoder's latents are multiplied by to be tokens, for [`TokenizerKind::Kl`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_scale: Option<f32>,
    /// Clip the predicted clean token to `[-1, 1]` at every reverse step: exact for pixels, wrong for latents.
    pub clip_denoised: bool,
    /// Settings to start from.
    pub defaults: Defaults,
    /// The network's shape.
    pub model: MarConfig,
}

/// The scale of the paper's KL-16 on `ImageNet`, and of latents of which none is said.
pub const PAPER_LATENT_SCALE: f32 = 0.2325;

impl WeightsConfig {
    /// Channels of the images: those of the tokens, or the three of an autoencoder.
    pub fn channels(&self) -> usize {
        match self.tokenizer {
            TokenizerKind::Pixel => self.model.vae_embed_dim,
            TokenizerKind::Kl => 3,
        }
    }

    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// Says what is not JSON, missing, or does not fit.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(json)?;
        config.model.validate()?;
        if let Some(scale) = config.latent_scale.filter(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err(ConfigError::LatentScale(scale));
        }
        if config.classes.len() != config.model.class_num {
            return Err(ConfigError::Classes { named: config.classes.len(), class_num: config.model.class_num });
        }
        Ok(config)
    }
}

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("config.json: {0}. Compare it with weights/fashion/config.json")]
    Json(#[from] serde_json::Error),
    /// A number is zero or too large.
    #[error("config.json: {name} is {value}; it must be 1 to {most}")]
    Range {
        /// The field.
        name: &'static str,
        /// What it says.
        value: usize,
        /// The largest allowed.
        most: usize,
    },
    /// One number must divide another.
    #[error("config.json: {name} is {value}, which {by} does not divide")]
    Divides {
        /// The field.
        name: &'static str,
        /// What it says.
        value: usize,
        /// The divisor.
        by: usize,
    },
    /// The MLP ratio is no positive number.
    #[error("config.json: mlp_ratio is {0}; it must be over 0 and at most 64")]
    MlpRatio(f64),
    /// The scale of latents is no positive number.
    #[error("config.json: latent_scale is {0}; it must be a number over 0")]
    LatentScale(f32),
    /// The class names do not match the class count.
    #[error("config.json: {named} class names for class_num {class_num}")]
    Classes {
        /// Names given.
        named: usize,
        /// Classes of the network.
        class_num: usize,
    },
}
