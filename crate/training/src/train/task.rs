//! The contract between the training loop and what it trains: a network, its batches, its loss and its files.
//! [`super::Plan`] implements it for MAR and [`super::TokenizerTask`] for the autoencoder.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::watch::{RowLoss, Watch};
use super::{Recipe, TrainError, TrainOptions};
use crate::data::{Example, TokenShape};
use crate::model::{Names, to_checkpoint};
use marscope_core::checkpoint::{Checkpoint, CheckpointError};

/// A network whose parameters have official names.
pub trait Trainable: Module {
    /// The official name of every parameter.
    fn names(&self) -> &Names;

    /// The device of the parameters.
    fn device(&self) -> Device;

    /// A network of the same shape with the parameters of `checkpoint`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    fn with(&self, checkpoint: &Checkpoint) -> Result<Self, CheckpointError>;

    /// Copies every parameter to the host, with its official name.
    fn export(&self) -> Checkpoint {
        to_checkpoint(self, self.names())
    }
}

/// The result of a forward pass.
pub struct Pass {
    /// The loss to differentiate, the mean over the examples, `[1]`.
    pub loss: Tensor<1>,
    /// The parts of the loss, `[1]` each, in the order of [`Task::PARTS`].
    pub parts: Vec<Tensor<1>>,
    /// The loss of every noised token, if requested and if the task has any.
    pub rows: Vec<RowLoss>,
}

/// A batch as named rows of numbers, for a person to inspect.
pub type Kept = Vec<(&'static str, Vec<f32>)>;

/// A network and how it is trained. The same task and data give the same weights.
pub trait Task: Sync {
    /// The network.
    type Model: Trainable;
    /// The batch of a pass.
    type Batch;
    /// Names of the parts of the loss.
    const PARTS: &'static [&'static str];

    /// The recipe.
    fn recipe(&self) -> &Recipe;

    /// Total number of steps, and how many of them are warm-up.
    fn steps(&self) -> [usize; 2];

    /// The whole task as JSON, for the run's `recipe.json`. Ranks compare it to check that they train the same.
    fn record(&self) -> String;

    /// The shape of its examples.
    fn examples(&self) -> TokenShape;

    /// The initial network on `device`; always the same one.
    fn init(&self, device: &Device) -> Self::Model;

    /// `model` with the options of training, such as dropout.
    fn prepare(&self, model: Self::Model) -> Self::Model {
        model
    }

    /// Makes a batch of `examples`, which have the places `slots` in the batch of `step`. All randomness is a function of the
    /// recipe's seed, the step and the slot.
    fn draw(&self, examples: &[Example], slots: Range<usize>, step: usize) -> Self::Batch;

    /// Computes the loss of `batch`; with `rows`, also that of every noised token.
    fn pass(&self, model: &Self::Model, batch: &Self::Batch, rows: bool) -> Pass;

    /// Share of masked tokens in `batch`, if the task masks any.
    fn mask_ratio(&self, _batch: &Self::Batch) -> Option<f64> {
        None
    }

    /// The smallest mask ratio, if the task masks tokens.
    fn mask_ratio_min(&self) -> Option<f64> {
        None
    }

    /// `batch` for the file that is saved when the loss or gradient is not finite.
    fn keep(&self, batch: Self::Batch) -> Kept;

    /// Floating-point operations of training on one example, in passes of `batch`.
    fn flops_per_example(&self, batch: usize) -> f64;

    /// The files that the run produces, by name, from the averaged weights `ema`.
    ///
    /// # Errors
    /// When the weights cannot be serialised.
    fn files(&self, ema: &Checkpoint) -> Result<Vec<(&'static str, Vec<u8>)>, TrainError>;

    /// Shows samples of `weights`. `at` is the step and which weights they are: `ema` or `raw`.
    ///
    /// # Errors
    /// When the samples cannot be computed or saved.
    fn show(
        &self,
        watch: &mut Watch,
        weights: &Checkpoint,
        at: (usize, &'static str),
        place: &Place<'_>,
    ) -> Result<(), TrainError>;
}

/// Where [`Task::show`] computes and saves samples.
pub struct Place<'a> {
    /// Folder of the run.
    pub out: &'a Path,
    /// The device that trains.
    pub device: &'a Device,
    /// Options of the run.
    pub options: &'a TrainOptions,
    /// Set when the run should stop.
    pub stop: &'a AtomicBool,
}
