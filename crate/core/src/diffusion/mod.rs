//! The diffusion process of a token given its condition z: schedule, solvers and the reverse process.
//! Section 3.2 of the paper (Diffusion Loss); Improved DDPM (Nichol and Dhariwal, 2021) for the learned variance.

pub mod respacing;
pub mod reverse;
pub mod schedule;
pub mod solver;
pub mod steps;

pub use respacing::Respacing;
pub use reverse::{ReverseProcess, Trajectory};
pub use schedule::{Schedule, ScheduleError, TRAIN_STEPS};
pub use solver::Solver;
pub use steps::{Step, Steps};
