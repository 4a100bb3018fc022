//! A small convolutional classifier: recognises the class of an image and computes the features to compare images.
//! Not from the paper, which uses Inception; that network was not trained on grey 28x28 images of clothes.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};

use super::conv::Conv;
use super::features::{Extracted, FeatureExtractor};
use crate::data::ImageSet;
use crate::model::ops::Linear;
use crate::model::{Init, Names, Params, to_checkpoint};
use marscope_core::checkpoint::{Checkpoint, CheckpointError};
use marscope_core::tokenizer::from_byte;

/// Channels after each convolution; each is followed by a pooling that halves the sides.
const WIDTHS: [usize; 3] = [32, 64, 64];

/// Numbers in a feature vector.
pub const FEATURES: usize = 64;

/// Smallest side of an image: three halvings leave one pixel.
pub const SMALLEST: usize = 8;

/// Images that go through the network at once; bounds the memory of the convolutions.
const BATCH: usize = 250;

/// The images and classes of a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassifierShape {
    /// Channels of an image.
    pub channels: usize,
    /// Side of an image in pixels, at least [`SMALLEST`].
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Three convolutions and two linear layers.
#[derive(Module, Debug)]
pub struct Classifier {
    convs: Vec<Conv>,
    hidden: Linear,
    output: Linear,
    #[module(skip)]
    shape: ClassifierShape,
    #[module(skip)]
    names: Names,
}

/// What the classifier computed.
#[derive(Debug)]
pub struct Features {
    /// Activations before the last layer, `[n, FEATURES]`, none below 0.
    pub features: Tensor<2>,
    /// Scores before the softmax, `[n, classes]`.
    pub logits: Tensor<2>,
}

impl Classifier {
    /// The classifier with the parameters of `checkpoint`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(shape: ClassifierShape, checkpoint: &Checkpoint, device: &Device) -> Result<Self, CheckpointError> {
        Self::new(shape, Params::load(checkpoint, device))
    }

    /// A freshly initialised classifier, determined by `seed`.
    pub fn init(shape: ClassifierShape, seed: u64, device: &Device) -> Self {
        Self::new(shape, Params::init(seed, device)).expect("initialisation reads no checkpoint")
    }

    fn new(shape: ClassifierShape, mut params: Params) -> Result<Self, CheckpointError> {
        let (mut d_in, mut side) = (shape.channels, shape.side);
        let mut convs = Vec::with_capacity(WIDTHS.len());
        for (i, d_out) in WIDTHS.into_iter().enumerate() {
            convs.push(Conv::new(&mut params, &format!("convs.{i}"), [d_in, d_out])?);
            (d_in, side) = (d_out, side / 2);
        }
        Ok(Self {
            convs,
            hidden: Linear::new(&mut params, "hidden", [d_in * side * side, FEATURES], Init::Xavier)?,
            output: Linear::new(&mut params, "output", [FEATURES, shape.classes], Init::Xavier)?,
            shape,
            names: params.finish()?,
        })
    }

    /// The images and classes that it is made for.
    pub fn shape(&self) -> ClassifierShape {
        self.shape
    }

    /// `[n, channels, side, side]` in `[-1, 1]` to features and logits.
    pub fn forward(&self, images: Tensor<4>) -> Features {
        let x = self.convs.iter().fold(images, |x, conv| conv.forward(x));
        let features = activation::relu(self.hidden.forward(x.flatten::<2>(1, 3)));
        Features { logits: self.output.forward(features.clone()), features }
    }

    /// Share of `images` that it classifies as their label.
    pub fn accuracy(&self, images: &ImageSet) -> f64 {
        let found = most_likely(&self.extract(images, "images").logits, self.shape.classes);
        share(found.into_iter().zip(images.labels.iter().map(|&label| usize::from(label))))
    }

    /// Copies every parameter to the host, by name.
    pub fn to_checkpoint(&self) -> Checkpoint {
        to_checkpoint(self, &self.names)
    }
}

