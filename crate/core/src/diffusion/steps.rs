//! A solver as a table: the coefficients with which a step combines x, the predicted clean token and noise.
//! Section 3.2 of the paper ("Sampler"). Every solver is linear in these, so one loop runs all of them.

use super::schedule::Schedule;

/// The coefficients of one step. With epsilon and v from the head:
/// `clean = clip(x * clean_x - epsilon * clean_epsilon)`,
/// `x' = clean * to_clean + x * to_x + previous_clean * to_previous + deviation * noise * temperature`,
/// `deviation = add_noise * exp((least + (v + 1) * half_range) / 2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Weight of x in the predicted clean token.
    pub clean_x: f32,
    /// Weight of the predicted noise in it, subtracted.
    pub clean_epsilon: f32,
    /// Weight of the predicted clean token in the next x.
    pub to_clean: f32,
    /// Weight of x in it.
    pub to_x: f32,
    /// Weight of the clean token that the step before predicted.
    pub to_previous: f32,
    /// The least log-variance of the noise.
    pub least: f32,
    /// Half of the range of log-variances above it.
    pub half_range: f32,
    /// 1 where the step adds noise, 0 where it does not.
    pub add_noise: f32,
}

/// The steps of a process, the noisiest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// The timestep of the 1,000 that each step starts from.
    pub timesteps: Vec<usize>,
    /// The share of the signal's variance there.
    pub alpha_bar: Vec<f64>,
    /// The steps.
    pub table: Vec<Step>,
}

impl Steps {
    /// Calls `step` for each step of `schedule`, which counts from the least noisy one.
    pub(super) fn of(schedule: &Schedule, step: impl FnMut(usize) -> Step) -> Self {
        Self {
            timesteps: schedule.timesteps.iter().rev().copied().collect(),
            alpha_bar: schedule.alpha_bar.iter().rev().copied().collect(),
            table: (0..schedule.len()).rev().map(step).collect(),
        }
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Never: a process has at least two steps.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Timestep and alpha-bar of x when `taken` steps are taken: those of the step that comes next; a finished token is
    /// at timestep 0, all signal.
    pub fn after(&self, taken: usize) -> (usize, f64) {
        match self.timesteps.get(taken) {
            Some(&timestep) => (timestep, self.alpha_bar[taken]),
            None => (0, 1.0),
        }
    }
}

impl Step {
    /// A step that predicts the clean token at `alpha_bar` and does nothing with it.
    pub(super) fn predict(alpha_bar: f64) -> Self {
        Self {
            clean_x: (1.0 / alpha_bar).sqrt() as f32,
            clean_epsilon: (1.0 / alpha_bar - 1.0).sqrt() as f32,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    /// The clean token that follows from x and the predicted noise.
    pub fn clean(&self, x: f32, epsilon: f32, clip: Option<f32>) -> f32 {
        let clean = x * self.clean_x - epsilon * self.clean_epsilon;
        clip.map_or(clean, |bound| clean.clamp(-bound, bound))
    }

    /// Standard deviation of what the step adds, before temperature; 0 where it adds nothing.
    pub fn deviation(&self, v: f32) -> f32 {
        if self.add_noise == 0.0 { 0.0 } else { (0.5 * (self.least + (v + 1.0) * self.half_range)).exp() }
    }
}
