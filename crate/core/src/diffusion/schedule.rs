//! The cosine noise schedule and its respacing to fewer steps, in f64.
//! Section 3.2 of the paper; Improved DDPM, sections 3.2 and 4.

/// Steps of the training process.
pub const TRAIN_STEPS: usize = 1000;

/// The tables of one process, indexed by step (0 is the least noisy).
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The timestep of the 1,000 that each step stands for.
    pub timesteps: Vec<usize>,
    /// Variance added by each step.
    pub betas: Vec<f64>,
    /// Share of the signal's variance left after each step.
    pub alpha_bar: Vec<f64>,
    /// Variance of `q(x_{t-1} | x_t, x_0)`.
    pub posterior_variance: Vec<f64>,
    /// Its logarithm, where step 0 (variance 0) takes step 1's.
    pub posterior_log_variance: Vec<f64>,
    /// Weight of `x_0` in the mean of `q(x_{t-1} | x_t, x_0)`.
    pub posterior_mean_x0: Vec<f64>,
    /// Weight of `x_t` in it.
    pub posterior_mean_xt: Vec<f64>,
}

/// Why a respacing is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither counts nor `ddimN`.
    #[error(
        "'{0}' is not a respacing: give a number of diffusion steps such as 100, a list such as 10,20,30, or ddim25"
    )]
    Syntax(String),
    /// A section has fewer timesteps than are asked of it.
    #[error("a section of {size} timesteps cannot have {count} diffusion steps: give 2 to {size}")]
    TooMany {
        /// Steps asked for.
        count: usize,
        /// Timesteps there.
        size: usize,
    },
    /// No whole stride gives that many steps.
    #[error("no whole stride over 1,000 timesteps gives {0} DDIM steps; try 10, 20, 25, 50 or 100")]
    NoStride(usize),
    /// A process of less than two steps has no posterior variance.
    #[error("{0} diffusion steps are too few: give at least 2")]
    TooFew(usize),
}

impl Schedule {
    /// The process the network is trained on.
    pub fn train() -> Self {
        Self::over((0..TRAIN_STEPS).collect())
    }

    /// A respaced process: counts such as `100` or `10,20,30` (one a section), or `ddim25` (a fixed stride).
    ///
    /// # Errors
    /// Says what is wrong with `spec` and what is valid.
    pub fn respaced(spec: &str) -> Result<Self, ScheduleError> {
        let timesteps = match spec.strip_prefix("ddim") {
            Some(count) => fixed_stride(parse(count, spec)?)?,
            None => sections(&spec.split(',').map(|part| parse(part, spec)).collect::<Result<Vec<_>, _>>()?)?,
        };
        if timesteps.len() < 2 {
            return Err(ScheduleError::TooFew(timesteps.len()));
        }
        Ok(Self::over(timesteps))
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.timesteps.len()
    }

    /// Never: a schedule has at least two steps.
    pub fn is_empty(&self) -> bool {
        self.timesteps.is_empty()
    }

    /// Timestep and alpha-bar of x after `taken` steps of the reverse process: those of the next step. A finished token has
    /// timestep 0 and alpha-bar 1.
    pub fn after(&self, taken: usize) -> (usize, f64) {
        match self.len().checked_sub(taken + 1) {
            Some(step) => (self.timesteps[step], self.alpha_bar[step]),
            None => (0, 1.0),
        }
    }

    /// The tables over `timesteps`, which rise: each beta is what takes alpha-bar from one kept timestep to the next.
    fn over(timesteps: Vec<usize>) -> Self {
        let full = cosine_alpha_bar();
        let mut last = 1.0;
        let betas: Vec<f64> = timesteps
            .iter()
            .map(|&t| {
                let beta = 1.0 - full[t] / last;
                last = full[t];
                beta
            })
            .collect();
        let alpha_bar = cumulative(&betas);
        let before = |i: usize| if i == 0 { 1.0 } else { alpha_bar[i - 1] };
        let table = |f: &dyn Fn(usize) -> f64| (0..betas.len()).map(f).collect::<Vec<f64>>();
        let posterior_variance = table(&|i| betas[i] * (1.0 - before(i)) / (1.0 - alpha_bar[i]));
        Self {
            posterior_log_variance: table(&|i| posterior_variance[i.max(1)].ln()),
            posterior_mean_x0: table(&|i| betas[i] * before(i).sqrt() / (1.0 - alpha_bar[i])),
            posterior_mean_xt: table(&|i| (1.0 - before(i)) * (1.0 - betas[i]).sqrt() / (1.0 - alpha_bar[i])),
            posterior_variance,
            timesteps,
            betas,
            alpha_bar,
        }
    }
}

