//! Trains the classifier used for evaluation: `AdamW`, a cosine learning rate, mirrored images.
//! Not from the paper; takes minutes on one core.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::classifier::{Classifier, ClassifierShape};
use super::fit::{Training, fit};
use super::{EvalError, measurable};
use crate::data::ImageSet;
use crate::model::indices;
use marscope_core::random::Stream;
use marscope_core::tokenizer::from_byte;

/// Trains a classifier of `classes` classes on `images`, showing progress on stderr.
///
/// # Errors
/// [`EvalError::Label`] for a label beyond `classes`, [`EvalError::Small`] for images too small.
pub fn train_classifier(images: &ImageSet, classes: usize, training: Training) -> Result<Classifier, EvalError> {
    measurable("training data", images, classes)?;
    let shape = ClassifierShape { channels: images.channels, side: images.side, classes };
    let device = Device::flex().autodiff();
    let classifier = Classifier::init(shape, training.seed, &device);
    Ok(fit(classifier, images.len(), training, "classifier", |classifier, batch, stream| {
        loss(classifier, images, batch, stream, &device)
    }))
}

/// How the classifier of an evaluation is trained.
pub const CLASSIFIER_TRAINING: Training = Training { epochs: 6, rate: 1.5e-3, seed: 1 };

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
    use marscope_core::random::Philox;

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
        let training = Training { epochs: 20, rate: 5e-3, seed: 4 };
        let images = three_kinds(240, 1);
        let classifier = train_classifier(&images, 3, training).unwrap();
        let accuracy = classifier.accuracy(&three_kinds(90, 2));
        assert!(accuracy > 0.95, "{accuracy}");
        let again = train_classifier(&images, 3, training).unwrap();
        assert_eq!(again.to_checkpoint(), classifier.to_checkpoint());
        let other = train_classifier(&images, 3, Training { seed: 5, ..training }).unwrap();
        assert_ne!(other.to_checkpoint(), classifier.to_checkpoint());
    }

    #[test]
    fn images_it_cannot_learn_from_are_refused() {
        let refused = |images: &ImageSet, classes| {
            train_classifier(images, classes, CLASSIFIER_TRAINING).unwrap_err().to_string()
        };
        assert!(refused(&three_kinds(6, 1), 2).contains("label 2"));
        let small = ImageSet { pixels: vec![0; 49], labels: vec![0], channels: 1, side: 7 };
        assert!(refused(&small, 1).contains("7 pixels a side"));
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
