//! The KL autoencoder on the command line: the files it comes in, and pictures of the latents that weights draw.
//! No weights folder holds it: users download the published file.

use std::path::{Path, PathBuf};

use super::device::DeviceKind;
use super::{Failure, read};
use marscope_core::config::TokenizerKind;
use marscope_core::pipeline::Pipeline;
use marscope_training::autoencoder::{Autoencoder, Kl, KlConfig, LatentTokenizer};
use marscope_training::checkpoint::{Weights, read_weights};

/// The autoencoder that weights of latents need.
#[derive(clap::Args)]
pub struct KlArgs {
    /// Weights of the KL autoencoder, which turns latents into pictures: kl16.ckpt or a safetensors file
    #[arg(long, value_name = "PATH")]
    kl: Option<PathBuf>,
    /// JSON file with the autoencoder's shape [default: KL-16]
    #[arg(long, value_name = "PATH", requires = "kl")]
    kl_config: Option<PathBuf>,
}

impl KlArgs {
    /// The autoencoder on `device`, if one was given.
    ///
    /// # Errors
    /// As [`open`].
    #[cfg(feature = "train")]
    pub fn autoencoder(&self, device: &burn::tensor::Device) -> Result<Option<Autoencoder>, Failure> {
        let Some(path) = &self.kl else { return Ok(None) };
        Ok(Some(open(path, &shape(self.kl_config.as_deref())?, device)?.0))
    }

    /// `pipeline` with the tokenizer that turns its tokens into pictures.
    ///
    /// # Errors
    /// When weights of latents get no autoencoder, or one that does not fit; or when weights of pixels get one.
    pub fn pictures(&self, pipeline: Pipeline, device: DeviceKind) -> Result<Pipeline, Failure> {
        let name = &pipeline.config.name;
        match (pipeline.config.tokenizer, &self.kl) {
            (TokenizerKind::Pixel, None) => Ok(pipeline),
            (TokenizerKind::Pixel, Some(_)) => {
                Err(format!("{name} draws pixels and needs no autoencoder: leave out --kl").into())
            }
            (TokenizerKind::Kl, None) => {
                Err(format!("{name} draws latents: give their autoencoder with --kl kl16.ckpt").into())
            }
            (TokenizerKind::Kl, Some(path)) => {
                let (autoencoder, _) = open(path, &shape(self.kl_config.as_deref())?, &device.burn()?)?;
                let tokenizer = LatentTokenizer::new(autoencoder, &pipeline.config);
                let tokenizer = tokenizer.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(pipeline.with_tokenizer(Box::new(tokenizer)))
            }
        }
    }
}

/// The shape in the file `path`; without a path, that of KL-16.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub fn shape(path: Option<&Path>) -> Result<KlConfig, Failure> {
    let Some(path) = path else { return Ok(KlConfig::kl16()) };
    let config = KlConfig::parse(&String::from_utf8_lossy(&read(path)?));
    Ok(config.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Reads the autoencoder of shape `config` from the file `path`. Returns it with the file's bytes.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub fn open(path: &Path, config: &KlConfig, device: &burn::tensor::Device) -> Result<(Autoencoder, Vec<u8>), Failure> {
    let bytes = read(path)?;
    let named = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let checkpoint = read_weights(&bytes, Weights::Raw).map_err(|error| named(&error))?.without_prefix("loss.");
    let kl = Kl::load(config, &checkpoint, device).map_err(|error| named(&error))?;
    Ok((Autoencoder { kl, device: device.clone() }, bytes))
}
