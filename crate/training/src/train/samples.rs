//! Sample images of a network in training: the same classes and seeds each time, so that progress is visible.
//! Drawn by the caller's engine or, without one, by plain Burn on the training device, from weights copied to the host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::watch::{Watch, WatchError};
use crate::grid::{Grid, GridError};
use crate::model::Mar;
use crate::replace::replace;
use marscope_core::checkpoint::{Checkpoint, CheckpointError};
use marscope_core::config::{Label, MarConfig, TokenizerKind, WeightsConfig};
use marscope_core::network::Network;
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{OrderKind, SampleError};
use marscope_core::tokenizer::{Autoencoder, LatentTokenizer, TokenizerError};

/// Default number of images in a grid.
pub const SAMPLES: usize = 16;

/// Loads the weights of a checkpoint into an engine.
pub type OpenNetwork = Arc<dyn Fn(&MarConfig, &Checkpoint) -> Result<Arc<dyn Network>, CheckpointError> + Send + Sync>;

/// An autoencoder that threads may share.
pub type SharedAutoencoder = Arc<dyn Autoencoder + Send + Sync>;

/// What draws the samples.
#[derive(Clone)]
pub struct SampleEngine {
    /// Loads the network.
    pub open: OpenNetwork,
    /// Turns latents into pictures, for networks that draw latents.
    pub autoencoder: Option<SharedAutoencoder>,
}

impl SampleEngine {
    /// In plain Burn on `device`.
    pub fn burn(device: &burn::tensor::Device, autoencoder: Option<SharedAutoencoder>) -> Self {
        let device = device.clone();
        Self { open: Arc::new(move |config, weights| Ok(Arc::new(Mar::load(config, weights, &device)?))), autoencoder }
    }
}