/// alpha-bar of the training process: a squared cosine, its betas capped at 0.999.
fn cosine_alpha_bar() -> Vec<f64> {
    let curve = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |i: usize| curve(i as f64 / TRAIN_STEPS as f64);
    cumulative(&(0..TRAIN_STEPS).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999)).collect::<Vec<_>>())
}

/// Running product of `1 - beta`.
fn cumulative(betas: &[f64]) -> Vec<f64> {
    betas
        .iter()
        .scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        })
        .collect()
}

fn parse(number: &str, spec: &str) -> Result<usize, ScheduleError> {
    number.trim().parse().map_err(|_| ScheduleError::Syntax(spec.to_owned()))
}

/// Every `stride`-th timestep, for the first whole stride that gives `count` of them.
fn fixed_stride(count: usize) -> Result<Vec<usize>, ScheduleError> {
    (1..TRAIN_STEPS)
        .find(|stride| TRAIN_STEPS.div_ceil(*stride) == count)
        .map(|stride| (0..TRAIN_STEPS).step_by(stride).collect())
        .ok_or(ScheduleError::NoStride(count))
}

/// The timesteps in equal sections, `counts[i]` of them spread evenly over section i, both ends included.
fn sections(counts: &[usize]) -> Result<Vec<usize>, ScheduleError> {
    let (size_each, extra) = (TRAIN_STEPS / counts.len(), TRAIN_STEPS % counts.len());
    let mut start = 0;
    let mut kept = Vec::new();
    for (i, &count) in counts.iter().enumerate() {
        let size = size_each + usize::from(i < extra);
        if count > size {
            return Err(ScheduleError::TooMany { count, size });
        }
        let stride = if count <= 1 { 1.0 } else { (size - 1) as f64 / (count - 1) as f64 };
        // Summing the stride, as the official code does, and not multiplying: the two round differently.
        let mut at = 0.0f64;
        for _ in 0..count {
            kept.push(start + at.round_ties_even() as usize);
            at += stride;
        }
        start += size;
    }
    kept.dedup();
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_specs_say_what_would_do() {
        assert_eq!(Schedule::respaced("many"), Err(ScheduleError::Syntax("many".into())));
        assert_eq!(Schedule::respaced(""), Err(ScheduleError::Syntax(String::new())));
        assert_eq!(Schedule::respaced("ddim7x"), Err(ScheduleError::Syntax("ddim7x".into())));
        assert_eq!(Schedule::respaced("ddim999"), Err(ScheduleError::NoStride(999)));
        assert_eq!(Schedule::respaced("1001"), Err(ScheduleError::TooMany { count: 1001, size: 1000 }));
        assert_eq!(Schedule::respaced("1"), Err(ScheduleError::TooFew(1)));
        assert_eq!(Schedule::respaced("0"), Err(ScheduleError::TooFew(0)));
    }

    #[test]
    fn frames_are_at_the_step_that_comes_next() {
        let schedule = Schedule::respaced("4").unwrap();
        assert_eq!(schedule.timesteps, [0, 333, 666, 999]);
        let timesteps: Vec<usize> = (0..=4).map(|taken| schedule.after(taken).0).collect();
        assert_eq!(timesteps, [999, 666, 333, 0, 0]);
        assert_eq!((schedule.after(3).1, schedule.after(4).1), (schedule.alpha_bar[0], 1.0));
    }

    proptest! {
        #[test]
        fn respaced_alpha_bar_is_the_training_one_at_the_kept_timesteps(count in 2usize..=1000) {
            let (train, some) = (Schedule::train(), Schedule::respaced(&count.to_string()).unwrap());
            prop_assert_eq!(some.len(), count);
            prop_assert_eq!((some.timesteps[0], some.timesteps[count - 1]), (0, 999));
            for (i, &t) in some.timesteps.iter().enumerate() {
                // A large stride leaves 1 - beta near 0, where f64 has few digits left.
                prop_assert!((some.alpha_bar[i] - train.alpha_bar[t]).abs() < 1e-6 * train.alpha_bar[t] + 1e-12);
            }
            prop_assert!(some.timesteps.is_sorted_by(|a, b| a < b));
        }

        #[test]
        fn no_spec_panics(spec in "(ddim)?[0-9,]{0,12}") {
            let _ = Schedule::respaced(&spec);
        }
    }
}
