//! `config.json` of a weights folder: the network's shape, with the official constructor's argument names, and its use.
//! Section 4 and appendix B of the paper give the presets.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::diffusion::{Schedule, ScheduleError, Solver};
use crate::head::HeadKind;
use crate::sampler::settings::{CFG, STEPS, TEMPERATURE};
use crate::sampler::{CfgSchedule, Settings};
use crate::tokens::TokenKind;

/// The class of an image; `None` is the unconditional branch (the learned fake latent).
pub type Label = Option<usize>;

/// The network's shape, under the names of the official constructor's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// The kind of head, which draws tokens from z.
    #[serde(default)]
    pub head: HeadKind,
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

    /// The kind of its tokens.
    pub fn token_kind(&self) -> TokenKind {
        match self.head {
            HeadKind::Diffusion => TokenKind::Continuous { dim: self.token_dim() },
        }
    }

    /// Hidden width of the MLP in a block of `width`.
    fn hidden(&self, width: usize) -> usize {
        (width as f64 * self.mlp_ratio) as usize
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        let linear = |d_in: usize, d_out: usize| (d_in + 1) * d_out;
        let stack = |width: usize, depth: usize| {
            let hidden = self.hidden(width);
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

    /// Checks that the fields are in range and fit each other.
    ///
    /// # Errors
    /// Names the first field that does not fit, and its range.
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
        let narrowest = self.hidden(self.encoder_embed_dim.min(self.decoder_embed_dim));
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0 && narrowest > 0) {
            let least = 1.0 / self.encoder_embed_dim.min(self.decoder_embed_dim) as f64;
            return Err(ConfigError::MlpRatio { value: self.mlp_ratio, least });
        }
        Schedule::respaced(&self.num_sampling_steps).map_err(ConfigError::SamplingSteps)?;
        Ok(())
    }
}

/// How pixels become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum TokenizerKind {
    /// Patches of the image itself, in `[-1, 1]`.
    Pixel,
    /// Latents of the KL autoencoder, scaled to unit variance. The autoencoder is not part of the weights.
    Kl,
}

/// Default settings of the page and the command line for these weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Defaults {
    /// Guidance scale.
    pub cfg: f32,
    /// How the guidance scale changes over the iterations; weights from before this field was there are linear.
    #[serde(default)]
    pub cfg_schedule: CfgSchedule,
    /// Decoding iterations K.
    pub iterations: usize,
    /// Diffusion steps an iteration.
    pub steps: usize,
    /// How the reverse process is solved; weights from before this field was there use DDPM.
    #[serde(default)]
    pub solver: Solver,
    /// Scale of the noise added at each reverse step.
    pub temperature: f32,
}

/// The version of `config.json` that this code writes, and the only one that it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigVersion;

impl ConfigVersion {
    const NUMBER: u64 = 1;
}

impl Serialize for ConfigVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for ConfigVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(serde::de::Error::custom(format!(
                "version is {other}, and this program reads version {}: use a marscope as new as the weights",
                Self::NUMBER
            ))),
        }
    }
}

impl Defaults {
    /// The settings that they stand for.
    pub fn settings(&self) -> Settings {
        Settings {
            cfg: self.cfg,
            cfg_schedule: self.cfg_schedule,
            iterations: self.iterations,
            steps: self.steps.into(),
            late_steps: None,
            solver: self.solver,
            cfg_every: 1,
            temperature: self.temperature,
        }
    }

    /// Checks them for images of `tokens` tokens.
    fn validate(&self, tokens: usize) -> Result<(), ConfigError> {
        let ranges = [
            ("cfg", f64::from(self.cfg), f64::from(*CFG.start()), f64::from(*CFG.end())),
            ("iterations", self.iterations as f64, 1.0, tokens as f64),
            ("steps", self.steps as f64, *STEPS.start() as f64, *STEPS.end() as f64),
            (
                "temperature",
                f64::from(self.temperature),
                f64::from(*TEMPERATURE.start()),
                f64::from(*TEMPERATURE.end()),
            ),
        ];
        match ranges.into_iter().find(|&(_, value, least, most)| !(least..=most).contains(&value)) {
            None => Ok(()),
            Some((name, value, least, most)) => Err(ConfigError::Default { name, value, least, most }),
        }
    }
}

