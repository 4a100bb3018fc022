//! Why tokens or an image cannot be converted, and what to do.
//! The messages are for whoever runs the command line or looks at the page.

use crate::tokens::TokensError;

/// Why tokens or an image cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// Latents without their autoencoder.
    #[error(
        "the tokens of these weights are latents of {channels} channels, and only their autoencoder can turn them into \
         pictures: put its autoencoder.json and autoencoder.safetensors beside model.safetensors"
    )]
    NoAutoencoder {
        /// Channels of the latents.
        channels: usize,
    },
    /// The autoencoder's latents are not those of the weights.
    #[error(
        "the autoencoder has latents of {} channels and stride {}; the weights need {} channels and stride {}. Give the \
         autoencoder that they were trained with",
        found[0], found[1], expected[0], expected[1]
    )]
    Unfit {
        /// Channels and stride of the autoencoder.
        found: [usize; 2],
        /// Those of the weights.
        expected: [usize; 2],
    },
    /// Ids for a tokenizer of continuous tokens, or the other way round.
    #[error("the tokenizer takes {expected} tokens, but got the other kind")]
    Kind {
        /// What it takes.
        expected: &'static str,
    },
    /// The wrong number of tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The wrong number of pixels.
    #[error("the picture has {found} numbers; this model's have {expected}")]
    Image {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A pixel that is not finite.
    #[error("the picture's number {at} is not finite")]
    NotFinite {
        /// Its index.
        at: usize,
    },
    /// The device failed.
    #[error("the autoencoder gave no result: {0}")]
    Device(String),
}
