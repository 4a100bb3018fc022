//! The diffusion steps of each iteration: equal, or fewer in later iterations, whose tokens are more determined.
//! Diffusion step annealing (`DiSA`, Zhao et al., 2025) over section 3.4 of the paper.

use std::sync::Arc;

use super::{SampleError, Settings};
use crate::diffusion::{Respacing, Schedule, Steps};

/// The reverse process of each iteration from `first` on, `count` of them.
///
/// # Errors
/// Says what is wrong with the numbers of steps.
pub(super) fn steps_of(settings: &Settings, first: usize, count: usize) -> Result<Vec<Arc<Steps>>, SampleError> {
    let mut made: Vec<(Respacing, Arc<Steps>)> = Vec::new();
    let mut steps = |respacing: Respacing| -> Result<Arc<Steps>, SampleError> {
        if let Some((_, known)) = made.iter().find(|(known, _)| *known == respacing) {
            return Ok(known.clone());
        }
        let new = Arc::new(settings.solver.steps(&Schedule::respaced(&respacing.to_string())?));
        made.push((respacing, new.clone()));
        Ok(new)
    };
    let Some(late) = settings.late_steps else {
        let same = steps(settings.steps.clone())?;
        return Ok(vec![same; count]);
    };
    let early = settings.steps.count().ok_or_else(|| SampleError::LateSteps(settings.steps.to_string()))?;
    (first..first + count)
        .map(|iteration| steps(steps_in(early, late, iteration, settings.iterations).into()))
        .collect()
}

/// Diffusion steps of `iteration`, which is below `iterations`: on the straight line from `early` in the first to `late` in
/// the last, halves rounded up. Whole numbers throughout, for the page computes it too (`www/src/state/budget.ts`).
pub fn steps_in(early: usize, late: usize, iteration: usize, iterations: usize) -> usize {
    if iterations == 1 {
        return early;
    }
    let last = iterations - 1;
    (2 * (early * (last - iteration) + late * iteration) + last) / (2 * last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_down_evenly_to_the_last() {
        let line = |early, late, iterations| -> Vec<usize> {
            (0..iterations).map(|iteration| steps_in(early, late, iteration, iterations)).collect()
        };
        assert_eq!(line(50, 5, 6), [50, 41, 32, 23, 14, 5]);
        assert_eq!(line(50, 5, 1), [50]);
        assert_eq!(line(10, 20, 2), [10, 20], "up, where somebody asks for it");
        assert_eq!(line(56, 2, 13), [56, 52, 47, 43, 38, 34, 29, 25, 20, 16, 11, 7, 2], "halves go up");
    }
}
