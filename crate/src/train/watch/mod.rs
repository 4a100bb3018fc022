//! Watching a training run: what each step did, gathered, and shown on the screen, in `log.jsonl` and in TensorBoard.
//! Whoever trains calls [`Watch::step`] after every step; nothing here changes what is trained.

mod append;
mod bar;
mod buckets;
mod dashboard;
mod error;
mod jsonl;
mod logged;
mod plain;
mod screen;
mod speed;
mod tensorboard;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::buckets::Buckets;
pub use self::error::WatchError;
use self::jsonl::Log;
use self::logged::Logged;
use self::screen::Screen;
use self::speed::{Speed, Stretch};
use self::tensorboard::EventFile;
use crate::grid::Grid;

/// The loss of one noised token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLoss {
    /// Timestep, of the 1,000.
    pub t: usize,
    /// `mse + vb`.
    pub loss: f32,
}

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// Steps done since training began, this one included.
    pub step: usize,
    /// Examples of the whole batch, over all devices.
    pub examples: usize,
    /// Mean loss over masked tokens: `mse + vb`.
    pub loss: f32,
    /// Mean squared error of the noise.
    pub mse: f32,
    /// Variational bound.
    pub vb: f32,
    /// Share of the tokens that were masked.
    pub mask_ratio: f64,
    /// Learning rate.
    pub rate: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// Each noised token's loss; read only on steps that [`Watch::logs`] asks for.
    pub rows: Option<&'a [RowLoss]>,
    /// Time of the step spent blocked on data.
    pub waited: Duration,
}

/// What is watched, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchOptions {
    /// Steps between lines of the log; the last step has one too.
    pub log_every: usize,
    /// Show the dashboard where there is a terminal.
    pub dashboard: bool,
    /// Write event files for TensorBoard.
    pub tensorboard: bool,
    /// Floating-point operations a second that all devices together can do, where known.
    pub roof: Option<f64>,
    /// Floating-point operations of training on one example.
    pub flops_per_example: f64,
    /// Smallest mask ratio that is drawn; the largest is 1.
    pub mask_ratio_min: f64,
    /// Steps in all.
    pub steps: usize,
    /// Examples a step.
    pub batch: usize,
}

/// A run being watched. Dropping it gives the terminal back.
pub struct Watch {
    options: WatchOptions,
    stop: Arc<AtomicBool>,
    screen: Box<dyn Screen>,
    log: Log,
    events: Option<EventFile>,
    timesteps: Buckets,
    ratios: Buckets,
    since: Instant,
    all: Stretch,
    sums: Sums,
    mean_loss: f64,
    slow_data: bool,
}

/// What the steps since the last line add up to.
#[derive(Clone, Copy, Default)]
struct Sums {
    stretch: Stretch,
    loss: f64,
    mse: f64,
    vb: f64,
    mask_ratio: f64,
    gradient_norm: f64,
    gradient_norm_max: f64,
}

