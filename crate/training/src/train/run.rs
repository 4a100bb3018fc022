//! The training loop: data, steps, reports, checkpoints and a clean stop, on one device or several.
//! Appendix B of the paper.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ranks::{RankError, Ranks};
use super::recipe::RecipeError;
use super::task::{Place, Task, Trainable};
use super::trainer::{StepError, Stepped, tracking};
use super::watch::{StepReport, Watch, WatchError, WatchOptions};
use super::{OpenNetwork, Optimizer, SamplesError, SharedAutoencoder, Trainer, measure_roof, state};
use crate::checkpoint::WeightsError;
use crate::data::{DataError, Dataset, Loader, LoaderOptions, TokenShape};
use burn::tensor::Device;
use marscope_core::checkpoint::CheckpointError;
use marscope_core::config::ConfigError;

/// A hash of the record, by which ranks check that they train the same.
fn fingerprint(record: &str) -> u64 {
    // FNV-1a.
    record.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Machines that train together; each has the same number of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machines {
    /// This machine, from 0.
    pub machine: usize,
    /// Total number of machines.
    pub machines: usize,
    /// Address where machine 0 listens, `host:port`.
    pub meet: String,
}

/// Options of a run that do not change its result.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools)] // choices that have nothing to do with each other
pub struct TrainOptions {
    /// Folder of the run.
    pub out: PathBuf,
    /// Continue the run in the folder.
    pub resume: bool,
    /// Weights to start from instead of random ones, or an official checkpoint to continue.
    pub from: Option<PathBuf>,
    /// Seconds between checkpoints.
    pub save_every: u64,
    /// Steps between checkpoints to keep.
    pub keep_every: Option<usize>,
    /// Steps between log entries.
    pub log_every: usize,
    /// Steps between samples of the EMA and the raw weights.
    pub sample_every: Option<usize>,
    /// Engine that draws the samples; `None` for plain Burn on the training device.
    pub sample_engine: Option<OpenNetwork>,
    /// Autoencoder that turns sampled latents into pictures.
    pub autoencoder: Option<SharedAutoencoder>,
    /// Show the dashboard where there is a terminal.
    pub dashboard: bool,
    /// Write event files for TensorBoard.
    pub tensorboard: bool,
    /// First measure the peak speed of the devices, to compare the speed of training with it.
    pub roof: bool,
    /// Threads per device that load examples.
    pub workers: usize,
    /// Number of unreadable files to skip; one more ends the run.
    pub max_bad: usize,
    /// The other machines.
    pub machines: Option<Machines>,
}

impl TrainOptions {
    /// A new run in the folder `out`, on one machine: a checkpoint every two minutes, plain lines and a log.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            resume: false,
            from: None,
            save_every: 120,
            keep_every: None,
            log_every: 20,
            sample_every: None,
            sample_engine: None,
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
    /// A weights file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network's shape.
    #[error(transparent)]
    Config(ConfigError),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The other devices.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// The run's log files.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Samples.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A file of the run.
    #[error("{}: {source}. The last complete checkpoint in the folder is unchanged", path.display())]
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
        source: WeightsError,
    },
    /// The run's recipe cannot be read.
    #[error("{}: {source}. The run cannot be resumed without it", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The folder holds a run, and `resume` is not set.
    #[error("{} already holds a run: continue it with --resume, or give another --out", .0.display())]
    Exists(PathBuf),
    /// The folder holds no run to continue.
    #[error("{} holds no run to resume: leave out --resume to start a new one", .0.display())]
    NothingToResume(PathBuf),
    /// The examples do not fit the network.
    #[error(
        "the network takes {wanted:?}, but the data has {found:?}: give the data that the preset is made for, or \
         another preset"
    )]
    DataShape {
        /// What the network takes.
        wanted: TokenShape,
        /// What the data has.
        found: TokenShape,
    },
    /// A loss or gradient that is not finite.
    #[error(
        "{what} at step {step}. The batch is saved in {}, and the last checkpoint in {} is good: resume it with a lower \
         --base-rate", batch.display(), out.display()
    )]
    Diverged {
        /// What is not finite.
        what: String,
        /// The step.
        step: usize,
        /// The saved batch.
        batch: PathBuf,
        /// The run.
        out: PathBuf,
    },
}

/// The state of a run when it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done since training began.
    pub step: usize,
    /// Mean loss over the last steps.
    pub loss: f32,
    /// Whether it was stopped before the last step.
    pub stopped: bool,
}

/// Trains until the last step or until `stop` is set, and saves in both cases. Each device takes its share of every
/// batch.
///
/// # Errors
/// See [`TrainError`]: the first error on a device of this machine.
pub fn train<T: Task>(
    task: &T,
    data: &Arc<dyn Dataset>,
    options: &TrainOptions,
    devices: &[Device],
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, TrainError> {
    let Machines { machine, machines, meet } =
        options.machines.clone().unwrap_or(Machines { machine: 0, machines: 1, meet: "127.0.0.1:0".into() });
    let world = devices.len() * machines;
    task.recipe().validate(world)?;
    let wanted = task.examples();
    let found = data.shape();
    if (found.tokens, found.dim) != (wanted.tokens, wanted.dim) || found.classes > wanted.classes {
        return Err(TrainError::DataShape { wanted, found });
    }
    let run = fingerprint(&task.record());
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
                    share.among(|| train_one(task, data, options, device, ranks, stop))
                })
            })
            .collect();
        let ranks = match &listener {
            Some(listener) => Ranks::listen(listener, world, run),
            None => Ranks::join(first, world, &meet, run),
        };
        let mine = ranks
            .map_err(TrainError::from)
            .and_then(|ranks| share.among(|| train_one(task, data, options, &devices[0], ranks, stop)));
        let mut all: Vec<_> = std::iter::once(mine)
            .chain(
                others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            )
            .collect();
        // When one device fails, the others fail too because they lost it: the first device's error is the one to
        // report.
        let told = |one: &Result<_, TrainError>| matches!(one, Err(error) if !matches!(error, TrainError::Rank(_)));
        let at = all.iter().position(told).unwrap_or(0);
        all.swap_remove(at)
    })
}

