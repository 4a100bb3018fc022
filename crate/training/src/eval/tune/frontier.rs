//! The frontier of quality against time: the trials that no other one beats in both.
//! Quality is the Frechet ratio; the share classified as asked decides which trials may become the defaults.

use super::Trial;

/// The defaults are the fastest settings whose Frechet ratio is at most this much above the best one's.
const AS_GOOD: f64 = 1.05;

/// The defaults are classified as asked at most this much less often than real pictures are recognised.
const AS_ASKED: f64 = 0.01;

/// A trial that was measured: its place, its milliseconds and its Frechet ratio.
type Point = (usize, f64, f64);

fn points(trials: &[Trial], places: impl Iterator<Item = usize>) -> Vec<Point> {
    let point = |place: usize| {
        let trial = &trials[place];
        trial.figures.map(|figures| (place, trial.milliseconds, figures.frechet_ratio))
    };
    places.filter_map(point).collect()
}

/// Of the trials at `places`, those that no other one beats in time or quality without being worse in the other; the fastest
/// first. Trials that were too slow to be measured are none.
pub(super) fn frontier(trials: &[Trial], places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut points = points(trials, places);
    points.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    let mut best = f64::INFINITY;
    let better = points.into_iter().filter(|&(_, _, ratio)| {
        let better = ratio < best;
        best = best.min(ratio);
        better
    });
    better.map(|(place, ..)| place).collect()
}

/// The best `count` trials at `places`: the frontier, then the frontier of what is left, and so on. Of the last one those with
/// the lowest ratio.
pub(super) fn best(trials: &[Trial], places: impl Iterator<Item = usize>, count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = places.collect();
    let mut taken = Vec::new();
    while taken.len() < count {
        let mut layer = points(trials, frontier(trials, left.iter().copied()).into_iter());
        if layer.is_empty() {
            break;
        }
        layer.sort_by(|a, b| a.2.total_cmp(&b.2));
        layer.truncate(count - taken.len());
        left.retain(|place| !layer.iter().any(|(of_layer, ..)| of_layer == place));
        taken.extend(layer.into_iter().map(|(place, ..)| place));
    }
    taken
}

/// Which of the trials at `places` to take as defaults: of those within `budget` milliseconds, classified as asked nearly as
/// often as real pictures are recognised (or most often, if none is), the fastest that is about as good as the best.
pub(super) fn choose(trials: &[Trial], places: &[usize], budget: f64) -> Option<usize> {
    let within = places.iter().filter(|&&place| trials[place].milliseconds <= budget);
    let measured: Vec<_> = within.filter_map(|&place| Some((place, trials[place].figures?))).collect();
    let highest = measured.iter().map(|(_, figures)| figures.classified).fold(0.0, f64::max);
    let wanted = |real: f64| highest.min(real) - AS_ASKED;
    let good = measured.iter().filter(|(_, figures)| figures.classified >= wanted(figures.real_classified));
    let good: Vec<_> = good.map(|&(place, figures)| (place, figures.frechet_ratio)).collect();
    let lowest = good.iter().map(|&(_, ratio)| ratio).fold(f64::INFINITY, f64::min);
    let as_good = good.into_iter().filter(|&(_, ratio)| ratio <= lowest * AS_GOOD).map(|(place, _)| place);
    as_good.min_by(|&a, &b| trials[a].milliseconds.total_cmp(&trials[b].milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::tune::tests::trial;

    /// Milliseconds, ratio and share classified as asked; a ratio of 0 is a trial that was too slow.
    fn trials(of: &[(f64, f64, f64)]) -> Vec<Trial> {
        of.iter().map(|&(milliseconds, ratio, classified)| trial(0, milliseconds, ratio, classified)).collect()
    }

    #[test]
    fn nothing_on_the_frontier_is_beaten_and_all_else_is() {
        let trials = trials(&[
            (5.0, 2.0, 0.9),
            (1.0, 9.0, 0.9),
            (4.0, 3.0, 0.9),
            (6.0, 2.0, 0.9),
            (2.0, 3.0, 0.9),
            (0.5, 0.0, 0.0),
        ]);
        assert_eq!(frontier(&trials, 0..6), [1, 4, 0]);
        assert_eq!(frontier(&trials, [2, 3, 5].into_iter()), [2, 3]);
        assert_eq!(frontier(&trials, std::iter::empty()), [0; 0]);
        // Layer by layer, the lowest ratios first: [0, 4, 1], then [3, 2].
        assert_eq!(best(&trials, 0..6, 4), [0, 4, 1, 3]);
        assert_eq!(best(&trials, 0..6, 9), [0, 4, 1, 3, 2]);
    }

    /// Real pictures are recognised in 0.92 of the trials below.
    #[test]
    fn the_fastest_of_the_good_within_the_budget_is_chosen() {
        let all = trials(&[(9.0, 2.0, 0.95), (5.0, 2.08, 0.915), (4.0, 2.2, 0.95), (3.0, 2.0, 0.8), (20.0, 1.0, 0.95)]);
        let places = [0, 1, 2, 3, 4];
        assert_eq!(choose(&all, &places, 10.0), Some(1));
        assert_eq!(choose(&all, &places, 4.5), Some(2));
        assert_eq!(choose(&all, &places, 100.0), Some(4));
        // Where nothing is recognised often enough, what is recognised most often counts.
        assert_eq!(choose(&all, &places, 3.0), Some(3));
        assert_eq!(choose(&all, &places, 1.0), None);
    }
}
