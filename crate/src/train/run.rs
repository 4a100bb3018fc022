//! The training loop: examples in, steps, one line of progress, a log, checkpoints, a clean stop; on one device or many.
//! Appendix B of the paper.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::ranks::{RankError, Ranks};
use super::recipe::RecipeError;
use super::trainer::{StepError, Stepped};
use super::watch::{StepReport, Watch, WatchError, WatchOptions};
use super::{
    Batch, Drawing, Optimizer, Recipe, SAMPLES, SamplesError, Trainer, flops_per_example, measure_roof, show_samples,
    state,
};
use crate::checkpoint::CheckpointError;
use crate::config::{ConfigError, WeightsConfig};
use crate::data::{DataError, Dataset, Loader, LoaderOptions, TokenShape};
use crate::model::Mar;
use crate::tokenizer::Autoencoder;

/// What is trained, and how: the same plan and data give the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The network, and what its weights will say of themselves.
    pub weights: WeightsConfig,
    /// How it is trained.
    pub recipe: Recipe,
    /// Steps in all.
    pub steps: usize,
    /// Steps over which the rate rises.
    pub warmup: usize,
}

impl Plan {
    /// Training `weights` by `recipe` on `examples` examples.
    pub fn new(weights: WeightsConfig, recipe: Recipe, examples: usize) -> Self {
        let steps = recipe.steps_in(recipe.epochs, examples);
        let warmup = if recipe.warmup_epochs > 0.0 { recipe.steps_in(recipe.warmup_epochs, examples) } else { 0 };
        Self { weights, recipe, steps, warmup }
    }

    /// A number that tells plans apart, for ranks to see that they train the same.
    fn fingerprint(&self) -> u64 {
        let text = serde_json::to_string(self).expect("plain data serialises");
        // FNV-1a.
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// Machines that train together; every one has as many devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machines {
    /// This machine, from 0.
    pub machine: usize,
    /// Machines in all.
    pub machines: usize,
    /// Where the first one listens, `host:port`.
    pub meet: String,
}

/// Where a run is kept, what is written when, and where it computes.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // choices that have nothing to do with each other
pub struct TrainOptions {
    /// Folder of the run.
    pub out: PathBuf,
    /// Go on from where the folder was left.
    pub resume: bool,
    /// Weights to start from instead of random ones, or an official checkpoint to go on with.
    pub from: Option<PathBuf>,
    /// Seconds between checkpoints.
    pub save_every: u64,
    /// Steps between checkpoints that are kept for good.
    pub keep_every: Option<usize>,
    /// Steps between lines of the log.
    pub log_every: usize,
    /// Steps between samples of the EMA and the raw weights.
    pub sample_every: Option<usize>,
    /// What makes pictures of the samples of a network of latents.
    pub autoencoder: Option<Autoencoder>,
    /// Show the dashboard where there is a terminal.
    pub dashboard: bool,
    /// Write event files for TensorBoard.
    pub tensorboard: bool,
    /// Measure first what the devices can do at best, to see the speed reached against it.
    pub roof: bool,
    /// Threads that make examples, on each device.
    pub workers: usize,
    /// Unreadable files that are borne.
    pub max_bad: usize,
    /// The other machines.
    pub machines: Option<Machines>,
}

impl TrainOptions {
    /// A new run in the folder `out`, on one machine: a checkpoint every two minutes, plain lines and a log, nothing more.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            resume: false,
            from: None,
            save_every: 120,
            keep_every: None,
            log_every: 20,
            sample_every: None,
            autoencoder: None,
            dashboard: false,
            tensorboard: false,
            roof: false,
            workers: 2,
            max_bad: 0,
            machines: None,
        }
    }
}

