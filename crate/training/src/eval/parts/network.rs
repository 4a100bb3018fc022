//! The parts network: a small convolutional network that says which class a picture is of, and which value each of its parts
//! has. Its features also compare pictures, as the classifier's do. Not from the paper.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};

use super::questions::{Answer, Question, Questions};
use super::tally::Tally;
use crate::data::{ImageSet, Parts};
use crate::eval::classifier::{ClassifierShape, host};
use crate::eval::conv::Conv;
use crate::eval::features::{Extracted, FeatureExtractor, batches};
use crate::model::ops::Linear;
use crate::model::{Init, Names, Params, to_checkpoint};
use marscope_core::checkpoint::{Checkpoint, CheckpointError};
use marscope_core::tokenizer::from_byte;

/// Channels after each convolution; each is followed by a pooling that halves the sides.
const WIDTHS: [usize; 3] = [48, 96, 128];

/// Numbers in a feature vector.
const FEATURES: usize = 128;

/// Pictures that go through the network at once; bounds the memory of the convolutions.
const BATCH: usize = 250;

/// Three convolutions over blocks of 2x2 pixels, then linear layers for the features, the class and the parts.
#[derive(Module, Debug)]
pub struct PartsNetwork {
    convs: Vec<Conv>,
    hidden: Linear,
    class: Linear,
    parts: Linear,
    #[module(skip)]
    questions: Questions,
    #[module(skip)]
    names: Names,
}

/// What the network computed.
#[derive(Debug)]
pub struct Computed {
    /// Activations before the last layers, `[n, FEATURES]`, none below 0.
    pub features: Tensor<2>,
    /// Scores of the classes before the softmax, `[n, classes]`.
    pub class: Tensor<2>,
    /// Scores of every value of every question, `[n, values]`; a softmax is over the values of one question.
    pub parts: Tensor<2>,
}

impl PartsNetwork {
    /// The network with the parameters of `checkpoint`, for `questions`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(questions: Questions, checkpoint: &Checkpoint, device: &Device) -> Result<Self, CheckpointError> {
        Self::new(questions, Params::load(checkpoint, device))
    }

    /// A freshly initialised network, determined by `seed`.
    pub fn init(questions: Questions, seed: u64, device: &Device) -> Self {
        Self::new(questions, Params::init(seed, device)).expect("initialisation reads no checkpoint")
    }

    fn new(questions: Questions, mut params: Params) -> Result<Self, CheckpointError> {
        // A block of 2x2 pixels is one place of the first convolution: few channels at full size are slow.
        let (mut d_in, mut side) = (4 * questions.channels, questions.side / 2);
        let mut convs = Vec::with_capacity(WIDTHS.len());
        for (i, d_out) in WIDTHS.into_iter().enumerate() {
            convs.push(Conv::new(&mut params, &format!("convs.{i}"), [d_in, d_out])?);
            (d_in, side) = (d_out, side / 2);
        }
        Ok(Self {
            convs,
            hidden: Linear::new(&mut params, "hidden", [d_in * side * side, FEATURES], Init::Xavier)?,
            class: Linear::new(&mut params, "class", [FEATURES, questions.classes.len()], Init::Xavier)?,
            parts: Linear::new(&mut params, "parts", [FEATURES, questions.values()], Init::Xavier)?,
            questions,
            names: params.finish()?,
        })
    }

    /// What it was trained to answer.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Decides from validation pictures which values count.
    ///
    /// # Panics
    /// When `images` and `parts` differ in length, or are not of its shape.
    pub fn validate(&mut self, images: &ImageSet, parts: &[Parts]) {
        assert_eq!(images.len(), parts.len(), "parts of every picture");
        let mut answers: Vec<Answer> = Vec::new();
        self.each(images, "validation pictures", &mut |image, found| {
            let right = self.questions.answers(usize::from(images.labels[image]), &parts[image]);
            for (question, right) in right {
                let found = found.iter().find(|found| found.question == question);
                answers.extend(found.map(|found| (question, right, found.value)));
            }
        });
        self.questions.decide(&answers);
    }

    /// What `images` show: of each the parts of the class that it is labelled with. Shows progress under the name `what` on
    /// stderr.
    ///
    /// # Panics
    /// When `images` are not of its shape.
    pub fn tally(&self, images: &ImageSet, what: &str) -> Tally {
        let counted: Vec<usize> = self.questions.questions.iter().map(Question::counted).collect();
        let mut tally = Tally::new(&counted);
        self.each(images, what, &mut |_, found| {
            for &Found { question, value, probability } in found {
                let values = &self.questions.questions[question].values;
                if counted[question] > 0 {
                    let place = values[..value].iter().filter(|value| value.counts).count();
                    tally.add(question, values[value].counts.then_some(place), probability);
                }
            }
        });
        tally
    }

    /// Calls `each` with every image's number and what is found about it.
    fn each(&self, images: &ImageSet, what: &str, each: &mut dyn FnMut(usize, &[Found])) {
        let mut image = 0;
        batches(images, BATCH, &format!("parts of {what}"), &mut |pixels| {
            let scores = host(self.forward(self.input(pixels)).parts);
            for scores in scores.chunks_exact(self.questions.values()) {
                each(image, &self.find(usize::from(images.labels[image]), scores));
                image += 1;
            }
        });
    }

    /// The likeliest value of every part of a picture of `class`, by the scores of all values.
    fn find(&self, class: usize, scores: &[f32]) -> Vec<Found> {
        let likeliest = |(question, places): (usize, std::ops::Range<usize>)| {
            let scores = &scores[places];
            let (value, &highest) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            let sum: f64 = scores.iter().map(|&score| f64::from(score - highest).exp()).sum();
            Some(Found { question, value, probability: 1.0 / sum })
        };
        self.questions.about(class).filter_map(likeliest).collect()
    }

    /// Pictures in bytes, `[n, channels, side, side]`, as the network's input: `[n, 4 channels, side / 2, side / 2]` in
    /// `[-1, 1]`. The last row and column of an odd side are left out.
    pub(super) fn input(&self, pixels: &[u8]) -> Tensor<4> {
        let Questions { channels, side, .. } = self.questions;
        let (count, half) = (pixels.len() / (channels * side * side), side / 2);
        let pixels: Vec<f32> = pixels.iter().map(|&byte| from_byte(byte)).collect();
        let data = Tensor::<6>::from_data(
            TensorData::new(crop(pixels, side), [count, channels, half, 2, half, 2]),
            &self.class.device(),
        );
        data.permute([0, 1, 3, 5, 2, 4]).reshape([count, 4 * channels, half, half])
    }

    /// `[n, 4 channels, side / 2, side / 2]`, as [`Self::input`] makes it, to features and scores.
    pub(super) fn forward(&self, input: Tensor<4>) -> Computed {
        let x = self.convs.iter().fold(input, |x, conv| conv.forward(x));
        let features = activation::relu(self.hidden.forward(x.flatten::<2>(1, 3)));
        Computed { class: self.class.forward(features.clone()), parts: self.parts.forward(features.clone()), features }
    }

    /// Copies every parameter to the host, by name.
    pub fn to_checkpoint(&self) -> Checkpoint {
        to_checkpoint(self, &self.names)
    }
}

