//! Training on the CPU or a GPU: the official recipe, resumable to the step, on one device or many.
//! Appendix B of the paper; every random choice is a function of (seed, step), so that a resumed run is the same run.

mod batch;
mod flops;
mod grads;
mod optimizer;
mod preset;
mod ranks;
mod recipe;
mod run;
mod samples;
mod state;
mod trainer;
mod update;
mod watch;

pub use batch::{Batch, loss};
pub use flops::{flops_per_example, measure_roof};
pub use grads::Grads;
pub use optimizer::{Optimizer, OptimizerSettings};
pub use preset::Preset;
pub use ranks::{RankError, Ranks};
pub use recipe::{Compute, RateSchedule, Recipe, RecipeError};
pub use run::{Machines, Outcome, Plan, TrainError, TrainOptions, train};
pub use samples::{Drawing, SAMPLES, SamplesError, show_samples};
pub use state::plan as resumed_plan;
pub use trainer::{StepError, Stepped, Trainer};
pub use watch::{RowLoss, StepReport, Watch, WatchError, WatchOptions};
