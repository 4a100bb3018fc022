//! Trains the classifier used for evaluation: `AdamW`, a cosine learning rate, mirrored images.
//! Not from the paper; takes minutes on one core.

use std::f64::consts::PI;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation};
use indicatif::{ProgressBar, ProgressStyle};

use super::classifier::{Classifier, ClassifierShape};
use super::{EvalError, measurable};
use crate::data::ImageSet;
use crate::model::indices;
use marscope_core::random::{Philox, Stream};
use marscope_core::tokenizer::from_byte;

/// Images per step.
const BATCH: usize = 64;

/// Steps of warm-up.
const WARM_UP: usize = 100;

/// Training options of the classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifierTraining {
    /// Number of epochs.
    pub epochs: usize,
    /// Peak learning rate; it falls to zero along a cosine.
    pub rate: f64,
    /// Random seed, which determines the weights.
    pub seed: u64,
}

impl Default for ClassifierTraining {
    fn default() -> Self {
        Self { epochs: 6, rate: 1.5e-3, seed: 1 }
    }
}

/// Trains a classifier of `classes` classes on `images`, showing progress on stderr.
///
/// # Errors
/// [`EvalError::Label`] for a label beyond `classes`, [`EvalError::Small`] for images too small.
pub fn train_classifier(
    images: &ImageSet,
    classes: usize,
    training: ClassifierTraining,
) -> Result<Classifier, EvalError> {
    measurable("training data", images, classes)?;
    let shape = ClassifierShape { channels: images.channels, side: images.side, classes };
    let device = Device::flex().autodiff();
    let mut classifier = Classifier::init(shape, training.seed, &device);
    let mut optimizer = AdamWConfig::new().with_weight_decay(0.02).init();
    let random = Philox::new(training.seed);
    let total = training.epochs * images.len().div_ceil(BATCH);

    let progress = ProgressBar::new(total as u64).with_style(
        ProgressStyle::with_template("classifier {bar:30} {pos}/{len} steps, {msg}, {eta} left")
            .expect("the template names fields that exist"),
    );
    let (mut step, mut mean_loss) = (0, f64::NAN);
    for epoch in 0..training.epochs {
        let mut stream = random.stream(epoch as u32, 0);
        let mut order: Vec<usize> = (0..images.len()).collect();
        stream.shuffle(&mut order);
        for batch in order.chunks(BATCH) {
            let loss = loss(&classifier, images, batch, &mut stream, &device);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            mean_loss = if mean_loss.is_nan() { value } else { 0.98 * mean_loss + 0.02 * value };
            let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
            let rate = rate_at(training.rate, step, total);
            classifier = optimizer.step(rate, classifier, gradients);
            step += 1;
            progress.set_message(format!("loss {mean_loss:.3}"));
            progress.inc(1);
        }
    }
    progress.finish();
    Ok(classifier)
}

/// The learning rate of step `step` of `total`: linear warm-up, then a cosine to zero.
fn rate_at(highest: f64, step: usize, total: usize) -> f64 {
    let warm_up = WARM_UP.min(total / 2);
    if step < warm_up {
        return highest * (step + 1) as f64 / warm_up as f64;
    }
    let passed = (step - warm_up) as f64 / (total - warm_up) as f64;
    highest * 0.5 * (1.0 + (PI * passed).cos())
}

/// Cross-entropy of one batch, each image mirrored at random.
fn loss(
    classifier: &Classifier,
    images: &ImageSet,
    batch: &[usize],
    stream: &mut Stream,
    device: &Device,
) -> Tensor<1> {
    let (count, classes) = (batch.len(), classifier.shape().classes);
    let mut pixels = Vec::with_capacity(count * images.channels * images.side * images.side);
    for &image in batch {
        vary(images.image(image), images.side, stream, &mut pixels);
    }
    let data = TensorData::new(pixels, [count, images.channels, images.side, images.side]);
    let log_likelihood = activation::log_softmax(classifier.forward(Tensor::from_data(data, device)).logits, 1);
    let asked =
        batch.iter().enumerate().map(|(row, &image)| (row * classes + usize::from(images.labels[image])) as i32);
    -log_likelihood.reshape([count * classes]).select(0, indices(asked.collect(), device)).mean()
}

