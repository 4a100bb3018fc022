//! Trains the parts network: `AdamW`, a cosine learning rate, pictures as they are.
//! They are not mirrored, since a wink has a side.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::network::PartsNetwork;
use super::questions::Questions;
use crate::data::{ImageSet, Parts};
use crate::eval::fit::{Training, fit};
use crate::eval::{EvalError, measurable};
use crate::model::indices;

/// Smallest side of a picture: four halvings leave one place.
const SMALLEST: usize = 16;

/// How the parts network of an evaluation is trained.
pub const PARTS_TRAINING: Training = Training { epochs: 3, rate: 2e-3, seed: 1 };

/// Trains a network on `train`, pictures of `classes` and what each was made of, and shows progress on stderr. Then decides
/// by the pictures of `validation` which values count.
///
/// # Errors
/// [`EvalError::Label`] for a label without a class, [`EvalError::Small`] for pictures too small, [`EvalError::NoParts`] when
/// the pictures of no class differ in a part.
///
/// # Panics
/// When there are not as many parts as pictures, or when validation pictures have another shape than training ones.
pub fn train_parts(
    [train, validation]: [(&ImageSet, &[Parts]); 2],
    classes: &[String],
    training: Training,
) -> Result<PartsNetwork, EvalError> {
    let (images, parts) = train;
    measurable("training data", images, classes.len())?;
    measurable("test data", validation.0, classes.len())?;
    if images.side < SMALLEST {
        return Err(EvalError::Small { side: images.side, least: SMALLEST });
    }
    assert_eq!(images.len(), parts.len(), "parts of every picture");
    let questions = Questions::of([images.channels, images.side], classes, &images.labels, parts);
    if questions.questions.is_empty() {
        return Err(EvalError::NoParts);
    }
    let label = |image: usize| usize::from(images.labels[image]);
    let answers: Vec<Vec<(usize, usize)>> =
        parts.iter().enumerate().map(|(image, parts)| questions.answers(label(image), parts).collect()).collect();
    let targets = Targets::new(&questions, &answers);
    let device = Device::flex().autodiff();
    let network = PartsNetwork::init(questions, training.seed, &device);
    let trained = fit(network, images.len(), training, "parts network", |network, batch, _| {
        let pixels: Vec<u8> = batch.iter().flat_map(|&image| images.image(image)).copied().collect();
        let computed = network.forward(network.input(&pixels));
        targets.loss(computed.parts, batch) + class_loss(computed.class, batch.iter().map(|&image| label(image)))
    });
    let mut trained = PartsNetwork::load(trained.questions().clone(), &trained.to_checkpoint(), &Device::flex())
        .expect("parameters of a network of these questions");
    trained.validate(validation.0, validation.1);
    Ok(trained)
}

/// Cross-entropy of the classes, the mean over pictures.
fn class_loss(scores: Tensor<2>, labels: impl Iterator<Item = usize>) -> Tensor<1> {
    let ([count, classes], device) = (scores.dims(), scores.device());
    let asked = labels.enumerate().map(|(row, label)| (row * classes + label) as i32);
    -activation::log_softmax(scores, 1).reshape([count * classes]).select(0, indices(asked.collect(), &device)).mean()
}

/// The right answers, and which values belong to one question.
struct Targets<'a> {
    /// Of each training picture: questions, and the numbers of the right values in them.
    answers: &'a [Vec<(usize, usize)>],
    /// The place of each question's first value among all.
    starts: Vec<usize>,
    values: usize,
    /// `[values, questions]`: 1 where a value belongs to a question.
    belongs: Vec<f32>,
}

impl<'a> Targets<'a> {
    fn new(questions: &Questions, answers: &'a [Vec<(usize, usize)>]) -> Self {
        let (values, count) = (questions.values(), questions.questions.len());
        let (mut starts, mut belongs) = (Vec::with_capacity(count), vec![0.0; values * count]);
        let mut start = 0;
        for (number, question) in questions.questions.iter().enumerate() {
            starts.push(start);
            (0..question.values.len()).for_each(|value| belongs[(start + value) * count + number] = 1.0);
            start += question.values.len();
        }
        Self { answers, starts, values, belongs }
    }

    /// Cross-entropy of the parts, the mean over the questions asked about the pictures of `batch`; `scores` are `[n, values]`.
    fn loss(&self, scores: Tensor<2>, batch: &[usize]) -> Tensor<1> {
        let ([count, values], questions, device) = (scores.dims(), self.starts.len(), scores.device());
        let (mut right, mut asked) = (vec![0f32; count * self.values], vec![0f32; count * questions]);
        let mut all = 0usize;
        for (row, &image) in batch.iter().enumerate() {
            for &(question, value) in &self.answers[image] {
                right[row * values + self.starts[question] + value] = 1.0;
                asked[row * questions + question] = 1.0;
                all += 1;
            }
        }
        let matrix = |data: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(data, shape), &device);
        let belongs = matrix(self.belongs.clone(), [values, questions]);
        // Every softmax at once: its sum is over the values of a question. The bound keeps the exponentials finite.
        let scores = scores.clamp(-60.0, 60.0);
        let log_sums = scores.clone().exp().matmul(belongs).log();
        let log_sums = (log_sums * matrix(asked, [count, questions])).sum();
        (log_sums - (scores * matrix(right, [count, values])).sum()) / all.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::classifier::host;
    use crate::eval::features::FeatureExtractor;
    use marscope_core::random::Philox;

