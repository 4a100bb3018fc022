//! The diffusion process that models one token given its condition z: schedule, training loss, reverse process.
//! Section 3.2 of the paper (Diffusion Loss); Improved DDPM (Nichol and Dhariwal, 2021) for the learned variance.

pub mod draw;
#[cfg(feature = "burn")]
pub mod loss;
#[cfg(feature = "burn")]
pub mod reverse;
pub mod schedule;
pub mod steps;

pub use draw::{Draw, Drawn};
#[cfg(feature = "burn")]
pub use reverse::{Prediction, Process, Reverse, ReverseSettings, Trajectory};
pub use schedule::{Schedule, ScheduleError};
pub use steps::{Step, Steps};
