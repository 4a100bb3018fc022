//! Samples of a network in training: the same classes and seeds each time, so that one sees it learn.
//! Drawn by the fast engine on the processor, or in plain Burn on the GPU that trains, from weights copied to the host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::watch::{Watch, WatchError};
use crate::checkpoint::Checkpoint;
use crate::config::{Label, TokenizerKind, WeightsConfig};
use crate::engine::Engine;
use crate::grid::{Grid, GridError};
use crate::network::{Device, LoadError, Network};
use crate::replace::replace;
use crate::sampler::{OrderKind, SampleError};
use crate::tokenizer::{Autoencoder, KlError, LatentTokenizer};

/// Images of a grid, unless asked otherwise.
pub const SAMPLES: usize = 16;

/// What samples are drawn by.
#[derive(Clone)]
pub struct Drawing {
    /// Where the network computes.
    pub device: Device,
    /// What makes pictures of latents, if those are what the network draws.
    pub autoencoder: Option<Autoencoder>,
}

impl Drawing {
    /// On the device that trains: a GPU as it is, the processor by its fast engine.
    pub fn on(device: &burn::tensor::Device, autoencoder: Option<Autoencoder>) -> Self {
        let processor = *device == burn::tensor::Device::flex();
        Self { device: if processor { Device::Cpu } else { Device::Burn(device.clone()) }, autoencoder }
    }
}

