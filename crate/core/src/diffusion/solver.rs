//! The solvers: how a step of the reverse process follows from the head's prediction.
//! Section 3.2 of the paper uses DDPM; DDIM (Song et al., 2021) and DPM-Solver++ (Lu et al., 2022) need fewer steps.

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::steps::{Step, Steps};

/// How the reverse process is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Solver {
    /// Ancestral sampling with learned variance, as in the paper.
    #[default]
    Ddpm,
    /// Deterministic, first order: noise only at the start, so the temperature has no effect.
    Ddim,
    /// DPM-Solver++(2M): deterministic, second order.
    Dpm,
}

impl Solver {
    /// Whether it is the paper's.
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
    pub fn is_ddpm(&self) -> bool {
        *self == Self::Ddpm
    }

    /// Its steps over `schedule`.
    pub fn steps(self, schedule: &Schedule) -> Steps {
        match self {
            Self::Ddpm => Steps::of(schedule, |step| ddpm(schedule, step)),
            Self::Ddim => Steps::of(schedule, |step| ddim(schedule, step)),
            Self::Dpm => Steps::of(schedule, |step| dpm(schedule, step)),
        }
    }
}

/// `q(x_{t-1} | x_t, x_0)` with the predicted clean token for `x_0`, its variance learned (Improved DDPM, section 3.1).
fn ddpm(schedule: &Schedule, step: usize) -> Step {
    let (least, most) = (schedule.posterior_log_variance[step], schedule.betas[step].ln());
    Step {
        to_clean: schedule.posterior_mean_x0[step] as f32,
        to_x: schedule.posterior_mean_xt[step] as f32,
        least: least as f32,
        half_range: (0.5 * (most - least)) as f32,
        add_noise: if step > 0 { 1.0 } else { 0.0 },
        ..Step::predict(schedule.alpha_bar[step])
    }
}

/// The predicted clean token plus the predicted noise, rescaled for the next step (DDIM, eq. 12 with eta 0).
fn ddim(schedule: &Schedule, step: usize) -> Step {
    let (now, next) = (schedule.alpha_bar[step], before(schedule, step));
    let to_x = ((1.0 - next) / (1.0 - now)).sqrt();
    Step { to_clean: (next.sqrt() - to_x * now.sqrt()) as f32, to_x: to_x as f32, ..Step::predict(now) }
}

/// DPM-Solver++(2M), algorithm 2: a straight line through the last two predictions, over the half log signal-to-noise
/// ratio. The first step has one prediction only, and the last one ends where the ratio is infinite: both are first order.
fn dpm(schedule: &Schedule, step: usize) -> Step {
    if step == 0 || step + 1 == schedule.len() {
        return ddim(schedule, step);
    }
    let lambda = |alpha_bar: f64| 0.5 * (alpha_bar / (1.0 - alpha_bar)).ln();
    let (last, now, next) = (schedule.alpha_bar[step + 1], schedule.alpha_bar[step], before(schedule, step));
    let h = lambda(next) - lambda(now);
    let line = 0.5 * h / (lambda(now) - lambda(last));
    let weight = -next.sqrt() * (-h).exp_m1();
    Step {
        to_clean: (weight * (1.0 + line)) as f32,
        to_previous: (-weight * line) as f32,
        to_x: ((1.0 - next) / (1.0 - now)).sqrt() as f32,
        ..Step::predict(now)
    }
}

/// alpha-bar after the step; 1 after the last.
fn before(schedule: &Schedule, step: usize) -> f64 {
    if step == 0 { 1.0 } else { schedule.alpha_bar[step - 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token that is one number, drawn from N(mean, variance): the noise that a perfect head predicts is known, and so
    /// is where every deterministic path ends.
    fn end(solver: Solver, count: usize, start: f64) -> f64 {
        let (mean, variance) = (0.3, 0.04);
        let steps = solver.steps(&Schedule::respaced(&count.to_string()).unwrap());
        let (mut x, mut previous) = (start, 0.0);
        for (step, &alpha_bar) in steps.table.iter().zip(&steps.alpha_bar) {
            let total = alpha_bar * variance + 1.0 - alpha_bar;
            let epsilon = (1.0 - alpha_bar).sqrt() * (x - alpha_bar.sqrt() * mean) / total;
            let clean = x * f64::from(step.clean_x) - epsilon * f64::from(step.clean_epsilon);
            x = clean * f64::from(step.to_clean) + x * f64::from(step.to_x) + previous * f64::from(step.to_previous);
            previous = clean;
        }
        x
    }

    /// The probability flow keeps a Gaussian's quantiles: x ends at mean + deviation * start.
    #[test]
    fn deterministic_paths_end_where_the_flow_does() {
        for start in [-1.5, 0.0, 0.7, 2.0] {
            let error = |solver, count| (end(solver, count, start) - (0.3 + 0.2 * start)).abs();
            assert!(error(Solver::Ddim, 500) < 4e-3, "{start}: {}", error(Solver::Ddim, 500));
            assert!(error(Solver::Dpm, 500) < 4e-4, "{start}: {}", error(Solver::Dpm, 500));
        }
        let shrinks = |solver| (end(solver, 200, 2.0) - 0.7).abs() / (end(solver, 100, 2.0) - 0.7).abs();
        assert!((0.4..0.6).contains(&shrinks(Solver::Ddim)), "the first order halves: {}", shrinks(Solver::Ddim));
        assert!((0.15..0.3).contains(&shrinks(Solver::Dpm)), "the second one quarters: {}", shrinks(Solver::Dpm));
    }

    #[test]
    fn only_ddpm_adds_noise() {
        let schedule = Schedule::respaced("10").unwrap();
        for (solver, expected) in [(Solver::Ddpm, 9), (Solver::Ddim, 0), (Solver::Dpm, 0)] {
            let noisy = solver.steps(&schedule).table.iter().filter(|step| step.add_noise > 0.0).count();
            assert_eq!(noisy, expected, "{solver:?}");
        }
    }
}
