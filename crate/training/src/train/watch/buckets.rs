//! The mean loss in each part of a range: of the timesteps or of the mask ratios.
//! A constant mean loss can hide a part that still falls, or one that diverges.

use std::ops::Range;

/// Means over equal parts of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    names: Vec<String>,
    range: Range<f64>,
    sums: Vec<f64>,
    counts: Vec<usize>,
}

impl Buckets {
    /// 10 parts of the 1,000 timesteps: `000-099` to `900-999`.
    pub fn of_timesteps() -> Self {
        let names = (0..10).map(|i| format!("{:03}-{:03}", 100 * i, 100 * i + 99)).collect();
        Self::new(0.0..1000.0, names)
    }

    /// 6 parts of the mask ratios from `least` to 1: `0.70-0.75` to `0.95-1.00` for 0.7.
    pub fn of_mask_ratios(least: f64) -> Self {
        let edge = |i: usize| least + (1.0 - least) * i as f64 / 6.0;
        let names = (0..6).map(|i| format!("{:.2}-{:.2}", edge(i), edge(i + 1))).collect();
        Self::new(least..1.0, names)
    }

    fn new(range: Range<f64>, names: Vec<String>) -> Self {
        Self { range, sums: vec![0.0; names.len()], counts: vec![0; names.len()], names }
    }

    /// Adds `value` to the part that contains `at`, or to the nearest part.
    pub fn add(&mut self, at: f64, value: f32) {
        let share = (at - self.range.start) / (self.range.end - self.range.start);
        let bucket = ((share * self.sums.len() as f64) as usize).min(self.sums.len() - 1);
        self.sums[bucket] += f64::from(value);
        self.counts[bucket] += 1;
    }

    /// Name and mean of every part that received values since the last call.
    pub fn take(&mut self) -> Vec<(String, f64)> {
        let means = self.names.iter().zip(self.sums.iter().zip(&self.counts));
        let means = means.filter(|(_, (_, count))| **count > 0);
        let means = means.map(|(name, (sum, &count))| (name.clone(), sum / count as f64)).collect();
        self.sums.fill(0.0);
        self.counts.fill(0);
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(buckets: &mut Buckets, pairs: &[(f64, f32)]) -> Vec<(String, f64)> {
        for &(at, value) in pairs {
            buckets.add(at, value);
        }
        buckets.take()
    }

    fn named(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs.iter().map(|&(name, mean)| (name.to_owned(), mean)).collect()
    }

    #[test]
    fn timesteps_at_the_edges_fall_on_the_right_side() {
        let mut buckets = Buckets::of_timesteps();
        let found = means(&mut buckets, &[(0.0, 1.0), (99.0, 2.0), (100.0, 5.0), (999.0, 7.0), (1000.0, 9.0)]);
        assert_eq!(found, named(&[("000-099", 1.5), ("100-199", 5.0), ("900-999", 8.0)]));
        assert_eq!(buckets.take(), []);
    }

    #[test]
    fn mask_ratios_share_the_range_they_are_drawn_from() {
        let mut buckets = Buckets::of_mask_ratios(0.7);
        let found = means(&mut buckets, &[(0.7, 1.0), (0.749, 3.0), (0.851, 4.0), (1.0, 6.0), (0.2, 8.0)]);
        assert_eq!(found, named(&[("0.70-0.75", 4.0), ("0.85-0.90", 4.0), ("0.95-1.00", 6.0)]));
    }

    #[test]
    fn a_range_of_one_ratio_has_one_bucket_filled() {
        assert_eq!(means(&mut Buckets::of_mask_ratios(1.0), &[(1.0, 2.0)]), named(&[("1.00-1.00", 2.0)]));
    }
}
