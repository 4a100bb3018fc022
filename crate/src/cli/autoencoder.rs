//! The KL autoencoder on the command line: the files it comes in, and pictures of the latents that weights draw.
//! It belongs to nobody's weights folder: everyone who trains on latents brings the published one.

use std::path::{Path, PathBuf};

use super::device::DeviceKind;
use super::{Failure, read};
use crate::checkpoint::{Checkpoint, Weights};
use crate::config::TokenizerKind;
use crate::engine::Engine;
use crate::tokenizer::{Autoencoder, Kl, KlConfig, LatentTokenizer};

/// The autoencoder that weights of latents need.
#[derive(clap::Args)]
pub struct KlArgs {
    /// Weights of the KL autoencoder, to make pictures of the latents that a network draws: kl16.ckpt, or a safetensors file
    #[arg(long, value_name = "PATH")]
    kl: Option<PathBuf>,
    /// JSON file of the autoencoder's shape [default: KL-16]
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

    /// `engine` with what makes pictures of its tokens.
    ///
    /// # Errors
    /// When the weights draw latents and no autoencoder was given, or another one than theirs, or one that they do not need.
    pub fn pictures(&self, engine: Engine, device: DeviceKind) -> Result<Engine, Failure> {
        let name = &engine.config.name;
        match (engine.config.tokenizer, &self.kl) {
            (TokenizerKind::Pixel, None) => Ok(engine),
            (TokenizerKind::Pixel, Some(_)) => {
                Err(format!("{name} draws pixels, and --kl is for weights that draw latents: leave it out").into())
            }
            (TokenizerKind::Kl, None) => {
                Err(format!("{name} draws latents: give the autoencoder of which they are, --kl kl16.ckpt").into())
            }
            (TokenizerKind::Kl, Some(path)) => {
                let (autoencoder, _) = open(path, &shape(self.kl_config.as_deref())?, &device.burn()?)?;
                let tokenizer = LatentTokenizer::new(autoencoder, &engine.config);
                let tokenizer = tokenizer.map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Engine { tokenizer: Box::new(tokenizer), ..engine })
            }
        }
    }
}

/// The shape in the file `path`, or, where there is none, that of KL-16.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub fn shape(path: Option<&Path>) -> Result<KlConfig, Failure> {
    let Some(path) = path else { return Ok(KlConfig::kl16()) };
    let config = KlConfig::parse(&String::from_utf8_lossy(&read(path)?));
    Ok(config.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The autoencoder of shape `config` in the file `path`, and the file's bytes.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub fn open(path: &Path, config: &KlConfig, device: &burn::tensor::Device) -> Result<(Autoencoder, Vec<u8>), Failure> {
    let bytes = read(path)?;
    let named = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let checkpoint = Checkpoint::read(&bytes, Weights::Raw).map_err(|error| named(&error))?.without_prefix("loss.");
    let kl = Kl::load(config, &checkpoint, device).map_err(|error| named(&error))?;
    Ok((Autoencoder { kl, device: device.clone() }, bytes))
}