/// Appends `image`, mirrored with probability 1/2.
fn vary(image: &[u8], side: usize, stream: &mut Stream, out: &mut Vec<f32>) {
    let mirrored = stream.below(2) == 1;
    for row in image.chunks_exact(side) {
        let from = out.len();
        out.extend(row.iter().map(|&byte| from_byte(byte)));
        if mirrored {
            out[from..].reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noisy 8x8 images of three classes that stay distinct when mirrored: dark, bright, bright above dark.
    fn three_kinds(count: usize, seed: u64) -> ImageSet {
        let mut stream = Philox::new(seed).stream(0, 0);
        let labels: Vec<u16> = (0..count).map(|i| (i % 3) as u16).collect();
        let mut pixels = Vec::with_capacity(count * 64);
        for &label in &labels {
            for place in 0..64 {
                let bright = label == 1 || label == 2 && place < 32;
                pixels.push((stream.below(120) + if bright { 100 } else { 0 }) as u8);
            }
        }
        ImageSet { pixels, labels, channels: 1, side: 8 }
    }

    #[test]
    fn learns_what_it_is_shown_and_the_same_from_the_same_seed() {
        let training = ClassifierTraining { epochs: 20, rate: 5e-3, seed: 4 };
        let images = three_kinds(240, 1);
        let classifier = train_classifier(&images, 3, training).unwrap();
        let accuracy = classifier.accuracy(&three_kinds(90, 2));
        assert!(accuracy > 0.95, "{accuracy}");
        let again = train_classifier(&images, 3, training).unwrap();
        assert_eq!(again.to_checkpoint(), classifier.to_checkpoint());
        let other = train_classifier(&images, 3, ClassifierTraining { seed: 5, ..training }).unwrap();
        assert_ne!(other.to_checkpoint(), classifier.to_checkpoint());
    }

    #[test]
    fn images_it_cannot_learn_from_are_refused() {
        let refused = |images: &ImageSet, classes| {
            train_classifier(images, classes, ClassifierTraining::default()).unwrap_err().to_string()
        };
        assert!(refused(&three_kinds(6, 1), 2).contains("label 2"));
        let small = ImageSet { pixels: vec![0; 49], labels: vec![0], channels: 1, side: 7 };
        assert!(refused(&small, 1).contains("7 pixels a side"));
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let rates: Vec<f64> = (0..1_000).map(|step| rate_at(2.0, step, 1_000)).collect();
        assert!((rates[0] - 0.02).abs() < 1e-12);
        assert!((rates[WARM_UP] - 2.0).abs() < 1e-12);
        assert!((rates[550] - 1.0).abs() < 1e-12);
        assert!(rates[..WARM_UP].is_sorted() && rates[WARM_UP..].is_sorted_by(|a, b| a > b));
        assert!(rates[999] < 1e-4);
    }

    #[test]
    fn variants_are_the_image_and_its_mirror_image() {
        let image = [0, 255, 51, 102, 153, 204];
        let value = |byte: u8| from_byte(byte);
        let (plain, mirrored) = (image.map(value), [51, 255, 0, 204, 153, 102].map(value));
        let mut stream = Philox::new(1).stream(0, 0);
        let mut mirrored_count = 0;
        for _ in 0..200 {
            let mut out = Vec::new();
            vary(&image, 3, &mut stream, &mut out);
            assert!(out == plain || out == mirrored);
            mirrored_count += usize::from(out == mirrored);
        }
        // 100 expected; 5 standard deviations are 35.
        assert!((65..135).contains(&mirrored_count), "{mirrored_count}");
    }
}
