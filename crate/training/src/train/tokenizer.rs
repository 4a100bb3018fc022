//! The training task of the autoencoder: pictures through encoder and decoder, and the loss of the reconstruction.
//! Rombach et al., arXiv 2112.10752, appendix G, without the discriminator and the perceptual loss.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::plan::pretty;
use super::task::{Kept, Pass, Place, Task, Trainable};
use super::tokenizer_quality::{self as quality, SHOWN};
use super::watch::Watch;
use super::{Recipe, SamplesError, TrainError};
use crate::autoencoder::{Kl, Posterior, multiplications};
use crate::data::{Example, ImageSet, TokenShape};
use crate::model::Names;
use crate::replace::replace;
use marscope_core::checkpoint::{Checkpoint, CheckpointError, Precision, write_safetensors};
use marscope_core::random::Philox;
use marscope_core::tokenizer::{AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS, KlConfig};

/// Weights of the parts of the loss. Each part is a mean over pixels, in `[-1, 1]`, or over latent numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossWeights {
    /// Absolute difference of pixels.
    pub absolute: f32,
    /// Squared difference of pixels.
    pub squared: f32,
    /// Absolute difference of the image gradients, vertical plus horizontal.
    pub edges: f32,
    /// Kullback-Leibler divergence of the latents from a standard normal distribution.
    pub kl: f32,
}

/// The autoencoder and its recipe. The same plan and data give the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenizerPlan {
    /// The autoencoder's shape.
    pub autoencoder: KlConfig,
    /// The weights of the loss.
    pub loss: LossWeights,
    /// The recipe.
    pub recipe: Recipe,
    /// Total number of steps.
    pub steps: usize,
    /// Steps of warm-up.
    pub warmup: usize,
    /// Train the decoder alone. The latents stay as they are, and so a network that was trained on them still fits.
    #[serde(default)]
    pub decoder_only: bool,
}

impl TokenizerPlan {
    /// Plans the training of `autoencoder` with `recipe` on `examples` pictures.
    pub fn new(autoencoder: KlConfig, loss: LossWeights, recipe: Recipe, examples: usize) -> Self {
        let [steps, warmup] = recipe.length(examples);
        Self { autoencoder, loss, recipe, steps, warmup, decoder_only: false }
    }
}

/// A plan with its validation pictures.
#[derive(Clone, Debug)]
pub struct TokenizerTask {
    /// The plan.
    pub plan: TokenizerPlan,
    /// Pictures that are not trained on.
    pub validation: ImageSet,
}

/// A batch: pictures, and the noise that their latents are sampled with.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    /// `[count, 3, side, side]`, in `[-1, 1]`.
    pub pixels: Vec<f32>,
    /// Standard normal, `[count, embed_dim, side / stride, side / stride]`.
    pub noise: Vec<f32>,
    count: usize,
}

/// Address of the noise in the random stream. MAR's batches and the loader use lower numbers.
const NOISE: u32 = 9;

impl Trainable for Kl {
    fn names(&self) -> &Names {
        self.names()
    }

    fn device(&self) -> Device {
        self.device()
    }

    fn with(&self, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        Self::of(self.config(), checkpoint, &self.device())
    }
}