/// Why training stopped or could not start.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The examples.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The network's shape.
    #[error(transparent)]
    Config(ConfigError),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The other devices.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// What is told of the run.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Samples.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A file of the run.
    #[error("{}: {source}. The last whole checkpoint beside it is untouched", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The weights to start from.
    #[error("{}: {source}", path.display())]
    From {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// What the run was trained by cannot be read.
    #[error("{}: {source}. The run cannot be resumed without it", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The folder holds a run that nobody asked to go on with.
    #[error("{} holds a run already: go on with it by --resume, or give another --out", .0.display())]
    Exists(PathBuf),
    /// Nothing there to go on with.
    #[error("{} holds no run to resume: leave out --resume to start one", .0.display())]
    NothingToResume(PathBuf),
    /// The examples do not fit the network.
    #[error(
        "the network takes {wanted:?}, the data gives {found:?}: give the data that the preset is for, or a preset for the \
         data"
    )]
    DataShape {
        /// What the network is for.
        wanted: TokenShape,
        /// What the data has.
        found: TokenShape,
    },
    /// Numbers that are none.
    #[error(
        "{what} at step {step}. The batch is kept in {}, and the last checkpoint in {} is sound: resume it with a lower \
         --base-rate", batch.display(), out.display()
    )]
    Diverged {
        /// What is not finite.
        what: String,
        /// The step.
        step: usize,
        /// Where the batch is.
        batch: PathBuf,
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

/// Trains until the last step or until `stop` is set, saving either way. Each of `devices` takes its share of every batch.
///
/// # Errors
/// As [`TrainError`] says; the first one that a device of this machine met.
pub fn train(
    plan: &Plan,
    data: &Arc<dyn Dataset>,
    options: &TrainOptions,
    devices: &[Device],
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, TrainError> {
    let Machines { machine, machines, meet } =
        options.machines.clone().unwrap_or(Machines { machine: 0, machines: 1, meet: "127.0.0.1:0".into() });
    let world = devices.len() * machines;
    plan.recipe.validate(world)?;
    let model = &plan.weights.model;
    let wanted = TokenShape { tokens: model.tokens(), dim: model.token_dim(), classes: model.class_num };
    let found = data.shape();
    if (found.tokens, found.dim) != (wanted.tokens, wanted.dim) || found.classes > wanted.classes {
        return Err(TrainError::DataShape { wanted, found });
    }
    let run = plan.fingerprint();
    let first = machine * devices.len();
    let io = |source| RankError::Meet { rank: first, at: meet.clone(), source };
    let listener = if first == 0 { Some(TcpListener::bind(&meet).map_err(io)?) } else { None };
    let meet = match &listener {
        Some(listener) => listener.local_addr().map_err(io)?.to_string(),
        None => meet.clone(),
    };
    let share = Share { of: devices.len() };
    std::thread::scope(|scope| {
        let others: Vec<_> = devices[1..]
            .iter()
            .enumerate()
            .map(|(i, device)| {
                let meet = &meet;
                scope.spawn(move || {
                    let ranks = Ranks::join(first + i + 1, world, meet, run)?;
                    share.among(|| train_one(plan, data, options, device, ranks, stop))
                })
            })
            .collect();
        let ranks = match &listener {
            Some(listener) => Ranks::listen(listener, world, run),
            None => Ranks::join(first, world, &meet, run),
        };
        let mine = ranks
            .map_err(TrainError::from)
            .and_then(|ranks| share.among(|| train_one(plan, data, options, &devices[0], ranks, stop)));
        let mut all: Vec<_> = std::iter::once(mine)
            .chain(
                others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            )
            .collect();
        // A device that fails takes the others with it, who only miss it: what it says comes first.
        let told = |one: &Result<_, TrainError>| matches!(one, Err(error) if !matches!(error, TrainError::Rank(_)));
        let at = all.iter().position(told).unwrap_or(0);
        all.swap_remove(at)
    })
}

/// The share of this machine's cores that one of `of` devices computes on: were each to use all of them, they would wait
/// for each other's threads.
#[derive(Clone, Copy)]
struct Share {
    of: usize,
}

impl Share {
    /// Runs `work` on that many threads.
    fn among<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        if self.of == 1 {
            return work();
        }
        let threads = (rayon::current_num_threads() / self.of).max(1);
        match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => pool.install(work),
            // Where no more threads can be had, those that there are serve everyone.
            Err(_) => work(),
        }
    }
}

