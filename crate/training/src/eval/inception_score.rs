//! The Inception Score (Salimans et al., arXiv 1606.03498): high if each image has a clear class and all classes occur.
//! The paper's IS (section 5), in ADM's form: consecutive splits of 5,000 images, in the order of generation.

use serde::{Deserialize, Serialize};

/// Images per split; the last split may have fewer. The usual 50,000 images make ten splits.
pub const SPLIT: usize = 5_000;

/// A score over several splits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InceptionScore {
    /// Mean over the splits, from 1 (classes not distinguishable) to the number of classes.
    pub mean: f64,
    /// Standard deviation over the n splits, divided by n and not n - 1; 0 with a single split.
    pub deviation: f64,
}

/// Accumulates the sums for the score, batch by batch.
#[derive(Clone, Debug)]
pub struct ScoreSums {
    split: usize,
    count: usize,
    /// Sum of the class probabilities p over the images of the split, `[classes]`.
    probabilities: Vec<f64>,
    /// Sum of p log p over images and classes.
    negative_entropy: f64,
    scores: Vec<f64>,
}

impl ScoreSums {
    /// Empty sums for images of `classes` scores each, in splits of `split`.
    pub fn new(classes: usize, split: usize) -> Self {
        Self { split, count: 0, probabilities: vec![0.0; classes], negative_entropy: 0.0, scores: Vec::new() }
    }

    /// Adds images by their finite scores before the softmax, `[n, classes]`.
    pub fn push(&mut self, logits: &[f32]) {
        for logits in logits.chunks_exact(self.probabilities.len()) {
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let above = |logit: f32| f64::from(logit) - f64::from(highest);
            let log_total = logits.iter().map(|&logit| above(logit).exp()).sum::<f64>().ln();
            for (sum, &logit) in self.probabilities.iter_mut().zip(logits) {
                let log_p = above(logit) - log_total;
                let p = log_p.exp();
                *sum += p;
                self.negative_entropy += p * log_p;
            }
            self.count += 1;
            if self.count == self.split {
                self.end_split();
            }
        }
    }

    /// exp of the mean over images of KL(p | mean p), that is, mean of p log p minus mean p log mean p.
    fn end_split(&mut self) {
        let count = self.count as f64;
        let marginal: f64 =
            self.probabilities.iter().map(|sum| sum / count).filter(|&q| q > 0.0).map(|q| q * q.ln()).sum();
        self.scores.push((self.negative_entropy / count - marginal).exp());
        self.count = 0;
        self.probabilities.fill(0.0);
        self.negative_entropy = 0.0;
    }

    /// The score; `None` without images.
    pub fn finish(mut self) -> Option<InceptionScore> {
        if self.count > 0 {
            self.end_split();
        }
        let splits = self.scores.len() as f64;
        let mean = self.scores.iter().sum::<f64>() / splits;
        let variance = self.scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / splits;
        (splits > 0.0).then(|| InceptionScore { mean, deviation: variance.sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::frechet::tests::repeatable;

    fn score(logits: &[f32], classes: usize, split: usize) -> InceptionScore {
        let mut sums = ScoreSums::new(classes, split);
        // In batches of different sizes, which must not matter.
        for piece in logits.chunks(7 * classes) {
            sums.push(piece);
        }
        sums.finish().unwrap()
    }

    #[test]
    fn images_all_alike_score_one_and_images_of_every_class_their_number() {
        assert!((score(&[0.3, -1.0, 2.0].repeat(20), 3, 100).mean - 1.0).abs() < 1e-12);
        let sure: Vec<f32> =
            (0..40).flat_map(|i| (0..4).map(move |class| if class == i % 4 { 90.0 } else { 0.0 })).collect();
        let InceptionScore { mean, deviation } = score(&sure, 4, 20);
        assert!((mean - 4.0).abs() < 1e-9 && deviation < 1e-9);
        assert_eq!(ScoreSums::new(3, 5).finish(), None);
    }

    /// Two classes, p = (3/4, 1/4) and (1/4, 3/4): KL = log 2 + 3/4 log 3/4 + 1/4 log 1/4.
    #[test]
    fn two_unsure_images_have_a_closed_form() {
        let log_three = 3f32.ln();
        let found = score(&[log_three, 0.0, 0.0, log_three], 2, 10).mean;
        let expected = (2f64.ln() + 0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln()).exp();
        assert!((found - expected).abs() < 1e-6, "{found}");
    }

    /// Against numpy, by ADM's formula: `exp(mean(sum(p * (log(p) - log(mean(p))))))` over splits of 40 of 100 images.
    #[test]
    fn as_numpy_has_it() {
        let mut next = repeatable();
        let logits: Vec<f32> =
            (0..100 * 6).map(|i| ((4.0 * next() - 2.0) * (1.0 + f64::from(i % 6) / 3.0)) as f32).collect();
        let InceptionScore { mean, deviation } = score(&logits, 6, 40);
        assert!((mean - 2.160_818_924_705_775_4).abs() < 1e-6, "{mean}");
        assert!((deviation - 0.058_249_443_327_657_21).abs() < 1e-6, "{deviation}");
    }
}
