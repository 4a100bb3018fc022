//! The diffusion process that models one token given its condition z: schedule, training loss, reverse process.
//! Section 3.2 of the paper (Diffusion Loss); Improved DDPM (Nichol and Dhariwal, 2021) for the learned variance.

pub mod draw;
#[cfg(feature = "burn")]
pub mod loss;
#[cfg(feature = "burn")]
pub mod reverse;
pub mod schedule;
pub mod solver;
pub mod steps;

pub use draw::{Draw, Drawn};
pub use schedule::{Schedule, ScheduleError};
pub use solver::Solver;
pub use steps::{Step, Steps};
