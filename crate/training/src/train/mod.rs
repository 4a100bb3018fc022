//! Training on the CPU or a GPU: the official recipe, exactly resumable, on one device or several.
//! Appendix B of the paper. Every random number is a function of the seed and the step, so a resumed run is the same
//! run.

mod batch;
mod flops;
mod grads;
mod optimizer;
mod plan;
mod preset;
mod ranks;
mod recipe;
mod run;
mod samples;
mod state;
mod task;
mod tokenizer;
mod tokenizer_preset;
mod tokenizer_quality;
mod trainer;
mod update;
mod watch;

pub use batch::{Batch, loss};
pub use flops::{flops_per_example, measure_roof};
pub use grads::Grads;
pub use optimizer::{Optimizer, OptimizerSettings};
pub use plan::Plan;
pub use preset::Preset;
pub use ranks::{RankError, Ranks};
pub use recipe::{Compute, RateSchedule, Recipe, RecipeError};
pub use run::{Machines, Outcome, TrainError, TrainOptions, train};
pub use samples::{OpenNetwork, SAMPLES, SampleEngine, SamplesError, SharedAutoencoder, show_samples};
pub use state::{plan as resumed_plan, record as resumed_record};
pub use task::{Kept, Pass, Place, Task, Trainable};
pub use tokenizer::{LossWeights, Pictures, TokenizerPlan, TokenizerTask, parts};
pub use tokenizer_preset::TokenizerPreset;
pub use tokenizer_quality::{Quality, measure, some_of};
pub use trainer::{StepError, Stepped, Trainer, tracking};
pub use watch::{RowLoss, StepReport, Watch, WatchError, WatchOptions};