/// Why no samples could be drawn or kept.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// The weights.
    #[error(transparent)]
    Load(#[from] CheckpointError),
    /// Pictures of the tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Decoding.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The picture.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// The picture's file.
    #[error("{}: {source}. The run's samples are written there: free disk space or restore the folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The run's log files.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// Draws `count` images from `weights` and shows them: in `out`/samples/step-00001000-ema.png and through `watch`.
/// `tag` names the weights: `ema` or `raw`. If the tokens cannot be drawn as a picture, `watch` gets a note instead; if
/// `stop` is set meanwhile, nothing is shown.
///
/// # Errors
/// As [`SamplesError`] says.
pub fn show_samples(
    watch: &mut Watch,
    out: &Path,
    engine: &SampleEngine,
    (config, weights): (&WeightsConfig, &Checkpoint),
    (step, tag): (usize, &str),
    count: usize,
    stop: &AtomicBool,
) -> Result<(), SamplesError> {
    if let Some(reason) = no_picture(config, engine) {
        watch.note(&format!("no samples of step {step}: {reason}"));
        return Ok(());
    }
    let Some(grid) = draw(engine, config, weights, count, stop)? else { return Ok(()) };
    let folder = out.join("samples");
    let path = folder.join(format!("step-{step:08}-{tag}.png"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| replace(&path, &grid.png()))
        .map_err(|source| SamplesError::Io { path, source })?;
    watch.images(step, tag, &grid)?;
    Ok(())
}

/// Why the tokens of `config` cannot be drawn as a picture; `None` if they can.
fn no_picture(config: &WeightsConfig, engine: &SampleEngine) -> Option<String> {
    let channels = config.model.vae_embed_dim;
    match config.tokenizer {
        TokenizerKind::Kl if engine.autoencoder.is_none() => {
            Some(format!("its tokens are latents of {channels} channels: give their autoencoder with --kl"))
        }
        TokenizerKind::Pixel if !matches!(channels, 1 | 3) => Some(format!("its tokens have {channels} channels")),
        _ => None,
    }
}

/// `count` images, of the classes in turn and with seeds from 0, with the default settings of `config`; `None` once
/// `stop` is set.
fn draw(
    engine: &SampleEngine,
    config: &WeightsConfig,
    weights: &Checkpoint,
    count: usize,
    stop: &AtomicBool,
) -> Result<Option<Grid>, SamplesError> {
    let model = &config.model;
    let mut pipeline = Pipeline::new(config.clone(), (engine.open)(model, weights)?);
    if let (TokenizerKind::Kl, Some(autoencoder)) = (config.tokenizer, &engine.autoencoder) {
        pipeline = pipeline.with_tokenizer(Box::new(LatentTokenizer::new(autoencoder.clone(), config)?));
    }
    let plans: Vec<(Label, u64)> = (0..count).map(|i| (Some(i % model.class_num), i as u64)).collect();
    let mut decoding = pipeline.decode(&plans, OrderKind::Random, pipeline.settings(), None)?;
    while pollster::block_on(decoding.advance())?.is_some() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    let [channels, side] = pipeline.tokenizer()?.image();
    Ok(Some(Grid::new(&pollster::block_on(pipeline.images(decoding.tokens()))?, channels, side)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Preset;
    use crate::train::watch::WatchOptions;

    fn watch(out: &Path) -> Watch {
        let options = WatchOptions {
            log_every: 20,
            dashboard: false,
            tensorboard: true,
            roof: None,
            flops_per_example: 1.0,
            mask_ratio_min: Some(0.7),
            steps: 100,
            batch: 32,
        };
        Watch::open(out, options, 0, Arc::default()).unwrap()
    }

    fn engine() -> SampleEngine {
        SampleEngine::burn(&burn::tensor::Device::flex(), None)
    }

    fn tiny() -> (WeightsConfig, Checkpoint) {
        let mut config = Preset::Tiny.weights(&[]);
        config.defaults = marscope_core::config::Defaults { iterations: 3, steps: 5, ..config.defaults };
        let weights = Mar::init(&config.model, 0, &burn::tensor::Device::flex()).to_checkpoint();
        (config, weights)
    }

    /// The picture equals that of `marscope sample` for the same class and seed, with every engine.
    #[test]
    fn a_sample_is_the_image_of_its_class_and_seed() {
        let (config, weights) = tiny();
        let out = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        show_samples(&mut watch(out.path()), out.path(), &engine(), (&config, &weights), (1000, "ema"), 12, &stop)
            .unwrap();
        let file = std::fs::read(out.path().join("samples/step-00001000-ema.png")).unwrap();
        let picture = image::load_from_memory(&file).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (4 * 28, 3 * 28));

        let network = Mar::load(&config.model, &weights, &burn::tensor::Device::flex()).unwrap();
        let pipeline = Pipeline::new(config, Arc::new(network));
        // The 12th: class 1 again, in the last place.
        let mut decoding = pipeline.decode(&[(Some(1), 11)], OrderKind::Random, pipeline.settings(), None).unwrap();
        while pollster::block_on(decoding.advance()).unwrap().is_some() {}
        for (at, &value) in pollster::block_on(pipeline.images(decoding.tokens())).unwrap()[0].iter().enumerate() {
            let found = picture.get_pixel(3 * 28 + at as u32 % 28, 2 * 28 + at as u32 / 28).0[0];
            assert!(found.abs_diff(marscope_core::tokenizer::to_byte(value)) <= 1, "pixel {at}");
        }
    }

    #[test]
    fn latents_are_left_out_and_a_stop_is_heeded() {
        let (mut config, weights) = tiny();
        let out = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(true);
        show_samples(&mut watch(out.path()), out.path(), &engine(), (&config, &weights), (1, "raw"), 1, &stop).unwrap();
        config.model =
            marscope_core::config::MarConfig { vae_stride: 14, vae_embed_dim: 16, patch_size: 1, ..config.model };
        stop.store(false, Ordering::Relaxed);
        show_samples(&mut watch(out.path()), out.path(), &engine(), (&config, &weights), (1, "raw"), 1, &stop).unwrap();
        assert!(!out.path().join("samples").exists());
    }

    /// With an autoencoder, a grid of colour pictures; without one, only a note.
    #[test]
    fn latents_are_shown_through_their_autoencoder() {
        use crate::autoencoder::Kl;
        use marscope_core::checkpoint::read_safetensors;
        use marscope_core::tokenizer::KlConfig;

        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity/kl-tiny");
        let config = KlConfig::parse(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        let checkpoint = read_safetensors(&std::fs::read(folder.join("model.safetensors")).unwrap()).unwrap();
        let device = burn::tensor::Device::flex();
        let kl = Kl::load(&config, &checkpoint, &device).unwrap();
        let with = SampleEngine::burn(&device, Some(Arc::new(kl)));

        let (mut config, _) = tiny();
        (config.tokenizer, config.clip_denoised, config.latent_scale) = (TokenizerKind::Kl, None, Some(0.5));
        let model = marscope_core::config::MarConfig {
            img_size: 16,
            vae_stride: 2,
            vae_embed_dim: 4,
            patch_size: 2,
            ..config.model
        };
        config.model = model;
        let weights = Mar::init(&config.model, 0, &device).to_checkpoint();
        let (out, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
        for (engine, there) in [(engine(), false), (with, true)] {
            let shown = (&config, &weights);
            show_samples(&mut watch(out.path()), out.path(), &engine, shown, (7, "raw"), 4, &stop).unwrap();
            let file = out.path().join("samples/step-00000007-raw.png");
            assert_eq!(file.exists(), there);
            if there {
                let picture = image::open(file).unwrap();
                assert_eq!((picture.width(), picture.height()), (2 * 16, 2 * 16));
                assert!(picture.to_rgb8().pixels().any(|pixel| pixel.0[0] != pixel.0[1]), "in colour");
            }
        }
    }

    #[test]
    fn a_folder_that_was_removed_is_an_error_that_names_the_file() {
        let (config, weights) = tiny();
        let out = tempfile::tempdir().unwrap();
        // A file is in the folder's place.
        std::fs::write(out.path().join("samples"), b"").unwrap();
        let stop = AtomicBool::new(false);
        let shown =
            show_samples(&mut watch(out.path()), out.path(), &engine(), (&config, &weights), (1, "raw"), 1, &stop);
        let error = shown.unwrap_err().to_string();
        assert!(error.contains("step-00000001-raw.png"), "{error}");
    }
}
