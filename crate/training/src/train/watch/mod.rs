//! Reports a training run: collects what each step did and shows it on the screen, in `log.jsonl` and in TensorBoard.
//! The trainer calls [`Watch::step`] after every step. Nothing here affects the training.

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

use std::collections::BTreeMap;
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
    /// Mean loss.
    pub loss: f32,
    /// The parts of the loss, by name; the same names in every step.
    pub parts: &'a [(&'static str, f32)],
    /// Share of masked tokens, if the task masks any.
    pub mask_ratio: Option<f64>,
    /// Learning rate.
    pub rate: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// Each noised token's loss; read only on steps for which [`Watch::logs`] is true.
    pub rows: Option<&'a [RowLoss]>,
    /// Time that the step spent waiting for data.
    pub waited: Duration,
}

/// Options of the reports.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchOptions {
    /// Steps between log entries; the last step is always logged.
    pub log_every: usize,
    /// Show the dashboard where there is a terminal.
    pub dashboard: bool,
    /// Write event files for TensorBoard.
    pub tensorboard: bool,
    /// Peak floating-point operations per second of all devices together, if known.
    pub roof: Option<f64>,
    /// Floating-point operations of training on one example.
    pub flops_per_example: f64,
    /// Smallest mask ratio, if the task masks tokens; the largest is 1.
    pub mask_ratio_min: Option<f64>,
    /// Total number of steps.
    pub steps: usize,
    /// Examples per step.
    pub batch: usize,
}

/// Reports one run. Dropping it restores the terminal.
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

/// Sums over the steps since the last log entry.
#[derive(Default)]
struct Sums {
    stretch: Stretch,
    loss: f64,
    parts: BTreeMap<&'static str, f64>,
    mask_ratio: Option<f64>,
    gradient_norm: f64,
    gradient_norm_max: f64,
}

impl Watch {
    /// Opens the log files in the folder `out` of a run at step `resumed_at` (0 for a new run), and drops their entries
    /// of later steps. Sets `stop` when the user asks for it on the screen.
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
            // Opened last, so that earlier errors find the terminal unchanged.
            screen: screen::open(&options, resumed_at),
            stop,
            log,
            events,
            timesteps: Buckets::of_timesteps(),
            ratios: Buckets::of_mask_ratios(options.mask_ratio_min.unwrap_or(0.0)),
            options,
            since: Instant::now(),
            all: Stretch::default(),
            sums: Sums::default(),
            mean_loss: f64::NAN,
            slow_data: false,
        })
    }

    /// Whether step `step` (from 1) is logged and needs the loss of each token.
    pub fn logs(&self, step: usize) -> bool {
        step.is_multiple_of(self.options.log_every.max(1)) || step == self.options.steps
    }

    /// Reports a step that was just done.
    ///
    /// # Errors
    /// [`WatchError`] when a record cannot be written.
    pub fn step(&mut self, report: &StepReport) -> Result<(), WatchError> {
        self.sums.add(report);
        if let Some(ratio) = report.mask_ratio {
            self.ratios.add(ratio, report.loss);
        }
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

    /// The log entry for the steps since the previous entry, of which `report` is the last.
    fn log_line(&mut self, report: &StepReport) -> Logged {
        let mut sums = std::mem::take(&mut self.sums);
        sums.stretch.elapsed = self.since.elapsed();
        self.since = Instant::now();
        self.all.steps += sums.stretch.steps;
        self.all.elapsed += sums.stretch.elapsed;
        let WatchOptions { steps, batch, flops_per_example, roof, .. } = self.options;
        let speed = Speed::of(&sums.stretch, &self.all, steps.saturating_sub(report.step), flops_per_example, roof);
        // The first entries wait for the loader to fill up. Later the message comes when waiting begins, not at every
        // entry.
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
            parts: sums.parts.iter().map(|(&name, &sum)| (name.to_owned(), sums.mean(sum))).collect(),
            mask_ratio: sums.mask_ratio.map(|sum| sums.mean(sum)),
            rate: report.rate,
            gradient_norm: sums.mean(sums.gradient_norm),
            gradient_norm_max: sums.gradient_norm_max,
            speed,
            resident_bytes: memory_stats::memory_stats().map(|memory| memory.physical_mem),
            loss_by_timestep: self.timesteps.take().into_iter().collect(),
            loss_by_mask_ratio: self.ratios.take().into_iter().collect(),
        }
    }

    /// Shows samples of `step` in TensorBoard. `tag` names the weights: `ema` or `raw`.
    ///
    /// # Errors
    /// [`WatchError`] when the record cannot be written.
    pub fn images(&mut self, step: usize, tag: &str, grid: &Grid) -> Result<(), WatchError> {
        self.events.as_ref().map_or(Ok(()), |events| events.image(step, &format!("samples/{tag}"), grid))
    }

    /// Shows the user a message of one line.
    pub fn note(&mut self, text: &str) {
        self.screen.note(text);
    }

    /// Restores the terminal. Returns the mean loss of the steps since the last log entry, or of that entry if there
    /// are none; NaN if no step was made.
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
        for &(name, value) in report.parts {
            *self.parts.entry(name).or_default() += f64::from(value);
        }
        if let Some(ratio) = report.mask_ratio {
            *self.mask_ratio.get_or_insert_default() += ratio;
        }
        self.gradient_norm += f64::from(report.gradient_norm);
        self.gradient_norm_max = self.gradient_norm_max.max(f64::from(report.gradient_norm));
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.stretch.steps as f64
    }
}

#[cfg(test)]
mod tests;
