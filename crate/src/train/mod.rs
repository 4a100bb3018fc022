//! Training on the CPU or a GPU: the official recipe, resumable to the step, watched through one progress line.
//! Appendix B of the paper; every random choice is a function of (seed, step), so that a resumed run is the same run.

mod batch;
mod optimizer;
mod preset;
mod run;
mod state;

pub use batch::{Batch, loss};
pub use optimizer::{Optimizer, OptimizerSettings};
pub use preset::{Preset, Recipe};
pub use run::{Outcome, TrainError, TrainOptions, train};
