//! What a set of pictures shows, counted by part and value: coverage, the distance between two sets' frequencies, certainty.
//! Not from the paper; data sets whose pictures are made of known parts have them.

/// Counts over a set of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Of each question, the pictures that show each value; the last place is for values that do not count.
    counts: Vec<Vec<u64>>,
    /// Sum of the largest probabilities, and their number.
    sure: (f64, u64),
}

impl Tally {
    /// An empty tally; `values` is the number of values of each question.
    pub fn new(values: &[usize]) -> Self {
        Self { counts: values.iter().map(|&count| vec![0; count + 1]).collect(), sure: (0.0, 0) }
    }

    /// Adds an answer: the question, the value found (`None` for one that does not count), and its probability.
    pub fn add(&mut self, question: usize, value: Option<usize>, probability: f64) {
        let counts = &mut self.counts[question];
        let other = counts.len() - 1;
        counts[value.unwrap_or(other)] += 1;
        self.sure.0 += probability;
        self.sure.1 += 1;
    }

    /// Whether each value of each question is shown, question by question.
    fn shown(&self) -> impl Iterator<Item = bool> {
        self.counts.iter().flat_map(|counts| counts[..counts.len() - 1].iter().map(|&count| count > 0))
    }

    /// The share of the values that `real` shows which are shown here too: 1 if none is missing, or if `real` shows none.
    pub fn coverage(&self, real: &Self) -> f64 {
        let (mut both, mut all) = (0u64, 0u64);
        for (shown, wanted) in self.shown().zip(real.shown()) {
            both += u64::from(shown && wanted);
            all += u64::from(wanted);
        }
        if all == 0 { 1.0 } else { both as f64 / all as f64 }
    }

    /// The total variation distance of the two frequency tables: half the sum over a question's values of the difference of
    /// their shares, from 0 (the same shares) to 1 (nothing in common); the mean over the questions that both have pictures
    /// for.
    pub fn distance(&self, real: &Self) -> f64 {
        let both = self.counts.iter().zip(&real.counts).filter_map(|(a, b)| {
            let [all_a, all_b] = [a, b].map(|counts| counts.iter().sum::<u64>() as f64);
            let differences = a.iter().zip(b).map(|(&a, &b)| (a as f64 / all_a - b as f64 / all_b).abs());
            (all_a > 0.0 && all_b > 0.0).then(|| 0.5 * differences.sum::<f64>())
        });
        let distances: Vec<f64> = both.collect();
        distances.iter().sum::<f64>() / distances.len().max(1) as f64
    }

    /// The mean of the largest probabilities; 0 without answers.
    pub fn certainty(&self) -> f64 {
        self.sure.0 / self.sure.1.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two questions of two and three values, with these counts of each value and of others.
    fn tally(first: [u64; 3], second: [u64; 4]) -> Tally {
        let mut tally = Tally::new(&[2, 3]);
        for (question, counts) in [&first[..], &second].into_iter().enumerate() {
            for (value, &count) in counts.iter().enumerate() {
                let counted = (value + 1 < counts.len()).then_some(value);
                (0..count).for_each(|_| tally.add(question, counted, 1.0));
            }
        }
        tally
    }

    #[test]
    fn coverage_is_of_what_real_pictures_show() {
        let real = tally([3, 1, 0], [2, 0, 2, 0]);
        assert!((real.coverage(&real) - 1.0).abs() < 1e-12);
        // Two of the four values that real pictures show; the value that they do not show does not help.
        assert!((tally([9, 0, 0], [0, 5, 1, 0]).coverage(&real) - 0.5).abs() < 1e-12);
        // Values that do not count are none of them.
        assert!((tally([0, 0, 4], [0, 0, 0, 4]).coverage(&real)).abs() < 1e-12);
        assert!((real.coverage(&tally([0, 0, 4], [0, 0, 0, 0])) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_distance_is_total_variation_averaged_over_questions() {
        let real = tally([3, 1, 0], [2, 0, 2, 0]);
        assert!(real.distance(&real).abs() < 1e-12);
        // The same shares, of more pictures.
        assert!(tally([6, 2, 0], [1, 0, 1, 0]).distance(&real).abs() < 1e-12);
        // 3/4 and 1/4 against 1/4 and 3/4 is 1/2; nothing in common is 1.
        assert!((tally([1, 3, 0], [0, 4, 0, 0]).distance(&real) - 0.75).abs() < 1e-12);
        // Others are a value like the rest: 3/4, 1/4, 0 against 1/2, 0, 1/2.
        assert!((tally([2, 0, 2], [1, 0, 1, 0]).distance(&real) - 0.25).abs() < 1e-12);
        assert!((real.distance(&tally([2, 0, 2], [1, 0, 1, 0])) - 0.25).abs() < 1e-12);
        // A question that one of them has no pictures for is left out.
        assert!((tally([1, 3, 0], [0, 0, 0, 0]).distance(&real) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn certainty_is_the_mean_probability() {
        let mut tally = Tally::new(&[2]);
        assert!(tally.certainty().abs() < 1e-12);
        tally.add(0, Some(1), 0.5);
        tally.add(0, None, 0.75);
        tally.add(0, Some(0), 1.0);
        assert!((tally.certainty() - 0.75).abs() < 1e-12);
    }
}