/// `config.json` of a weights folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsConfig {
    /// Of the file; weights from before there was one say none.
    #[serde(default)]
    pub version: ConfigVersion,
    /// Name of the weights.
    pub name: String,
    /// Class names, `class_num` of them.
    pub classes: Vec<String>,
    /// The tokenizer in front of the network.
    pub tokenizer: TokenizerKind,
    /// Factor from the autoencoder's latents to tokens, for [`TokenizerKind::Kl`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_scale: Option<f32>,
    /// Where the predicted clean token is clipped at every reverse step: B for `[-B, B]`, `None` for nowhere. In the file,
    /// `true` is the official `[-1, 1]`, exact for pixels; `false` is nowhere; a number is B, for latents.
    #[serde(with = "clip_denoised")]
    pub clip_denoised: Option<f32>,
    /// Settings to start from.
    pub defaults: Defaults,
    /// The network's shape.
    pub model: MarConfig,
}

/// `clip_denoised` in the file.
mod clip_denoised {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Clip {
        Officially(bool),
        To(f32),
    }

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        clippy::ref_option,
        reason = "serde's signature; one is a lint of 64 bits"
    )]
    #[expect(clippy::float_cmp, reason = "exactly the official bound")]
    pub fn serialize<S: Serializer>(clip: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        match *clip {
            Some(bound) if bound != 1.0 => Clip::To(bound),
            clip => Clip::Officially(clip.is_some()),
        }
        .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
        match Clip::deserialize(deserializer) {
            Ok(Clip::Officially(clip)) => Ok(clip.then_some(1.0)),
            Ok(Clip::To(bound)) if bound.is_finite() && bound > 0.0 => Ok(Some(bound)),
            _ => Err(D::Error::custom("clip_denoised is true, false or a number over 0")),
        }
    }
}

/// The scale of the paper's KL-16 on `ImageNet`; the default if `latent_scale` is missing.
pub const PAPER_LATENT_SCALE: f32 = 0.2325;