    /// Noisy 16x16 pictures of two classes, bright above or bright below. Those of the first have a bright left or right edge
    /// (`side`), and a part that nothing shows (`secret`).
    fn pictures(count: usize, seed: u64) -> (ImageSet, Vec<Parts>) {
        let mut stream = Philox::new(seed).stream(0, 0);
        let mut images = ImageSet { pixels: Vec::new(), labels: Vec::new(), channels: 1, side: 16 };
        let mut parts = Vec::new();
        for i in 0..count {
            let (label, right, secret) = (i % 2, stream.below(2) == 1, stream.below(2));
            images.labels.push(label as u16);
            for place in 0..256 {
                let (y, x) = (place / 16, place % 16);
                let edge = label == 0 && if right { x > 12 } else { x < 3 };
                let bright = usize::from((y < 8) == (label == 0)) + usize::from(edge);
                images.pixels.push((stream.below(60) as usize + 90 * bright) as u8);
            }
            let of = [("side", if right { "right" } else { "left" }), ("secret", ["x", "y"][secret as usize])];
            parts.push(of.map(|(part, value)| (part.to_owned(), value.to_owned())).into());
        }
        // The pictures of the second class are made of nothing.
        parts.iter_mut().skip(1).step_by(2).for_each(Parts::clear);
        (images, parts)
    }

    fn classes() -> [String; 2] {
        ["above", "below"].map(String::from)
    }

    #[test]
    fn learns_the_parts_that_pictures_show_and_leaves_the_others_out() {
        let training = Training { epochs: 12, rate: 4e-3, seed: 4 };
        let ((images, parts), (validation, known)) = (pictures(400, 1), pictures(120, 2));
        let network = train_parts([(&images, &parts), (&validation, &known)], &classes(), training).unwrap();
        let questions = &network.questions().questions;
        let of = |part: &str| questions.iter().find(|question| question.part == part).unwrap();
        assert!(of("side").accuracy > 0.95 && of("side").counted() == 2, "{}", network.questions());
        assert!(of("secret").accuracy < 0.8 && of("secret").counted() == 0, "{}", network.questions());
        assert_eq!(network.questions().counted(), 2);
        let found = network.extract(&validation, "test");
        let right = found
            .logits
            .chunks_exact(2)
            .zip(&validation.labels)
            .filter(|(logits, label)| usize::from(logits[1] > logits[0]) == usize::from(**label));
        assert!(right.count() > 110);
        let again = train_parts([(&images, &parts), (&validation, &known)], &classes(), training).unwrap();
        assert_eq!(again.to_checkpoint(), network.to_checkpoint());
    }

    /// Against the softmax of each question by itself.
    #[test]
    fn the_loss_is_the_mean_cross_entropy_of_the_questions_asked() {
        let (images, parts) = pictures(40, 3);
        let questions = Questions::of([1, 16], &classes(), &images.labels, &parts);
        assert_eq!((questions.questions.len(), questions.values()), (2, 4));
        let answers = vec![vec![(0, 1), (1, 0)], vec![], vec![(1, 1)]];
        let targets = Targets::new(&questions, &answers);
        let scores = [[0.3f32, -1.0, 2.0, 0.5], [1.0, 1.0, 1.0, 1.0], [9.0, -2.0, 0.1, 0.4]];
        let tensor = Tensor::from_data(TensorData::new(scores.concat(), [3, 4]), &Device::flex());
        let found = targets.loss(tensor, &[0, 1, 2]).into_scalar::<f32>();
        let entropy = |right: f32, other: f32| f64::from((other - right).exp()).ln_1p();
        let expected = (entropy(-1.0, 0.3) + entropy(2.0, 0.5) + entropy(0.4, 0.1)) / 3.0;
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found} for {expected}");
        // Without any question there is nothing to lose.
        let alone = Tensor::from_data(TensorData::new(scores[1].to_vec(), [1, 4]), &Device::flex());
        assert!(host(targets.loss(alone, &[1]).reshape([1, 1]))[0].abs() < 1e-6);
    }

    #[test]
    fn pictures_it_cannot_learn_from_are_refused() {
        let (images, parts) = pictures(8, 1);
        let refused = |images: &ImageSet, parts: &[Parts], classes: &[String]| {
            let both = [(images, parts), (images, parts)];
            train_parts(both, classes, PARTS_TRAINING).unwrap_err().to_string()
        };
        assert!(refused(&images, &parts, &classes()[..1]).contains("label 1"));
        let nothing = vec![Parts::new(); 8];
        assert!(refused(&images, &nothing, &classes()).contains("no part"));
        let small = ImageSet { pixels: vec![0; 8 * 64], side: 8, ..images };
        assert!(refused(&small, &parts, &classes()).contains("at least 16"));
    }
}
