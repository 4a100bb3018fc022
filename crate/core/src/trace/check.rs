//! What must hold between the parts of a trace.
//! A file comes from anywhere; past this check everything may be taken at its word.

use super::{Trace, TraceError, TraceIteration};
use crate::sampler::settings::SEED;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), TraceError> {
    if holds { Ok(()) } else { Err(TraceError::Damaged(otherwise())) }
}

impl Trace {
    pub(super) fn check(&self) -> Result<(), TraceError> {
        let length = self.order.len();
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        ensure(length > 0 && sorted.into_iter().eq(0..length), || "its order is not each position once".into())?;

        let settings = &self.settings.sampling;
        ensure(SEED.contains(&self.settings.seed), || format!("its seed {} is over 2^53 - 1", self.settings.seed))?;
        settings.check(length).map_err(|error| TraceError::Damaged(error.to_string()))?;
        ensure(settings.steps.count().is_some(), || {
            format!("its diffusion steps are a number, not '{}'", settings.steps)
        })?;

        if let Some(start) = &self.start {
            ensure(start.iteration < settings.iterations, || {
                format!("it starts before iteration {} of {}", start.iteration, settings.iterations)
            })?;
            check_mask("its start", &start.masked, length)?;
            check_tokens("its start", start.tokens.len(), length)?;
        }
        self.check_iterations()?;
        let starts = self.start.iter().map(|start| start.tokens.len());
        let mut sizes = starts.chain(self.iterations.iter().map(|iteration| iteration.before.len()));
        let size = sizes.next();
        ensure(sizes.all(|other| Some(other) == size), || "its tokens are of several sizes".into())
    }

    fn check_iterations(&self) -> Result<(), TraceError> {
        let first = self.iterations.first().map_or(0, |first| first.iteration);
        let latest = self.start.as_ref().map_or(0, |start| start.iteration);
        ensure(first <= latest, || format!("its iterations begin with {first}, and it starts at {latest}"))?;
        for (number, iteration) in (first..).zip(&self.iterations) {
            ensure(iteration.iteration == number, || {
                format!("iteration {} stands where {number} belongs", iteration.iteration)
            })?;
            ensure(number < self.settings.sampling.iterations, || {
                format!("it has an iteration {number} of {}", self.settings.sampling.iterations)
            })?;
            iteration.check(self.order.len())?;
        }
        Ok(())
    }
}

impl TraceIteration {
    fn check(&self, length: usize) -> Result<(), TraceError> {
        let what = format!("iteration {}", self.iteration);
        check_mask(&what, &self.mask_before, length)?;
        check_tokens(&what, self.before.len(), length)?;
        ensure(!self.tokens.is_empty(), || format!("{what} has no tokens"))?;
        let mut sorted = self.tokens.clone();
        sorted.sort_unstable();
        sorted.dedup();
        ensure(sorted.len() == self.tokens.len(), || format!("{what} has a token twice"))?;
        for &token in &self.tokens {
            ensure(self.mask_before.get(token) == Some(&1), || {
                format!("{what} has token {token}, which is not masked")
            })?;
        }
        ensure(self.cfg.is_finite(), || format!("the cfg of {what} is not finite"))?;
        let frames = self.timesteps.len();
        ensure(frames > 0 && frames == self.alpha_bar.len(), || {
            format!("{what} has {frames} timesteps and {} values of alpha_bar", self.alpha_bar.len())
        })?;
        ensure(self.alpha_bar.iter().all(|share| (0.0..=1.0).contains(share)), || {
            format!("an alpha_bar of {what} is not between 0 and 1")
        })?;
        ensure(self.ms.backbone.is_finite() && self.ms.head.is_finite(), || {
            format!("the time of {what} is not finite")
        })?;
        let expected = (self.before.len() / length).saturating_mul(self.tokens.len()).saturating_mul(frames);
        ensure(self.trajectory.len() == expected, || {
            format!("the trajectory of {what} has {} numbers, not {expected}", self.trajectory.len())
        })
    }
}

fn check_mask(what: &str, masked: &[u8], length: usize) -> Result<(), TraceError> {
    ensure(masked.len() == length, || format!("{what} has {} mask entries for {length} tokens", masked.len()))?;
    ensure(masked.iter().all(|&entry| entry <= 1), || format!("the mask of {what} has more than 0 and 1 in it"))
}

fn check_tokens(what: &str, numbers: usize, length: usize) -> Result<(), TraceError> {
    ensure(numbers > 0 && numbers.is_multiple_of(length), || {
        format!("{what} has {numbers} numbers, which {length} tokens do not share")
    })
}
