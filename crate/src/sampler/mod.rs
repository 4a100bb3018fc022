//! The decoding loop as a state machine: each iteration gives some tokens, all others stay masked; the order decides.
//! Section 3.4 of the paper (next set-of-tokens prediction), algorithm in the official `sample_tokens`.

pub mod guidance;
pub mod mask;
pub mod noise;
pub mod order;

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use web_time::Instant;

pub use guidance::CfgSchedule;
pub use noise::{Noise, SeededNoise};
pub use order::{OrderKind, ranks};

use crate::diffusion::reverse::ReverseSettings;
use crate::diffusion::{Reverse, Schedule, ScheduleError};
use crate::model::{Label, Mar, indices};

/// What an image is decoded under; the same for every image of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Iterations K, 1 to L.
    pub iterations: usize,
    /// Respacing of the reverse process: a count such as `100`, or `ddim25`.
    pub steps: String,
    /// Guidance scale; 1 is no guidance.
    pub cfg: f32,
    /// How the guidance goes over the iterations.
    pub cfg_schedule: CfgSchedule,
    /// Scale of the noise that each reverse step adds.
    pub temperature: f32,
    /// Clip the predicted clean token to `[-1, 1]`.
    pub clip: bool,
    /// Keep every `stride`-th reverse step in the events; 0 keeps only the tokens themselves.
    pub stride: usize,
}

/// Why settings cannot be decoded under, or why a decoding broke off.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A label the model does not know.
    #[error("label {label} is not one of the {classes} classes: give 0 to {}, or none", classes - 1)]
    Label {
        /// Asked for.
        label: usize,
        /// Classes there are.
        classes: usize,
    },
    /// Too few or too many iterations.
    #[error("{iterations} iterations are not possible over {tokens} tokens: give 1 to {tokens}")]
    Iterations {
        /// Asked for.
        iterations: usize,
        /// Tokens of an image.
        tokens: usize,
    },
    /// The number of diffusion steps.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A setting is not a number, or out of range.
    #[error("{name} is {value}: give a number from {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Asked for.
        value: f32,
        /// Smallest allowed.
        least: f32,
        /// Largest allowed.
        most: f32,
    },
    /// An order that is no permutation.
    #[error("an order must hold each of the {tokens} positions once")]
    Order {
        /// Tokens of an image.
        tokens: usize,
    },
    /// The device failed while its result was read.
    #[error("the device gave no result ({0}). Reload, or take the CPU engine")]
    Device(String),
}

/// One image to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePlan {
    /// Its class.
    pub label: Label,
    /// `order[rank]` is the position that comes at `rank`.
    pub order: Vec<usize>,
}

/// Images on their way from all masked to all known. Cloning one forks it.
#[derive(Clone)]
pub struct Decoding {
    model: Arc<Mar>,
    reverse: Reverse,
    settings: Settings,
    images: Vec<ImagePlan>,
    noise: Arc<dyn Noise>,
    mask_lengths: Vec<usize>,
    tokens: Vec<f32>,
    masked: Vec<bool>,
    iteration: usize,
}

/// What one iteration did.
#[derive(Clone, Debug)]
pub struct Iteration {
    /// Which one, from 0.
    pub iteration: usize,
    /// Rows of the trajectory: the image and the position of each token sampled, image-major, position-minor.
    pub rows: Vec<(usize, usize)>,
    /// Tokens still masked in each image afterwards.
    pub mask_length: usize,
    /// Guidance scale in effect.
    pub cfg: f32,
    /// Reverse steps taken before each frame.
    pub steps: Vec<usize>,
    /// `[frames, rows, C]`: the reverse process, its last frame the tokens.
    pub trajectory: Vec<f32>,
    /// The condition of each row, `[rows, decoder width]`; with guidance the unconditional rows follow.
    pub z: Vec<f32>,
    /// Milliseconds in the backbone.
    pub backbone_ms: f64,
    /// Milliseconds in the head.
    pub head_ms: f64,
}