impl Watch {
    /// Opens the records in the folder `out` of a run that stands at step `resumed_at` (0 for a new one), and drops what
    /// they tell of later steps. Sets `stop` when the person at the screen asks for it.
    ///
    /// # Errors
    /// [`WatchError`] when a record cannot be read or written.
    pub fn open(
        out: &Path,
        options: WatchOptions,
        resumed_at: usize,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, WatchError> {
        let log = Log::open(out, resumed_at)?;
        let events = options.tensorboard.then(|| EventFile::open(out, resumed_at)).transpose()?;
        Ok(Self {
            // Last, so that an error before it finds the terminal as it was.
            screen: screen::open(&options, resumed_at),
            stop,
            log,
            events,
            timesteps: Buckets::of_timesteps(),
            ratios: Buckets::of_mask_ratios(options.mask_ratio_min),
            options,
            since: Instant::now(),
            all: Stretch::default(),
            sums: Sums::default(),
            mean_loss: f64::NAN,
            slow_data: false,
        })
    }

    /// Whether step number `step` (counted from 1) is logged, so that its rows are wanted.
    pub fn logs(&self, step: usize) -> bool {
        step.is_multiple_of(self.options.log_every.max(1)) || step == self.options.steps
    }

    /// Takes note of a step that was just done.
    ///
    /// # Errors
    /// [`WatchError`] when a record cannot be written.
    pub fn step(&mut self, report: &StepReport) -> Result<(), WatchError> {
        self.sums.add(report);
        self.ratios.add(report.mask_ratio, report.loss);
        self.screen.step(report.step);
        if self.screen.asked_to_stop() {
            self.stop.store(true, Ordering::Relaxed);
        }
        if !self.logs(report.step) {
            return Ok(());
        }
        for row in report.rows.unwrap_or_default() {
            self.timesteps.add(row.t as f64, row.loss);
        }
        let logged = self.log_line(report);
        self.screen.logged(&logged);
        self.log.push(&logged)?;
        self.events.as_ref().map_or(Ok(()), |events| events.numbers(&logged))
    }

    /// The line for everything since the line before, with `report` the last of it.
    fn log_line(&mut self, report: &StepReport) -> Logged {
        let mut sums = std::mem::take(&mut self.sums);
        sums.stretch.elapsed = self.since.elapsed();
        self.since = Instant::now();
        self.all.steps += sums.stretch.steps;
        self.all.elapsed += sums.stretch.elapsed;
        let WatchOptions { steps, batch, flops_per_example, roof, .. } = self.options;
        let speed = Speed::of(&sums.stretch, &self.all, steps.saturating_sub(report.step), flops_per_example, roof);
        // The first lines wait for a pipeline to fill. Afterwards it is said when it begins, not at every line.
        let slow = speed.data_note().filter(|_| self.all.steps > sums.stretch.steps);
        if let Some(note) = slow.as_ref().filter(|_| !self.slow_data) {
            self.screen.note(note);
        }
        self.slow_data = slow.is_some();

        self.mean_loss = sums.mean(sums.loss);
        Logged {
            step: report.step,
            examples: report.step * batch,
            loss: self.mean_loss,
            mse: sums.mean(sums.mse),
            vb: sums.mean(sums.vb),
            mask_ratio: sums.mean(sums.mask_ratio),
            rate: report.rate,
            gradient_norm: sums.mean(sums.gradient_norm),
            gradient_norm_max: sums.gradient_norm_max,
            speed,
            resident_bytes: memory_stats::memory_stats().map(|memory| memory.physical_mem),
            loss_by_timestep: self.timesteps.take().into_iter().collect(),
            loss_by_mask_ratio: self.ratios.take().into_iter().collect(),
        }
    }

    /// Shows samples of `step` in TensorBoard. `tag` says of which weights: `ema` or `raw`.
    ///
    /// # Errors
    /// [`WatchError`] when the record cannot be written.
    pub fn images(&mut self, step: usize, tag: &str, grid: &Grid) -> Result<(), WatchError> {
        self.events.as_ref().map_or(Ok(()), |events| events.image(step, &format!("samples/{tag}"), grid))
    }

    /// Shows a person `text`, one line.
    pub fn note(&mut self, text: &str) {
        self.screen.note(text);
    }

    /// Gives the terminal back. The mean loss of the steps since the last line, or else of those before it; NaN without
    /// a step.
    pub fn finish(self) -> f32 {
        let sums = self.sums;
        (if sums.stretch.steps > 0 { sums.mean(sums.loss) } else { self.mean_loss }) as f32
    }
}

impl Sums {
    fn add(&mut self, report: &StepReport) {
        self.stretch.steps += 1;
        self.stretch.examples += report.examples;
        self.stretch.waited += report.waited;
        self.loss += f64::from(report.loss);
        self.mse += f64::from(report.mse);
        self.vb += f64::from(report.vb);
        self.mask_ratio += report.mask_ratio;
        self.gradient_norm += f64::from(report.gradient_norm);
        self.gradient_norm_max = self.gradient_norm_max.max(f64::from(report.gradient_norm));
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.stretch.steps as f64
    }
}

#[cfg(test)]
mod tests;