impl Task for TokenizerTask {
    type Model = Kl;
    type Batch = Pictures;
    const PARTS: &'static [&'static str] = &["absolute", "squared", "edges", "kl"];

    fn recipe(&self) -> &Recipe {
        &self.plan.recipe
    }

    fn steps(&self) -> [usize; 2] {
        [self.plan.steps, self.plan.warmup]
    }

    fn record(&self) -> String {
        pretty(&self.plan)
    }

    fn examples(&self) -> TokenShape {
        // Whole pictures of any class.
        TokenShape { tokens: 1, dim: 3 * self.plan.autoencoder.resolution.pow(2), classes: usize::MAX }
    }

    fn init(&self, device: &Device) -> Kl {
        Kl::init(&self.plan.autoencoder, self.plan.recipe.seed, device).expect("the shape was checked")
    }

    fn draw(&self, examples: &[Example], slots: Range<usize>, step: usize) -> Pictures {
        let philox = Philox::new(self.plan.recipe.seed);
        let config = &self.plan.autoencoder;
        let each = config.embed_dim * (config.resolution / config.stride()).pow(2);
        let mut noise = vec![0.0; examples.len() * each];
        for (slot, noise) in slots.zip(noise.chunks_exact_mut(each)) {
            philox.normal([NOISE, (step * self.plan.recipe.batch + slot) as u32, 0], noise);
        }
        let pixels = examples.iter().flat_map(|example| &example.tokens).copied().collect();
        Pictures { pixels, noise, count: examples.len() }
    }

    fn pass(&self, model: &Kl, batch: &Pictures, _: bool) -> Pass {
        let config = model.config();
        let upload = |numbers: &[f32], channels: usize, side: usize| {
            let data = TensorData::new(numbers.to_vec(), [batch.count, channels, side, side]);
            Tensor::<4>::from_data(data, &model.device())
        };
        let image = upload(&batch.pixels, 3, config.resolution);
        let noise = upload(&batch.noise, config.embed_dim, config.resolution / config.stride());
        let mut posterior = model.encode(image.clone());
        if self.plan.decoder_only {
            posterior = Posterior { mean: posterior.mean.detach(), logvar: posterior.logvar.detach() };
        }
        let found = model.decode(posterior.sample(noise));
        let parts = parts(found, image, &posterior);
        let LossWeights { absolute, squared, edges, kl } = self.plan.loss;
        let weighted = parts.iter().zip([absolute, squared, edges, kl]).map(|(part, weight)| part.clone() * weight);
        let loss = weighted.reduce(|a, b| a + b).expect("there are four");
        Pass { loss, parts: parts.into(), rows: Vec::new() }
    }

    fn keep(&self, batch: Pictures) -> Kept {
        vec![("pixels", batch.pixels), ("noise", batch.noise)]
    }

    fn flops_per_example(&self, _: usize) -> f64 {
        // The backward pass counts twice: one product for the gradient of each factor.
        3.0 * 2.0 * multiplications(&self.plan.autoencoder) as f64
    }

    fn files(&self, ema: &Checkpoint) -> Result<Vec<(&'static str, Vec<u8>)>, TrainError> {
        let weights = write_safetensors(ema, Precision::F16)?;
        Ok(vec![(AUTOENCODER_WEIGHTS, weights), (AUTOENCODER_CONFIG, pretty(&self.plan.autoencoder).into_bytes())])
    }

    fn show(
        &self,
        watch: &mut Watch,
        weights: &Checkpoint,
        (step, tag): (usize, &'static str),
        place: &Place<'_>,
    ) -> Result<(), TrainError> {
        let kl = Kl::of(&self.plan.autoencoder, weights, place.device)?;
        let pictures = quality::some_of(&self.validation, SHOWN);
        let Some((quality, grid)) = quality::measure(&kl, place.device, &pictures, place.stop) else { return Ok(()) };
        watch.note(&format!("step {step}, {tag}: {}", quality.line()));
        let folder = place.out.join("samples");
        let path = folder.join(format!("step-{step:08}-{tag}.png"));
        std::fs::create_dir_all(&folder)
            .and_then(|()| replace(&path, &grid.png()))
            .map_err(|source| SamplesError::Io { path, source })?;
        Ok(watch.images(step, tag, &grid)?)
    }
}