impl Decoding {
    /// Checks the settings and starts with every token masked.
    ///
    /// # Errors
    /// Names the setting that is out of range, and its range.
    pub fn new(
        model: Arc<Mar>,
        settings: Settings,
        images: Vec<ImagePlan>,
        noise: Arc<dyn Noise>,
    ) -> Result<Self, SampleError> {
        let (tokens, classes) = (model.config().tokens(), model.config().class_num);
        if !(1..=tokens).contains(&settings.iterations) {
            return Err(SampleError::Iterations { iterations: settings.iterations, tokens });
        }
        in_range("cfg", settings.cfg, 0.0, 20.0)?;
        in_range("temperature", settings.temperature, 0.0, 2.0)?;
        for image in &images {
            if let Some(label) = image.label.filter(|&label| label >= classes) {
                return Err(SampleError::Label { label, classes });
            }
            let mut sorted = image.order.clone();
            sorted.sort_unstable();
            if !sorted.into_iter().eq(0..tokens) {
                return Err(SampleError::Order { tokens });
            }
        }
        let reverse = Reverse::new(&model.head, Schedule::respaced(&settings.steps)?);
        Ok(Self {
            reverse,
            mask_lengths: mask::mask_lengths(tokens, settings.iterations),
            tokens: vec![0.0; images.len() * tokens * model.config().token_dim()],
            masked: vec![true; images.len() * tokens],
            iteration: 0,
            model,
            settings,
            images,
            noise,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The images being decoded.
    pub fn images(&self) -> &[ImagePlan] {
        &self.images
    }

    /// The schedule of the reverse process.
    pub fn schedule(&self) -> &Schedule {
        self.reverse.schedule()
    }

    /// `[images, L, C]`; 0 where masked.
    pub fn tokens(&self) -> &[f32] {
        &self.tokens
    }

    /// `[images, L]`: true where a token is not known yet.
    pub fn masked(&self) -> &[bool] {
        &self.masked
    }

    /// Whether every token is known.
    pub fn done(&self) -> bool {
        self.iteration == self.settings.iterations
    }

    /// Does one iteration: what it did, or `None` when every token is known already. A failed one changes nothing.
    ///
    /// # Errors
    /// [`SampleError::Device`].
    pub async fn advance(&mut self) -> Result<Option<Iteration>, SampleError> {
        if self.done() {
            return Ok(None);
        }
        let (length, dim) = (self.model.config().tokens(), self.model.config().token_dim());
        let mask_length = self.mask_lengths[self.iteration];
        let rows = self.next_rows(mask_length);
        let cfg = self.settings.cfg_schedule.at(self.settings.cfg, length, mask_length);

        let started = Instant::now();
        let z = self.conditions(&rows);
        let z_host = read(z.clone()).await?;
        let backbone_ms = started.elapsed().as_secs_f64() * 1e3;

        let started = Instant::now();
        let settings = ReverseSettings {
            cfg: self.guided().then_some(cfg),
            temperature: self.settings.temperature,
            clip: self.settings.clip,
            stride: self.settings.stride,
        };
        let trajectory = self.reverse.run(&self.model.head, z, self.draw(&rows), dim, settings);
        let frames = read(trajectory.frames).await?;
        let head_ms = started.elapsed().as_secs_f64() * 1e3;

        let predicted = &frames[frames.len() - rows.len() * dim..];
        for (&(image, token), values) in rows.iter().zip(predicted.chunks_exact(dim)) {
            let place = image * length + token;
            self.masked[place] = false;
            self.tokens[place * dim..(place + 1) * dim].copy_from_slice(values);
        }
        let iteration = self.iteration;
        self.iteration += 1;
        Ok(Some(Iteration {
            iteration,
            rows,
            mask_length,
            cfg,
            steps: trajectory.steps,
            trajectory: frames,
            z: z_host,
            backbone_ms,
            head_ms,
        }))
    }

    /// Whether an unconditional branch runs beside the conditional one.
    fn guided(&self) -> bool {
        #[allow(clippy::float_cmp)] // exactly 1 is the setting that means "no guidance"
        {
            self.settings.cfg != 1.0
        }
    }

    /// The tokens that leave the mask when `mask_length` stay, image-major, position-minor.
    fn next_rows(&self, mask_length: usize) -> Vec<(usize, usize)> {
        let known = self.masked[..self.model.config().tokens()].iter().filter(|&&m| !m).count();
        let mut rows = Vec::new();
        for (image, plan) in self.images.iter().enumerate() {
            let mut tokens = plan.order[known..plan.order.len() - mask_length].to_vec();
            tokens.sort_unstable();
            rows.extend(tokens.into_iter().map(|token| (image, token)));
        }
        rows
    }

    /// z of `rows`: conditional, then unconditional when guided.
    fn conditions(&self, rows: &[(usize, usize)]) -> Tensor<2> {
        let count = self.images.len();
        let mut labels: Vec<Label> = self.images.iter().map(|image| image.label).collect();
        let (mut tokens, mut masked) = (self.tokens.clone(), self.masked.clone());
        if self.guided() {
            labels.extend(vec![None; count]);
            tokens.extend_from_within(..);
            masked.extend_from_within(..);
        }
        let z = self.model.forward(&tokens, &masked, &labels).z;
        let [batch, length, width] = z.dims();
        let branches = (0..batch / count).flat_map(|branch| rows.iter().map(move |row| (branch, row)));
        let picked = branches.map(|(branch, (image, token))| ((branch * count + image) * length + token) as i32);
        let device = z.device();
        z.reshape([batch * length, width]).select(0, indices(picked.collect(), &device))
    }

    /// The noise of `rows`, `[1 + steps, rows, C]`.
    fn draw(&self, rows: &[(usize, usize)]) -> Vec<f32> {
        let dim = self.model.config().token_dim();
        let steps = self.reverse.schedule().len() + 1;
        let mut noise = vec![0.0; steps * rows.len() * dim];
        for (at, out) in noise.chunks_exact_mut(dim).enumerate() {
            let (image, token) = rows[at % rows.len()];
            self.noise.fill(image, self.iteration, at / rows.len(), token, out);
        }
        noise
    }
}

fn in_range(name: &'static str, value: f32, least: f32, most: f32) -> Result<(), SampleError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(SampleError::Range { name, value, least, most }) }
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, SampleError> {
    let data = tensor.into_data_async().await.map_err(|error| SampleError::Device(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| SampleError::Device(format!("{error:?}")))
}