/// The share of this machine's cores for one of `of` devices. If each device used all cores, their threads would wait
/// for each other.
#[derive(Clone, Copy)]
struct Share {
    of: usize,
}

impl Share {
    /// Runs `work` on that share of the threads.
    fn among<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        if self.of == 1 {
            return work();
        }
        let threads = (rayon::current_num_threads() / self.of).max(1);
        match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => pool.install(work),
            // If no thread pool can be created, the shared one is used.
            Err(_) => work(),
        }
    }
}

/// Trains on one device, together with the other ranks.
fn train_one<T: Task>(
    task: &T,
    data: &Arc<dyn Dataset>,
    options: &TrainOptions,
    device: &Device,
    ranks: Ranks,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, TrainError> {
    let (recipe, [steps, warmup]) = (task.recipe(), task.steps());
    let (out, writes) = (&options.out, ranks.rank() == 0);
    std::fs::create_dir_all(out).map_err(|source| TrainError::Io { path: out.clone(), source })?;
    let mut model = task.init(&tracking(device, recipe));
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
    let mut trainer = Trainer::new(model, optimizer, task, ranks);
    let mut reporter = if writes { Some(RunReporter::open(task, options, device, world, step, stop)?) } else { None };
    let mut stopped = false;
    while step < steps && !stopped {
        let waited = loader.waited();
        let examples = loader.next()?;
        let waited = loader.waited().saturating_sub(waited);
        let rate = recipe.rate_at(step, warmup, steps);
        let rows = reporter.as_ref().is_some_and(|reporter| reporter.watch.logs(step + 1));
        let done = match trainer.step(step, rate, &examples, rows, stop.load(Ordering::Relaxed)) {
            Ok(done) => done,
            Err(StepError::Rank(error)) => return Err(error.into()),
            Err(StepError::NotFinite { what, batch }) => {
                let batch = state::save_batch(out, step, batch)?;
                return Err(TrainError::Diverged { what, step, batch, out: out.clone() });
            }
        };
        step += 1;
        stopped = done.stop;
        if let Some(reporter) = &mut reporter {
            reporter.bad(&loader);
            reporter.step(&trainer, step, &done, rate, waited)?;
        }
    }
    let Some(reporter) = reporter else { return Ok(Outcome { step, loss: f32::NAN, stopped: step < steps }) };
    state::save(out, task, &trainer.model, &trainer.optimizer, step, false)?;
    Ok(Outcome { step, loss: reporter.watch.finish(), stopped: step < steps })
}

/// The work of rank 0 only: reports, samples and checkpoints.
struct RunReporter<'a, T> {
    task: &'a T,
    options: &'a TrainOptions,
    device: &'a Device,
    watch: Watch,
    stop: &'a Arc<AtomicBool>,
    saved: Instant,
    bad: usize,
}

impl<'a, T: Task> RunReporter<'a, T> {
    fn open(
        task: &'a T,
        options: &'a TrainOptions,
        device: &'a Device,
        world: usize,
        step: usize,
        stop: &'a Arc<AtomicBool>,
    ) -> Result<Self, TrainError> {
        let (recipe, [steps, _]) = (task.recipe(), task.steps());
        let passes = recipe.batch / world / recipe.accumulate;
        let watched = WatchOptions {
            log_every: options.log_every,
            dashboard: options.dashboard,
            tensorboard: options.tensorboard,
            roof: options.roof.then(|| measure_roof(device) * world as f64),
            flops_per_example: task.flops_per_example(passes),
            mask_ratio_min: task.mask_ratio_min(),
            steps,
            batch: recipe.batch,
        };
        let watch = Watch::open(&options.out, watched, step, stop.clone())?;
        Ok(Self { task, options, device, watch, stop, saved: Instant::now(), bad: 0 })
    }

    /// Reports the files that could not be read since the last call.
    fn bad(&mut self, loader: &Loader) {
        let bad = loader.bad();
        for file in &bad[self.bad..] {
            self.watch.note(&format!("{}: {}; another image is used instead", file.path.display(), file.what));
        }
        self.bad = bad.len();
    }

    fn step(
        &mut self,
        trainer: &Trainer<'_, T>,
        step: usize,
        done: &Stepped,
        rate: f64,
        waited: Duration,
    ) -> Result<(), TrainError> {
        self.watch.step(&StepReport {
            step,
            examples: self.task.recipe().batch,
            loss: done.loss,
            parts: &done.parts,
            mask_ratio: done.mask_ratio,
            rate,
            gradient_norm: done.gradient_norm,
            rows: done.rows.as_deref(),
            waited,
        })?;
        let due = |every: Option<usize>| every.is_some_and(|every| step.is_multiple_of(every.max(1)));
        let (out, keep) = (&self.options.out, due(self.options.keep_every));
        if keep || self.saved.elapsed().as_secs() >= self.options.save_every {
            state::save(out, self.task, &trainer.model, &trainer.optimizer, step, keep)?;
            self.saved = Instant::now();
        }
        if due(self.options.sample_every) {
            let (ema, raw) = (trainer.optimizer.ema(trainer.model.names()), trainer.model.export());
            let place = Place { out, device: self.device, options: self.options, stop: self.stop };
            for (tag, weights) in [("ema", ema), ("raw", raw)] {
                self.task.show(&mut self.watch, &weights, (step, tag), &place)?;
            }
        }
        Ok(())
    }
}