/// The likeliest value of a question, and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    question: usize,
    value: usize,
    probability: f64,
}

/// Planes of `side` pixels a side, without the last row and column if that is odd.
fn crop(pixels: Vec<f32>, side: usize) -> Vec<f32> {
    if side.is_multiple_of(2) {
        return pixels;
    }
    let planes = pixels.chunks_exact(side * side);
    let rows = planes.flat_map(|plane| plane.chunks_exact(side).take(side - 1));
    rows.flat_map(|row| row[..side - 1].iter().copied()).collect()
}

impl FeatureExtractor for PartsNetwork {
    fn name(&self) -> &'static str {
        "parts"
    }

    fn width(&self) -> usize {
        FEATURES
    }

    fn classes(&self) -> usize {
        self.questions.classes.len()
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn shape(&self) -> Option<ClassifierShape> {
        let Questions { channels, side, ref classes, .. } = self.questions;
        Some(ClassifierShape { channels, side, classes: classes.len() })
    }

    fn extract_batch(&self, pixels: &[u8], channels: usize, side: usize) -> Extracted {
        let expected = (self.questions.channels, self.questions.side);
        assert_eq!((channels, side), expected, "images the parts network is not for");
        let Computed { features, class, .. } = self.forward(self.input(pixels));
        Extracted { features: host(features), spatial: Vec::new(), logits: host(class) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marscope_core::checkpoint::{Precision, read_safetensors, write_safetensors};

    /// Two classes of 16x16 grey pictures; those of the first are bright or dark, and have a hat or not.
    fn questions() -> Questions {
        let value = |value: &str| format!(r#"{{"value":"{value}","share":0.5,"counts":true}}"#);
        let question = |part: &str, values: [&str; 2]| {
            format!(
                r#"{{"class":0,"part":"{part}","accuracy":1,"rare":0,"values":[{},{}]}}"#,
                value(values[0]),
                value(values[1])
            )
        };
        let json = format!(
            r#"{{"channels":1,"side":16,"classes":["a","b"],"questions":[{},{}]}}"#,
            question("skin", ["dark", "bright"]),
            question("hat", ["(none)", "cap"])
        );
        Questions::parse(&json).unwrap()
    }

    /// Weights under which every output can be worked out by hand: the first feature is the brightest pixel of the blocks'
    /// lower right corners (if above 0), doubled; it is the score of "bright", and the class b's.
    fn network() -> PartsNetwork {
        let mut checkpoint = PartsNetwork::init(questions(), 1, &Device::flex()).to_checkpoint();
        for tensor in checkpoint.tensors.values_mut() {
            tensor.data.fill(0.0);
        }
        let mut set = |name: &str, at: usize, value: f32| {
            checkpoint.tensors.get_mut(name).expect("a tensor of the network").data[at] = value;
        };
        // The last of the four input channels, in the kernel's middle.
        set("convs.0.weight", 3 * 9 + 4, 1.0);
        set("convs.1.weight", 4, 1.0);
        set("convs.2.weight", 4, 2.0);
        set("hidden.weight", 0, 1.0);
        set("parts.weight", FEATURES, 1.0);
        set("parts.bias", 2, 3f32.ln());
        set("class.weight", FEATURES, 1.0);
        set("class.bias", 0, 0.5);
        PartsNetwork::load(questions(), &checkpoint, &Device::flex()).unwrap()
    }

    /// Two pictures of class a and one of b: one pixel is white, at these places.
    fn pictures(places: [(usize, usize); 3]) -> ImageSet {
        let mut pixels = vec![0; 3 * 256];
        for (image, (y, x)) in places.into_iter().enumerate() {
            pixels[image * 256 + y * 16 + x] = 255;
        }
        ImageSet { pixels, labels: vec![0, 0, 1], channels: 1, side: 16 }
    }

    #[test]
    fn computes_what_its_weights_say() {
        let found = network().extract(&pictures([(3, 5), (2, 5), (9, 15)]), "test");
        let first: Vec<f32> = found.features.chunks_exact(FEATURES).map(|features| features[0]).collect();
        // A white pixel is 1; where there is none at a block's corner, all are -1 and nothing passes the ReLU.
        assert_eq!(first, [2.0, 0.0, 2.0]);
        assert_eq!(found.logits, [0.5, 2.0, 0.5, 0.0, 0.5, 2.0]);
    }

    #[test]
    fn counts_the_parts_of_the_class_that_is_asked_for() {
        let tally = network().tally(&pictures([(3, 5), (2, 5), (9, 15)]), "test");
        let mut expected = Tally::new(&[2, 2]);
        // Scores 0 and 2, then 0 and 0; the hat's are log 3 and 0. The picture of class b has no parts.
        for (skin, probability) in [(1, 1.0 / (1.0 + (-2f64).exp())), (1, 0.5)] {
            expected.add(0, Some(skin), probability);
            expected.add(1, Some(0), 0.75);
        }
        assert!((tally.certainty() - expected.certainty()).abs() < 1e-6, "{tally:?}");
        assert!((tally.coverage(&expected) - 1.0).abs() < 1e-12 && tally.distance(&expected).abs() < 1e-12);
        assert!((expected.coverage(&tally) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn validation_decides_what_counts() {
        let mut network = network();
        let parts = |skin: &str| [("skin", skin), ("hat", "cap")].map(|(p, v)| (p.to_owned(), v.to_owned()));
        let described: Vec<Parts> = [parts("bright").into(), parts("dark").into(), Parts::new()].into();
        network.validate(&pictures([(3, 5), (3, 7), (9, 15)]), &described);
        let Questions { questions, .. } = network.questions();
        let recall = |at: usize| questions[at].values.iter().map(|value| value.recall).collect::<Vec<_>>();
        assert!((questions[0].accuracy - 0.5).abs() < 1e-12 && questions[1].accuracy.abs() < 1e-12);
        assert_eq!((recall(0), recall(1)), (vec![Some(0.0), Some(1.0)], vec![None, Some(0.0)]));
        assert_eq!(network.questions().counted(), 0);
    }

    #[test]
    fn a_file_gives_the_same_network() {
        let device = Device::flex();
        let checkpoint = PartsNetwork::init(questions(), 3, &device).to_checkpoint();
        let bytes = write_safetensors(&checkpoint, Precision::F32).unwrap();
        let again = PartsNetwork::load(questions(), &read_safetensors(&bytes).unwrap(), &device).unwrap();
        assert_eq!(again.to_checkpoint(), checkpoint);
        let other = Questions { questions: questions().questions[..1].to_vec(), ..questions() };
        let error = PartsNetwork::load(other, &checkpoint, &device).unwrap_err();
        assert!(error.to_string().contains("parts.weight"), "{error}");
    }

    #[test]
    fn an_odd_side_loses_its_last_row_and_column() {
        let pixels = (0..9).map(|value| value as f32).collect();
        assert_eq!(crop(pixels, 3), [0.0, 1.0, 3.0, 4.0]);
    }
}
