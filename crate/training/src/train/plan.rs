//! The training task of MAR: its network, its masked and noised batches, its Diffusion Loss.
//! Sections 3.2 to 3.4 and appendix B of the paper.

use std::ops::Range;

use burn::tensor::{Device, FloatDType};
use serde::{Deserialize, Serialize};

use super::recipe::Compute;
use super::task::{Kept, Pass, Place, Task, Trainable};
use super::watch::{RowLoss, Watch};
use super::{Batch, Recipe, SAMPLES, SampleEngine, TrainError, flops_per_example, loss, show_samples};
use crate::data::{Example, TokenShape};
use crate::model::{BlockOptions, Mar, Names};
use marscope_core::checkpoint::{Checkpoint, CheckpointError, Precision, write_safetensors};
use marscope_core::config::WeightsConfig;
use marscope_core::diffusion::Schedule;

/// The network and its recipe. The same plan and data give the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The network, as the config.json of its weights will describe it.
    pub weights: WeightsConfig,
    /// The recipe.
    pub recipe: Recipe,
    /// Total number of steps.
    pub steps: usize,
    /// Steps of warm-up.
    pub warmup: usize,
}

impl Plan {
    /// Plans the training of `weights` with `recipe` on `examples` examples.
    pub fn new(weights: WeightsConfig, recipe: Recipe, examples: usize) -> Self {
        let [steps, warmup] = recipe.length(examples);
        Self { weights, recipe, steps, warmup }
    }
}

impl Trainable for Mar {
    fn names(&self) -> &Names {
        self.names()
    }

    fn device(&self) -> Device {
        self.device()
    }

    fn with(&self, checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        Self::load(self.config(), checkpoint, &self.device())
    }
}

impl Task for Plan {
    type Model = Mar;
    type Batch = Batch;
    const PARTS: &'static [&'static str] = &["mse", "vb"];

    fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    fn steps(&self) -> [usize; 2] {
        [self.steps, self.warmup]
    }

    fn record(&self) -> String {
        pretty(self)
    }

    fn examples(&self) -> TokenShape {
        let model = &self.weights.model;
        TokenShape { tokens: model.tokens(), dim: model.token_dim(), classes: model.class_num }
    }

    fn init(&self, device: &Device) -> Mar {
        Mar::init(&self.weights.model, self.recipe.seed, device)
    }

    fn prepare(&self, model: Mar) -> Mar {
        model.with_options(BlockOptions {
            attention_dropout: self.recipe.attention_dropout,
            projection_dropout: self.recipe.projection_dropout,
            dtype: match self.recipe.compute {
                Compute::F32 => FloatDType::F32,
                Compute::Bf16 => FloatDType::BF16,
            },
        })
    }

    fn draw(&self, examples: &[Example], slots: Range<usize>, step: usize) -> Batch {
        let config = &self.weights.model;
        let (repeats, shape) = (config.diffusion_batch_mul, [config.tokens(), config.token_dim()]);
        Batch::draw(examples, slots, step, &self.recipe, repeats, shape, Schedule::train().len())
    }

    fn pass(&self, model: &Mar, batch: &Batch, rows: bool) -> Pass {
        let losses = loss(model, &Schedule::train(), batch);
        let parts = vec![losses.mse.clone().mean(), losses.vb.clone().mean()];
        let rows = if rows {
            let all: Vec<f32> = (losses.mse + losses.vb).into_data().try_into_vec().expect("losses are in f32");
            batch.t.iter().zip(all).map(|(&t, loss)| RowLoss { t, loss }).collect()
        } else {
            Vec::new()
        };
        Pass { loss: parts[0].clone() + parts[1].clone(), parts, rows }
    }

    fn mask_ratio(&self, batch: &Batch) -> Option<f64> {
        Some(batch.mask_ratio())
    }

    fn mask_ratio_min(&self) -> Option<f64> {
        Some(self.recipe.mask_ratio_min)
    }

    fn keep(&self, batch: Batch) -> Kept {
        vec![
            ("tokens", batch.tokens),
            ("masked", batch.masked.into_iter().map(|masked| f32::from(u8::from(masked))).collect()),
            // -1 stands for no class.
            ("labels", batch.labels.into_iter().map(|label| label.map_or(-1.0, |label| label as f32)).collect()),
            ("t", batch.t.into_iter().map(|t| t as f32).collect()),
            ("noise", batch.noise),
        ]
    }

    fn flops_per_example(&self, batch: usize) -> f64 {
        flops_per_example(&self.weights.model, Batch::mean_mask_ratio(&self.recipe), batch)
    }

    fn files(&self, ema: &Checkpoint) -> Result<Vec<(&'static str, Vec<u8>)>, TrainError> {
        let weights = write_safetensors(ema, Precision::F16)?;
        Ok(vec![("model.safetensors", weights), ("config.json", pretty(&self.weights).into_bytes())])
    }

    fn show(
        &self,
        watch: &mut Watch,
        weights: &Checkpoint,
        at: (usize, &'static str),
        place: &Place<'_>,
    ) -> Result<(), TrainError> {
        let mut engine = SampleEngine::burn(place.device, place.options.autoencoder.clone());
        if let Some(open) = &place.options.sample_engine {
            engine.open = open.clone();
        }
        Ok(show_samples(watch, place.out, &engine, (&self.weights, weights), at, SAMPLES, place.stop)?)
    }
}

/// `value` as indented JSON.
pub fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data serialises") + "\n"
}
