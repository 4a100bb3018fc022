//! Training on the CPU or a GPU: the official recipe, resumable to the step, watched through one progress line.
//! Appendix B of the paper; every random choice is a function of (seed, step), so that a resumed run is the same run.

mod batch;
mod flops;
mod optimizer;
mod preset;
mod replace;
mod run;
mod samples;
mod state;
mod watch;

pub use batch::{Batch, loss};
pub use flops::{flops_per_example, measure_roof};
pub use optimizer::{Optimizer, OptimizerSettings};
pub use preset::{Preset, Recipe};
pub use run::{Outcome, TrainError, TrainOptions, train};
pub use samples::{SAMPLES, SamplesError, show_samples};
pub use watch::{RowLoss, StepReport, Watch, WatchError, WatchOptions};