/// Trains on one device, beside the other ranks.
fn train_one(
    plan: &Plan,
    data: &Arc<dyn Dataset>,
    options: &TrainOptions,
    device: &Device,
    ranks: Ranks,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, TrainError> {
    let Plan { weights, recipe, steps, warmup } = plan;
    let (out, writes) = (&options.out, ranks.rank() == 0);
    std::fs::create_dir_all(out).map_err(|source| TrainError::Io { path: out.clone(), source })?;
    let mut model = Mar::init(&weights.model, recipe.seed, &Trainer::device(device, recipe));
    let mut optimizer = Optimizer::new(&model, recipe.into());
    let mut step = 0;
    match (options.resume, state::exists(out), &options.from) {
        (true, false, _) => return Err(TrainError::NothingToResume(out.clone())),
        (false, true, _) => return Err(TrainError::Exists(out.clone())),
        (true, true, _) => (model, step) = state::resume(out, &model, &mut optimizer)?,
        (false, false, Some(path)) => (model, step) = state::start_from(path, &model, &mut optimizer)?,
        (false, false, None) => {}
    }
    let share = recipe.batch / ranks.world();
    let share = ranks.rank() * share..(ranks.rank() + 1) * share;
    let mut loader = Loader::start(
        data.clone(),
        LoaderOptions {
            seed: recipe.seed,
            batch: recipe.batch,
            share,
            first_step: step,
            workers: options.workers,
            max_bad: options.max_bad,
        },
    )?;
    let world = ranks.world();
    let mut trainer = Trainer::new(model, optimizer, recipe.clone(), ranks);
    let mut teller = if writes { Some(Teller::open(plan, options, device, world, step, stop)?) } else { None };
    let mut stopped = false;
    while step < *steps && !stopped {
        let waited = loader.waited();
        let examples = loader.next()?;
        let waited = loader.waited().saturating_sub(waited);
        let rate = recipe.rate_at(step, *warmup, *steps);
        let rows = teller.as_ref().is_some_and(|teller| teller.watch.logs(step + 1));
        let done = match trainer.step(step, rate, &examples, rows, stop.load(Ordering::Relaxed)) {
            Ok(done) => done,
            Err(StepError::Rank(error)) => return Err(error.into()),
            Err(StepError::NotFinite { what, batch }) => {
                let batch = state::save_batch(out, step, &batch)?;
                return Err(TrainError::Diverged { what, step, batch, out: out.clone() });
            }
        };
        step += 1;
        stopped = done.stop;
        if let Some(teller) = &mut teller {
            teller.bad(&loader);
            teller.step(&trainer, step, &done, rate, waited)?;
        }
    }
    let Some(teller) = teller else { return Ok(Outcome { step, loss: f32::NAN, stopped: step < *steps }) };
    state::save(out, plan, &trainer.model, &trainer.optimizer, step, false)?;
    Ok(Outcome { step, loss: teller.watch.finish(), stopped: step < *steps })
}

/// What one rank alone does: tells of the run, draws samples, writes checkpoints.
struct Teller<'a> {
    plan: &'a Plan,
    options: &'a TrainOptions,
    watch: Watch,
    drawing: Drawing,
    stop: &'a Arc<AtomicBool>,
    saved: Instant,
    bad: usize,
}

impl<'a> Teller<'a> {
    fn open(
        plan: &'a Plan,
        options: &'a TrainOptions,
        device: &Device,
        world: usize,
        step: usize,
        stop: &'a Arc<AtomicBool>,
    ) -> Result<Self, TrainError> {
        let Plan { weights, recipe, steps, .. } = plan;
        let passes = recipe.batch / world / recipe.accumulate;
        let watched = WatchOptions {
            log_every: options.log_every,
            dashboard: options.dashboard,
            tensorboard: options.tensorboard,
            roof: options.roof.then(|| measure_roof(device) * world as f64),
            flops_per_example: flops_per_example(&weights.model, Batch::mean_mask_ratio(recipe), passes),
            mask_ratio_min: recipe.mask_ratio_min,
            steps: *steps,
            batch: recipe.batch,
        };
        let watch = Watch::open(&options.out, watched, step, stop.clone())?;
        let drawing = Drawing::on(device, options.autoencoder.clone());
        Ok(Self { plan, options, watch, drawing, stop, saved: Instant::now(), bad: 0 })
    }

    /// Names the files that could not be read since the last time.
    fn bad(&mut self, loader: &Loader) {
        let bad = loader.bad();
        for file in &bad[self.bad..] {
            self.watch.note(&format!("{}: {}; another image takes its place", file.path.display(), file.what));
        }
        self.bad = bad.len();
    }

    fn step(
        &mut self,
        trainer: &Trainer,
        step: usize,
        done: &Stepped,
        rate: f64,
        waited: Duration,
    ) -> Result<(), TrainError> {
        self.watch.step(&StepReport {
            step,
            examples: self.plan.recipe.batch,
            loss: done.mse + done.vb,
            mse: done.mse,
            vb: done.vb,
            mask_ratio: done.mask_ratio,
            rate,
            gradient_norm: done.gradient_norm,
            rows: done.rows.as_deref(),
            waited,
        })?;
        let due = |every: Option<usize>| every.is_some_and(|every| step.is_multiple_of(every.max(1)));
        let (out, keep) = (&self.options.out, due(self.options.keep_every));
        if keep || self.saved.elapsed().as_secs() >= self.options.save_every {
            state::save(out, self.plan, &trainer.model, &trainer.optimizer, step, keep)?;
            self.saved = Instant::now();
        }
        if due(self.options.sample_every) {
            let (ema, raw) = (trainer.optimizer.ema(trainer.model.names()), trainer.model.to_checkpoint());
            for (tag, weights) in [("ema", ema), ("raw", raw)] {
                let drawn = (&self.plan.weights, &weights);
                show_samples(&mut self.watch, out, &self.drawing, drawn, (step, tag), SAMPLES, self.stop)?;
            }
        }
        Ok(())
    }
}