/// Why no samples could be drawn or kept.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// The weights.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The autoencoder.
    #[error(transparent)]
    Kl(#[from] KlError),
    /// Decoding.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The picture.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// The picture's file.
    #[error("{}: {source}. The run's samples go there: make room or bring the folder back", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The records of the run.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// Draws `count` images from `weights` and shows them: in `out`/samples/step-00001000-ema.png and through `watch`. `tag`
/// says which weights they are: `ema` or `raw`. Where tokens are no picture, `watch` gets a note instead; where `stop` is
/// set meanwhile, nothing is shown.
///
/// # Errors
/// As [`SamplesError`] says.
pub fn show_samples(
    watch: &mut Watch,
    out: &Path,
    drawing: &Drawing,
    (config, weights): (&WeightsConfig, &Checkpoint),
    (step, tag): (usize, &str),
    count: usize,
    stop: &AtomicBool,
) -> Result<(), SamplesError> {
    if let Some(reason) = no_picture(config, drawing) {
        watch.note(&format!("no samples of step {step}: {reason}"));
        return Ok(());
    }
    let Some(grid) = draw(drawing, config, weights, count, stop)? else { return Ok(()) };
    let folder = out.join("samples");
    let path = folder.join(format!("step-{step:08}-{tag}.png"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| replace(&path, &grid.png()))
        .map_err(|source| SamplesError::Io { path, source })?;
    watch.images(step, tag, &grid)?;
    Ok(())
}

/// Why the tokens of `config` are no picture, if so.
fn no_picture(config: &WeightsConfig, drawing: &Drawing) -> Option<String> {
    let channels = config.model.vae_embed_dim;
    match config.tokenizer {
        TokenizerKind::Kl if drawing.autoencoder.is_none() => {
            Some(format!("its tokens are latents of {channels} channels: give their autoencoder, --kl, to see them"))
        }
        TokenizerKind::Pixel if !matches!(channels, 1 | 3) => Some(format!("its tokens have {channels} channels")),
        _ => None,
    }
}

/// `count` images, of the classes in turn and seeds from 0, under the settings that `config` names; `None` once `stop` is
/// set.
fn draw(
    drawing: &Drawing,
    config: &WeightsConfig,
    weights: &Checkpoint,
    count: usize,
    stop: &AtomicBool,
) -> Result<Option<Grid>, SamplesError> {
    let model = &config.model;
    let network = pollster::block_on(Network::load(model, weights, &drawing.device))?;
    let mut engine = Engine::new(config.clone(), network);
    if let (TokenizerKind::Kl, Some(autoencoder)) = (config.tokenizer, &drawing.autoencoder) {
        engine.tokenizer = Box::new(LatentTokenizer::new(autoencoder.clone(), config)?);
    }
    let plans: Vec<(Label, u64)> = (0..count).map(|i| (Some(i % model.class_num), i as u64)).collect();
    let mut decoding = engine.decode(&plans, OrderKind::Random, engine.settings(), None)?;
    while pollster::block_on(decoding.advance())?.is_some() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    let [channels, side] = engine.tokenizer.image();
    Ok(Some(Grid::new(&engine.images(&decoding), channels, side)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Mar;
    use crate::train::Preset;
    use crate::train::watch::WatchOptions;

    fn watch(out: &Path) -> Watch {
        let options = WatchOptions {
            log_every: 20,
            dashboard: false,
            tensorboard: true,
            roof: None,
            flops_per_example: 1.0,
            mask_ratio_min: 0.7,
            steps: 100,
            batch: 32,
        };
        Watch::open(out, options, 0, Arc::default()).unwrap()
    }

    fn drawing() -> Drawing {
        Drawing::on(&burn::tensor::Device::flex(), None)
    }

    fn tiny() -> (WeightsConfig, Checkpoint) {
        let mut config = Preset::Tiny.weights(&[]);
        config.defaults = crate::config::Defaults { iterations: 3, steps: 5, ..config.defaults };
        let weights = Mar::init(&config.model, 0, &burn::tensor::Device::flex()).to_checkpoint();
        (config, weights)
    }

    /// The picture is what `marscope sample` draws for the same class and seed, with other engines than this one too.
    #[test]
    fn a_sample_is_the_image_of_its_class_and_seed() {
        let (config, weights) = tiny();
        let out = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        show_samples(&mut watch(out.path()), out.path(), &drawing(), (&config, &weights), (1000, "ema"), 12, &stop)
            .unwrap();
        let file = std::fs::read(out.path().join("samples/step-00001000-ema.png")).unwrap();
        let picture = image::load_from_memory(&file).unwrap().to_luma8();
        assert_eq!(picture.dimensions(), (4 * 28, 3 * 28));

        let burn = Device::Burn(burn::tensor::Device::flex());
        let network = pollster::block_on(Network::load(&config.model, &weights, &burn)).unwrap();
        let engine = Engine::new(config, network);
        // The 12th: class 1 again, in the last place.
        let mut decoding = engine.decode(&[(Some(1), 11)], OrderKind::Random, engine.settings(), None).unwrap();
        while pollster::block_on(decoding.advance()).unwrap().is_some() {}
        for (at, &value) in engine.images(&decoding)[0].iter().enumerate() {
            let found = picture.get_pixel(3 * 28 + at as u32 % 28, 2 * 28 + at as u32 / 28).0[0];
            assert!(found.abs_diff(crate::tokenizer::to_byte(value)) <= 1, "pixel {at}");
        }
    }

    #[test]
    fn latents_are_left_out_and_a_stop_is_heeded() {
        let (mut config, weights) = tiny();
        let out = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(true);
        show_samples(&mut watch(out.path()), out.path(), &drawing(), (&config, &weights), (1, "raw"), 1, &stop)
            .unwrap();
        config.model = crate::config::MarConfig { vae_stride: 14, vae_embed_dim: 16, patch_size: 1, ..config.model };
        stop.store(false, Ordering::Relaxed);
        show_samples(&mut watch(out.path()), out.path(), &drawing(), (&config, &weights), (1, "raw"), 1, &stop)
            .unwrap();
        assert!(!out.path().join("samples").exists());
    }

    /// A grid of colour pictures, once there is what makes them of latents; before, only a note.
    #[test]
    fn latents_are_shown_through_their_autoencoder() {
        use crate::checkpoint::read_safetensors;
        use crate::tokenizer::{Kl, KlConfig};

        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity/kl-tiny");
        let config = KlConfig::parse(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        let checkpoint = read_safetensors(&std::fs::read(folder.join("model.safetensors")).unwrap()).unwrap();
        let device = burn::tensor::Device::flex();
        let kl = Kl::load(&config, &checkpoint, &device).unwrap();
        let with = Drawing::on(&device, Some(Autoencoder { kl, device: device.clone() }));

        let (mut config, _) = tiny();
        (config.tokenizer, config.clip_denoised, config.latent_scale) = (TokenizerKind::Kl, false, Some(0.5));
        let model =
            crate::config::MarConfig { img_size: 16, vae_stride: 2, vae_embed_dim: 4, patch_size: 2, ..config.model };
        config.model = model;
        let weights = Mar::init(&config.model, 0, &device).to_checkpoint();
        let (out, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
        for (drawing, there) in [(drawing(), false), (with, true)] {
            let shown = (&config, &weights);
            show_samples(&mut watch(out.path()), out.path(), &drawing, shown, (7, "raw"), 4, &stop).unwrap();
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
        // A file where the folder should be.
        std::fs::write(out.path().join("samples"), b"").unwrap();
        let stop = AtomicBool::new(false);
        let shown =
            show_samples(&mut watch(out.path()), out.path(), &drawing(), (&config, &weights), (1, "raw"), 1, &stop);
        let error = shown.unwrap_err().to_string();
        assert!(error.contains("step-00000001-raw.png"), "{error}");
    }
}