impl WeightsConfig {
    /// Channels of the images: those of the tokens for pixels, three with an autoencoder.
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
        if config.name.trim().is_empty() {
            return Err(ConfigError::Name);
        }
        config.model.validate()?;
        config.defaults.validate(config.model.tokens())?;
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
    #[error("config.json: {name} is {value}; it must be a multiple of {by}")]
    Divides {
        /// The field.
        name: &'static str,
        /// What it says.
        value: usize,
        /// The divisor.
        by: usize,
    },
    /// The MLP ratio is no number, too large, or leaves a block's MLP without a hidden unit.
    #[error("config.json: mlp_ratio is {value}; it must be {least} to 64, so that the narrowest MLP has a hidden unit")]
    MlpRatio {
        /// What it says.
        value: f64,
        /// The smallest allowed.
        least: f64,
    },
    /// The default respacing cannot be had.
    #[error("config.json: num_sampling_steps: {0}")]
    SamplingSteps(ScheduleError),
    /// A setting to start from is out of range.
    #[error("config.json: defaults.{name} is {value}; it must be {least} to {most}")]
    Default {
        /// The field of `defaults`.
        name: &'static str,
        /// What it says.
        value: f64,
        /// The smallest allowed.
        least: f64,
        /// The largest allowed.
        most: f64,
    },
    /// The weights have no name.
    #[error("config.json: name is empty; it must say what the weights are called")]
    Name,
    /// The scale of latents is no positive number.
    #[error("config.json: latent_scale is {0}; it must be a number over 0")]
    LatentScale(f32),
    /// The class names do not match the class count.
    #[error("config.json: it names {named} classes, but class_num is {class_num}")]
    Classes {
        /// Names given.
        named: usize,
        /// Classes of the network.
        class_num: usize,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::preset::Preset;

    fn fashion() -> Value {
        serde_json::to_value(Preset::Fashion.weights(&[])).unwrap()
    }

    /// What is said of `config.json` with `value` at `at`, a path of field names.
    fn refusal(at: &[&str], value: Value) -> String {
        let mut config = fashion();
        let place = at.iter().fold(&mut config, |config, &name| &mut config[name]);
        *place = value;
        WeightsConfig::parse(&config.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn the_version_is_written_and_others_are_refused() {
        assert_eq!(fashion()["version"], json!(1));
        let mut config = fashion();
        config.as_object_mut().unwrap().remove("version");
        assert_eq!(WeightsConfig::parse(&config.to_string()).unwrap(), Preset::Fashion.weights(&[]));
        assert!(refusal(&["version"], json!(2)).contains("version is 2, and this program reads version 1"));
    }

    #[test]
    fn defaults_from_before_the_schedule_and_the_solver_read_as_they_were_meant() {
        let mut config = fashion();
        let defaults = config["defaults"].as_object_mut().unwrap();
        assert_eq!((&defaults["cfg_schedule"], &defaults["solver"]), (&json!("linear"), &json!("ddpm")));
        defaults.remove("cfg_schedule");
        defaults.remove("solver");
        assert_eq!(WeightsConfig::parse(&config.to_string()).unwrap(), Preset::Fashion.weights(&[]));
        config["defaults"]["cfg_schedule"] = json!("constant");
        config["defaults"]["solver"] = json!("dpm");
        let Defaults { cfg_schedule, solver, .. } = WeightsConfig::parse(&config.to_string()).unwrap().defaults;
        assert_eq!((cfg_schedule, solver), (CfgSchedule::Constant, Solver::Dpm));
        assert!(refusal(&["defaults", "solver"], json!("euler")).contains("unknown variant `euler`"));
    }

    #[test]
    fn tokens_are_clipped_officially_to_a_bound_or_not_at_all() {
        let mut config = fashion();
        for (written, read) in [(json!(true), Some(1.0)), (json!(false), None), (json!(2.5), Some(2.5))] {
            config["clip_denoised"] = written.clone();
            let parsed = WeightsConfig::parse(&config.to_string()).unwrap();
            assert_eq!(parsed.clip_denoised, read);
            assert_eq!(serde_json::to_value(&parsed).unwrap()["clip_denoised"], written);
        }
        for refused in [json!(0), json!(-1), json!(1e99), json!("yes"), json!(null)] {
            assert!(refusal(&["clip_denoised"], refused).contains("true, false or a number over 0"));
        }
    }

    #[test]
    fn unknown_fields_are_named() {
        for at in [&["clip_denoise"][..], &["defaults", "cfgs"], &["model", "mlp"]] {
            let message = refusal(at, json!(1));
            assert!(message.contains(&format!("unknown field `{}`", at.last().unwrap())), "{message}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_range() {
        let cases = [
            (&["name"][..], json!(" "), "name is empty"),
            (&["latent_scale"], json!(0), "latent_scale is 0"),
            (&["classes"], json!([]), "it names 0 classes, but class_num is 10"),
            (&["defaults", "cfg"], json!(-1), "defaults.cfg is -1; it must be 0 to 20"),
            (&["defaults", "cfg"], json!(1e300), "defaults.cfg is inf"),
            (&["defaults", "iterations"], json!(0), "defaults.iterations is 0; it must be 1 to 49"),
            (&["defaults", "iterations"], json!(50), "defaults.iterations is 50; it must be 1 to 49"),
            (&["defaults", "steps"], json!(1), "defaults.steps is 1; it must be 2 to 1000"),
            (&["defaults", "temperature"], json!(2.5), "defaults.temperature is 2.5; it must be 0 to 2"),
            (&["model", "mlp_ratio"], json!(0.001), "mlp_ratio is 0.001; it must be 0.0078125 to 64"),
            (&["model", "mlp_ratio"], json!(0), "mlp_ratio is 0;"),
            (&["model", "mlp_ratio"], json!(65), "mlp_ratio is 65;"),
            (&["model", "num_sampling_steps"], json!("1"), "num_sampling_steps: 1 diffusion steps are too few"),
            (&["model", "num_sampling_steps"], json!("many"), "num_sampling_steps: 'many' is not a respacing"),
            (&["model", "encoder_num_heads"], json!(0), "encoder_num_heads is 0; it must be 1 to 256"),
            (&["model", "encoder_num_heads"], json!(3), "encoder_embed_dim is 128; it must be a multiple of 3"),
            (&["model", "img_size"], json!(30), "img_size is 30; it must be a multiple of 4"),
            (&["model", "head"], json!("flow"), "flow"),
        ];
        for (at, value, expected) in cases {
            let message = refusal(at, value);
            assert!(message.contains(expected), "{at:?}: {message}");
        }
    }

    #[test]
    fn a_ratio_that_is_no_number_is_refused() {
        let model = Preset::Tiny.weights(&[]).model;
        for mlp_ratio in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(MarConfig { mlp_ratio, ..model.clone() }.validate().is_err(), "{mlp_ratio}");
        }
    }
}