impl FeatureExtractor for Classifier {
    fn name(&self) -> &'static str {
        "classifier"
    }

    fn width(&self) -> usize {
        FEATURES
    }

    fn classes(&self) -> usize {
        self.shape.classes
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn shape(&self) -> Option<ClassifierShape> {
        Some(self.shape)
    }

    fn extract_batch(&self, pixels: &[u8], channels: usize, side: usize) -> Extracted {
        assert_eq!((channels, side), (self.shape.channels, self.shape.side), "images the classifier is not for");
        let count = pixels.len() / (channels * side * side);
        let pixels: Vec<f32> = pixels.iter().map(|&byte| from_byte(byte)).collect();
        let data = TensorData::new(pixels, [count, channels, side, side]);
        let Features { features, logits } = self.forward(Tensor::from_data(data, &self.output.device()));
        Extracted { features: host(features), spatial: Vec::new(), logits: host(logits) }
    }
}

/// Share of the pairs (class found, class asked for) that agree; 0 without pairs.
pub(super) fn share(pairs: impl Iterator<Item = (usize, usize)>) -> f64 {
    let (mut hits, mut all) = (0usize, 0usize);
    for (found, asked) in pairs {
        hits += usize::from(found == asked);
        all += 1;
    }
    hits as f64 / all.max(1) as f64
}

/// The most likely class of each image, by scores `[n, classes]`.
pub(super) fn most_likely(logits: &[f32], classes: usize) -> Vec<usize> {
    let class =
        |logits: &[f32]| logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class);
    logits.chunks_exact(classes).map(class).collect()
}

/// The numbers of `tensor`, row-major.
pub(super) fn host(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::Split;
    use marscope_core::checkpoint::{Precision, read_safetensors, write_safetensors};

    const FASHION: ClassifierShape = ClassifierShape { channels: 1, side: 28, classes: 10 };

    /// Weights under which every output can be worked out by hand.
    #[test]
    fn computes_what_its_weights_say() {
        let shape = ClassifierShape { channels: 1, side: 8, classes: 2 };
        let device = Device::flex();
        let mut checkpoint = Classifier::init(shape, 1, &device).to_checkpoint();
        for tensor in checkpoint.tensors.values_mut() {
            tensor.data.fill(0.0);
        }
        let mut set = |name: &str, at: usize, value: f32| {
            checkpoint.tensors.get_mut(name).expect("a tensor of the classifier").data[at] = value;
        };
        // The first convolution takes the pixel to the right (kernel row 1, column 2), so that the poolings leave the
        // maximum over all columns but the first; the second keeps it (the kernel's middle), the third doubles it.
        set("convs.0.weight", 5, 1.0);
        set("convs.1.weight", 4, 1.0);
        set("convs.2.weight", 4, 2.0);
        set("hidden.weight", 0, 1.5);
        set("hidden.bias", 1, 0.25);
        set("output.weight", 0, 1.0);
        set("output.weight", FEATURES, -1.0);
        set("output.bias", 1, 0.5);
        let classifier = Classifier::load(shape, &checkpoint, &device).unwrap();
        let mut pixels = vec![-1.0; 64];
        (pixels[0], pixels[8 * 3 + 1]) = (0.9, 0.5);
        let image = Tensor::from_data(TensorData::new(pixels, [1, 1, 8, 8]), &device);
        let Features { features, logits } = classifier.forward(image);
        let features = host(features);
        assert_eq!(features[..3], [1.5, 0.25, 0.0]);
        assert_eq!(host(logits), [1.5, -1.0]);
    }

    #[test]
    fn a_file_gives_the_same_classifier() {
        let device = Device::flex();
        let checkpoint = Classifier::init(FASHION, 3, &device).to_checkpoint();
        let bytes = write_safetensors(&checkpoint, Precision::F32).unwrap();
        let again = Classifier::load(FASHION, &read_safetensors(&bytes).unwrap(), &device).unwrap();
        assert_eq!(again.to_checkpoint(), checkpoint);
        let eleven = ClassifierShape { classes: 11, ..FASHION };
        let error = Classifier::load(eleven, &checkpoint, &device).unwrap_err();
        assert!(error.to_string().contains("output.weight"), "{error}");
    }

    #[test]
    fn the_shipped_weights_know_the_fixture() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let bytes = std::fs::read(root.join("weights/fashion/classifier.safetensors")).unwrap();
        assert!(bytes.len() <= 300_000, "{} bytes", bytes.len());
        let classifier = Classifier::load(FASHION, &read_safetensors(&bytes).unwrap(), &Device::flex()).unwrap();
        let images = ImageSet::read(&root.join("tests/fixtures/fashion-mnist"), Split::Test).unwrap();
        let accuracy = classifier.accuracy(&images);
        assert!(accuracy >= 0.9, "{accuracy}");
    }
}
