//! How many diffusion steps each iteration gets: the same in all, or fewer in later ones, whose tokens have more to go by.
//! Diffusion step annealing (`DiSA`, Zhao et al., 2025) over section 3.4 of the paper.

use std::sync::Arc;

use super::{SampleError, Settings};
use crate::diffusion::{Schedule, Steps};

/// The reverse process of each iteration from `first` on, `count` of them.
///
/// # Errors
/// Says what is wrong with the numbers of steps.
pub(super) fn steps_of(settings: &Settings, first: usize, count: usize) -> Result<Vec<Arc<Steps>>, SampleError> {
    let mut made: Vec<(String, Arc<Steps>)> = Vec::new();
    let mut steps = |spec: String| -> Result<Arc<Steps>, SampleError> {
        if let Some((_, known)) = made.iter().find(|(name, _)| *name == spec) {
            return Ok(known.clone());
        }
        let new = Arc::new(settings.solver.steps(&Schedule::respaced(&spec)?));
        made.push((spec, new.clone()));
        Ok(new)
    };
    let Some(late) = settings.late_steps else {
        let same = steps(settings.steps.clone())?;
        return Ok(vec![same; count]);
    };
    let early: usize = settings.steps.parse().map_err(|_| SampleError::LateSteps(settings.steps.clone()))?;
    steps(early.to_string())?;
    steps(late.to_string())?;
    (first..first + count)
        .map(|iteration| steps(between(early, late, iteration, settings.iterations).to_string()))
        .collect()
}

/// On the straight line from `early` in the first iteration to `late` in the last.
fn between(early: usize, late: usize, iteration: usize, iterations: usize) -> usize {
    let share = if iterations > 1 { iteration as f64 / (iterations - 1) as f64 } else { 0.0 };
    (early as f64 + (late as f64 - early as f64) * share).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_down_evenly_to_the_last() {
        let line: Vec<usize> = (0..6).map(|iteration| between(50, 5, iteration, 6)).collect();
        assert_eq!(line, [50, 41, 32, 23, 14, 5]);
        assert_eq!(between(50, 5, 0, 1), 50);
        assert_eq!(between(10, 20, 1, 2), 20, "up, where somebody asks for it");
    }
}
