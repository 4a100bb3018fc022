//! The training loop: draw, forward, backward, step; one line of progress, a log, checkpoints, a clean stop.
//! Appendix B of the paper.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Batch, Optimizer, Preset, loss, state};
use crate::checkpoint::CheckpointError;
use crate::data::{DataError, ImageSet, Split};
use crate::diffusion::Schedule;
use crate::engine::Engine;
use crate::model::Mar;

/// Steps between lines of the log.
const LOG_EVERY: usize = 20;

/// What to train, on what, where to.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Folder of idx files.
    pub data: PathBuf,
    /// Network and recipe.
    pub preset: Preset,
    /// Folder of the run.
    pub out: PathBuf,
    /// Steps in all, if not the preset's.
    pub steps: Option<usize>,
    /// Go on from where the folder was left.
    pub resume: bool,
    /// Seconds between checkpoints.
    pub save_every: u64,
}

/// Why training stopped or could not start.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds a run that nobody asked to go on with.
    #[error("{} holds a run already: go on with it by --resume, or give another --out", .0.display())]
    Exists(PathBuf),
    /// Nothing there to go on with.
    #[error("{} holds no run to resume: leave out --resume to start one", .0.display())]
    NothingToResume(PathBuf),
    /// The images do not fit the preset.
    #[error("the preset is for {wanted}x{wanted} images of {classes} classes; {} has {side}x{side} ones, labels up to {label}", data.display())]
    DataShape {
        /// The folder.
        data: PathBuf,
        /// Side the preset is for.
        wanted: usize,
        /// Classes the preset is for.
        classes: usize,
        /// Side of the images.
        side: usize,
        /// Largest label.
        label: usize,
    },
    /// The loss is no number any more.
    #[error("the loss became {loss} at step {step}. The last checkpoint in {} is sound: resume it with a lower rate", out.display())]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f32,
        /// The run.
        out: PathBuf,
    },
}

/// Where a run stands when it stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done, in this run and those it resumed.
    pub step: usize,
    /// Mean loss over the last steps.
    pub loss: f32,
    /// Whether it was asked to stop before its end.
    pub stopped: bool,
}

/// Trains until the last step or until `stop` is set, saving either way.
///
/// # Errors
/// As [`TrainError`] says.
pub fn train(options: &TrainOptions, device: &Device, stop: &AtomicBool) -> Result<Outcome, TrainError> {
    let (config, recipe) = (options.preset.weights(), options.preset.recipe());
    let steps = options.steps.unwrap_or(recipe.steps);
    let data = ImageSet::read(&options.data, Split::Train)?;
    let label = data.labels.iter().copied().max().map_or(0, usize::from);
    if data.side != config.model.img_size || label >= config.model.class_num || data.is_empty() {
        let (wanted, classes) = (config.model.img_size, config.model.class_num);
        return Err(TrainError::DataShape { data: options.data.clone(), wanted, classes, side: data.side, label });
    }
    std::fs::create_dir_all(&options.out).map_err(|source| TrainError::Io { path: options.out.clone(), source })?;

    let mut model = Mar::init(&config.model, recipe.seed, &device.clone().autodiff());
    let mut optimizer = Optimizer::new(&model, (&recipe).into());
    let mut first = 0;
    match (options.resume, state::exists(&options.out)) {
        (true, false) => return Err(TrainError::NothingToResume(options.out.clone())),
        (false, true) => return Err(TrainError::Exists(options.out.clone())),
        (true, true) => (model, first) = state::resume(&options.out, &model, &mut optimizer)?,
        (false, false) => {}
    }

    let schedule = Schedule::train();
    let tokenizer = Engine::tokenizer(&config);
    let shape = [config.model.tokens(), config.model.token_dim(), config.model.diffusion_batch_mul];
    let mut watch = Watch::new(&options.out, first, steps, recipe.batch)?;
    let mut saved = Instant::now();
    let mut step = first;
    while step < steps && !stop.load(Ordering::Relaxed) {
        let batch = Batch::draw(&data, &*tokenizer, &recipe, shape, &schedule, step);
        let value = loss(&model, &schedule, &batch);
        let gradients = value.backward();
        let value: f32 = value.into_scalar();
        if !value.is_finite() {
            return Err(TrainError::Diverged { step, loss: value, out: options.out.clone() });
        }
        let rate = recipe.rate_at(step, steps);
        let norm;
        (model, norm) = optimizer.step(model, &gradients, rate, recipe.ema_at(step));
        step += 1;
        watch.step(step, value, rate, norm)?;
        if saved.elapsed().as_secs() >= options.save_every {
            state::save(&options.out, &config, &recipe, &model, &optimizer, step)?;
            saved = Instant::now();
        }
    }
    state::save(&options.out, &config, &recipe, &model, &optimizer, step)?;
    Ok(Outcome { step, loss: watch.finish(), stopped: step < steps })
}

/// The progress bar (plain lines where there is no terminal) and `log.jsonl`.
struct Watch {
    bar: ProgressBar,
    log: File,
    path: PathBuf,
    batch: usize,
    steps: usize,
    since: Instant,
    losses: Vec<f32>,
    mean: f32,
}

impl Watch {
    fn new(out: &Path, first: usize, steps: usize, batch: usize) -> Result<Self, TrainError> {
        let path = out.join("log.jsonl");
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(|source| TrainError::Io { path: path.clone(), source })?;
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {eta} left");
        let bar = ProgressBar::new(steps as u64).with_style(style.expect("the template is well-formed"));
        bar.set_position(first as u64);
        bar.reset_eta();
        Ok(Self { bar, log, path, batch, steps, since: Instant::now(), losses: Vec::new(), mean: f32::NAN })
    }

    fn step(&mut self, step: usize, loss: f32, rate: f64, norm: f32) -> Result<(), TrainError> {
        self.losses.push(loss);
        self.bar.set_position(step as u64);
        if self.losses.len() < LOG_EVERY {
            return Ok(());
        }
        let speed = (self.losses.len() * self.batch) as f64 / self.since.elapsed().as_secs_f64();
        self.mean = self.losses.iter().sum::<f32>() / self.losses.len() as f32;
        self.bar.set_message(format!("loss {:.4}  {speed:.0} images/s", self.mean));
        let line = serde_json::json!({
            "step": step, "loss": self.mean, "rate": rate, "gradient_norm": norm, "images_per_second": speed,
        });
        writeln!(self.log, "{line}").map_err(|source| TrainError::Io { path: self.path.clone(), source })?;
        if !std::io::stderr().is_terminal() {
            let left = (self.steps - step) as f64 * self.batch as f64 / speed;
            eprintln!("step {step}/{}  loss {:.4}  {speed:.0} images/s  {left:.0} s left", self.steps, self.mean);
        }
        self.losses.clear();
        self.since = Instant::now();
        Ok(())
    }

    /// The mean loss of the last lines.
    fn finish(&self) -> f32 {
        self.bar.finish_and_clear();
        if self.losses.is_empty() { self.mean } else { self.losses.iter().sum::<f32>() / self.losses.len() as f32 }
    }
}