/// The parts of the loss, `[1]` each, in the order of [`LossWeights`]. `found` is the reconstruction of `image`, both `[n, 3,
/// h, w]`.
pub fn parts(found: Tensor<4>, image: Tensor<4>, posterior: &Posterior) -> [Tensor<1>; 4] {
    let [_, _, h, w] = image.dims();
    let off = found - image;
    let down = off.clone().narrow(2, 1, h - 1) - off.clone().narrow(2, 0, h - 1);
    let right = off.clone().narrow(3, 1, w - 1) - off.clone().narrow(3, 0, w - 1);
    let (mean, logvar) = (&posterior.mean, &posterior.logvar);
    let kl = mean.clone().square() + logvar.clone().exp() - logvar.clone() - 1.0;
    [off.clone().abs().mean(), off.square().mean(), down.abs().mean() + right.abs().mean(), kl.mean() * 0.5]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Grads, TokenizerPreset, tracking};

    fn tensor(numbers: &[f32], shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(numbers.to_vec(), shape), &Device::flex())
    }

    /// One channel of 2 x 2 and two latent numbers, counted by hand.
    #[test]
    fn the_parts_of_the_loss_by_hand() {
        let found = tensor(&[0.5, -0.5, 1.0, 0.0], [1, 1, 2, 2]);
        let image = tensor(&[0.0, 0.0, 0.5, 1.0], [1, 1, 2, 2]);
        // Off by 0.5, -0.5, 0.5, -1. Steps down: 0, -0.5; to the right: -1, -1.5.
        let posterior = Posterior {
            mean: tensor(&[1.0, -2.0], [1, 2, 1, 1]),
            logvar: tensor(&[0.0, std::f32::consts::LN_2], [1, 2, 1, 1]),
        };
        let [absolute, squared, edges, kl] = parts(found, image, &posterior).map(|part| part.into_scalar::<f32>());
        assert!((absolute - 2.5 / 4.0).abs() < 1e-6, "{absolute}");
        assert!((squared - 1.75 / 4.0).abs() < 1e-6, "{squared}");
        assert!((edges - (0.25 + 1.25)).abs() < 1e-6, "{edges}");
        // N(1, 1) and N(-2, 2) from N(0, 1): (1 + 1 - 0 - 1) / 2, and (4 + 2 - ln 2 - 1) / 2.
        let expected = f32::midpoint(0.5, (5.0 - std::f32::consts::LN_2) / 2.0);
        assert!((kl - expected).abs() < 1e-6, "{kl} for {expected}");
    }

    /// A task on pictures of 8 x 8, and four of them.
    fn small() -> (TokenizerTask, Vec<Example>) {
        let preset = TokenizerPreset::Portraits;
        let mut plan = TokenizerPlan::new(preset.shape(), preset.loss(), preset.recipe(), 100);
        plan.autoencoder.resolution = 8;
        let validation = ImageSet { pixels: vec![], labels: vec![], channels: 3, side: 8 };
        let examples = (0..4).map(|i| Example { tokens: vec![i as f32 / 4.0; 192], label: 0 }).collect();
        (TokenizerTask { plan, validation }, examples)
    }

    #[test]
    fn the_decoder_alone_has_gradients_where_it_is_trained_alone() {
        let (mut task, examples) = small();
        let model = task.init(&tracking(&Device::flex(), task.recipe()));
        let names = |task: &TokenizerTask| {
            let loss = task.pass(&model, &task.draw(&examples, 0..4, 0), false).loss;
            Grads::of(&model, loss.backward()).names().map(str::to_owned).collect::<Vec<_>>()
        };
        let whole = names(&task);
        assert_eq!(whole.len(), model.export().tensors.len());
        task.plan.decoder_only = true;
        let of_decoder = |name: &&String| name.starts_with("decoder.") || name.starts_with("post_quant_conv.");
        assert_eq!(names(&task), whole.iter().filter(of_decoder).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn noise_is_that_of_the_slot() {
        let (task, examples) = small();
        let whole = task.draw(&examples, 0..4, 3);
        let [first, second] = [0..1, 1..4].map(|slots| task.draw(&examples[slots.clone()], slots, 3));
        assert_eq!(whole.noise, [first.noise, second.noise].concat());
        assert_eq!((whole.pixels.len(), whole.noise.len()), (4 * 192, 4 * 16));
        assert!(whole.noise != task.draw(&examples, 0..4, 4).noise);
    }
}
