//! Why images cannot be measured.
//! Everything but a failing device is found before an image is generated.

use super::classifier::ClassifierShape;
use super::frechet::FrechetError;
use super::precision_recall::FEWEST;
use marscope_core::sampler::SampleError;
use marscope_core::tokenizer::TokenizerError;

/// Why the images cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Decoding.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Pictures of the tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Features.
    #[error(transparent)]
    Frechet(#[from] FrechetError),
    /// Images or a classifier that do not match the network.
    #[error(
        "the {what} is for {found:?}, but the weights generate {expected:?}: \
         give the data and the classifier that belong to the weights"
    )]
    Shape {
        /// What does not fit.
        what: &'static str,
        /// What it is for.
        found: ClassifierShape,
        /// What the network generates.
        expected: ClassifierShape,
    },
    /// A label beyond the network's classes.
    #[error("the {what} holds label {label}, but the weights have {classes} classes: give the data of these weights")]
    Label {
        /// Which data.
        what: &'static str,
        /// The label.
        label: u16,
        /// Classes of the network.
        classes: usize,
    },
    /// Images too small for the poolings of the network that measures them.
    #[error(
        "images of {side} pixels a side are too small for the network that measures them: it needs at least {least}"
    )]
    Small {
        /// Their side.
        side: usize,
        /// The smallest that it takes.
        least: usize,
    },
    /// Parts that never differ.
    #[error(
        "no part differs between the pictures of a class: leave out the .jsonl file beside them, or describe them better"
    )]
    NoParts,
    /// Fewer images than classes.
    #[error("{count} images do not cover {classes} classes: give a --count of at least {classes}")]
    Count {
        /// Asked for.
        count: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// Images that Inception cannot take.
    #[error("the {what} has {channels} channels: Inception takes images of 1 or 3 channels")]
    Channels {
        /// Which images.
        what: &'static str,
        /// Their channels.
        channels: usize,
    },
    /// No real images to measure against.
    #[error("there are no real images to measure against: give --data, --reference, or both")]
    NoReference,
    /// A reference without images.
    #[error(
        "precision and recall compare images, but the reference has statistics alone: give one that also holds arr_0, \
         or a folder of images"
    )]
    NoImages,
    /// Too few images to have neighbours.
    #[error("precision and recall need {FEWEST} images of each kind, but there are {0} of one: give more")]
    Few(usize),
    /// More classes than a label of two bytes allows.
    #[error("the weights have {0} classes; eval supports at most 65,536")]
    Classes(usize),
}
