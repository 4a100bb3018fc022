//! The KL autoencoder on the command line: the files it comes in, and pictures of the latents that weights draw.
//! It lies beside the weights that were trained on its latents; the published one is a file of its own, kl16.ckpt.

use std::path::{Path, PathBuf};

use super::device::Opened;
use super::{Failure, read};
use marscope_core::checkpoint::{Checkpoint, TensorSource};
use marscope_core::config::TokenizerKind;
use marscope_core::pipeline::Pipeline;
use marscope_core::tokenizer::{AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS, KlConfig, LatentTokenizer, TokenizerError};
use marscope_training::autoencoder::Kl;
use marscope_training::checkpoint::{Weights, open_weights};

/// The autoencoder that weights of latents need.
#[derive(Clone, clap::Args)]
pub struct KlArgs {
    /// The KL autoencoder, which turns latents into pictures: a folder with autoencoder.json and autoencoder.safetensors,
    /// kl16.ckpt, or a safetensors file [default: those two files of the weights folder]
    #[arg(long, value_name = "PATH")]
    kl: Option<PathBuf>,
    /// JSON file with the autoencoder's shape [default: autoencoder.json beside --kl, else KL-16]
    #[arg(long, value_name = "PATH", requires = "kl")]
    kl_config: Option<PathBuf>,
}

impl KlArgs {
    /// The autoencoder's files, if they were given.
    ///
    /// # Errors
    /// As [`KlFiles::new`].
    pub fn files(&self) -> Result<Option<KlFiles>, Failure> {
        self.kl.as_deref().map(|path| KlFiles::new(path, self.kl_config.as_deref())).transpose()
    }

    /// `pipeline`, whose weights lie in `folder` and whose network is on `device`, with the tokenizer that turns its tokens
    /// into pictures.
    ///
    /// # Errors
    /// When weights of latents have no autoencoder, or one that does not fit; or when weights of pixels get one.
    pub fn pictures(&self, pipeline: Pipeline, folder: &Path, device: &Opened) -> Result<Pipeline, Failure> {
        let name = &pipeline.config.name;
        if pipeline.config.tokenizer == TokenizerKind::Pixel {
            return match self.kl {
                None => Ok(pipeline),
                Some(_) => Err(format!("{name} draws pixels and needs no autoencoder: leave out --kl").into()),
            };
        }
        let files = match self.files()? {
            Some(files) => files,
            None if folder.join(AUTOENCODER_WEIGHTS).is_file() => KlFiles::new(folder, None)?,
            None => {
                let missing = TokenizerError::NoAutoencoder { channels: pipeline.config.model.vae_embed_dim };
                return Err(
                    format!("{}: {missing}, or give it with --kl, such as --kl kl16.ckpt", folder.display()).into()
                );
            }
        };
        let autoencoder = files.named(device.autoencoder(&files.config, &*files.open()?))?;
        let tokenizer = files.named(LatentTokenizer::new(autoencoder, &pipeline.config))?;
        Ok(pipeline.with_tokenizer(Box::new(tokenizer)))
    }
}

/// The files of an autoencoder, of which the shape is read.
pub struct KlFiles {
    /// The autoencoder's shape.
    pub config: KlConfig,
    /// Its parameters.
    pub weights: PathBuf,
}

impl KlFiles {
    /// Those of `path`, a folder or the file of the parameters. The shape is in the file `config`, or beside the parameters, or
    /// it is that of KL-16.
    ///
    /// # Errors
    /// Names the file that is missing, and what is wrong with the shape.
    pub fn new(path: &Path, config: Option<&Path>) -> Result<Self, Failure> {
        let weights = if path.is_dir() { path.join(AUTOENCODER_WEIGHTS) } else { path.to_owned() };
        let beside = weights.with_file_name(AUTOENCODER_CONFIG);
        let config = match config {
            Some(config) => shape(config)?,
            None if path.is_dir() || beside.is_file() => shape(&beside)?,
            None => KlConfig::kl16(),
        };
        Ok(Self { config, weights })
    }

    /// Opens the parameters.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub fn open(&self) -> Result<Box<dyn TensorSource>, Failure> {
        self.named(open_weights(&self.weights, Weights::Raw))
    }

    /// The autoencoder in plain Burn, on `device`.
    ///
    /// # Errors
    /// As [`Self::open`], or when the parameters do not fit.
    pub fn burn(&self, device: &burn::tensor::Device) -> Result<Kl, Failure> {
        let checkpoint = self.named(Checkpoint::read(&*self.open()?))?.without_prefix("loss.");
        self.named(Kl::load(&self.config, &checkpoint, device))
    }

    /// Names the file in an error.
    pub fn named<T, E: Into<Failure>>(&self, result: Result<T, E>) -> Result<T, Failure> {
        result.map_err(|error| format!("{}: {}", self.weights.display(), error.into()).into())
    }
}

/// The shape in the file `path`.
fn shape(path: &Path) -> Result<KlConfig, Failure> {
    let config = KlConfig::parse(&String::from_utf8_lossy(&read(path)?));
    Ok(config.map_err(|error| format!("{}: {error}", path.display()))?)
}
