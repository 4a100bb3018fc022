//! The state of a decoding: which tokens are known, and which iteration comes next.
//! Section 3.4 of the paper; a decoding goes from one state to the next, and may start from any.

use super::SampleError;
use crate::config::{Label, MarConfig};
use crate::network::BackboneInput;
use crate::tokens::{Tokens, TokensError};

/// The known tokens of some images before an iteration.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct DecodeState {
    /// The iteration that comes next; noise is addressed by it.
    pub iteration: usize,
    /// `[images, L]` tokens; read where not masked.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub tokens: Tokens,
    /// `[images, L]`: true where a token is not known; 1 in the page.
    #[cfg_attr(feature = "ts", ts(type = "Uint8Array"))]
    pub masked: Vec<bool>,
}

impl DecodeState {
    /// The state of `images` images with all tokens masked.
    pub fn all_masked(config: &MarConfig, images: usize) -> Self {
        let length = images * config.tokens();
        Self { iteration: 0, tokens: Tokens::zeros(config.token_kind(), length), masked: vec![true; length] }
    }

    /// Checks that the state fits `images` images and an iteration from 0 to `last`, and sets masked tokens to 0.
    pub(super) fn checked(mut self, config: &MarConfig, images: usize, last: usize) -> Result<Self, SampleError> {
        let length = config.tokens();
        if self.masked.len() != images * length {
            return Err(SampleError::MaskLength { found: self.masked.len(), expected: images * length });
        }
        if self.iteration > last {
            return Err(SampleError::Iteration { iteration: self.iteration, most: last });
        }
        self.tokens.check(config.token_kind(), images * length, &self.masked).map_err(|error| match error {
            TokensError::NotFinite { token } => SampleError::NotFinite { token: token % length },
            other => SampleError::Tokens(other),
        })?;
        let expected = self.masked_count(length);
        for (image, masked) in self.masked.chunks_exact(length).enumerate() {
            let found = count(masked);
            if found != expected {
                return Err(SampleError::Uneven { image, found, expected });
            }
        }
        Ok(self)
    }

    /// Masked tokens of each image, of `length` tokens.
    pub(super) fn masked_count(&self, length: usize) -> usize {
        self.masked.chunks_exact(length).next().map_or(0, count)
    }
}

/// The backbone's input: the pictures with their labels, and with guidance once more without labels.
pub(super) struct Branches {
    images: usize,
    tokens: Tokens,
    masked: Vec<bool>,
    labels: Vec<Label>,
}

impl Branches {
    /// The pictures of `state`.
    pub fn new(state: &DecodeState, labels: &[Label], guided: bool) -> Self {
        let images = labels.len();
        let (mut tokens, mut masked, mut labels) = (state.tokens.clone(), state.masked.clone(), labels.to_vec());
        if guided {
            tokens.repeat();
            masked.extend_from_within(..);
            labels.resize(2 * images, None);
        }
        Self { images, tokens, masked, labels }
    }

    /// What the backbone takes.
    pub fn input(&self) -> BackboneInput<'_> {
        BackboneInput { tokens: self.tokens.view(), masked: &self.masked, labels: &self.labels }
    }

    /// `rows` (image and token) of the first branch, then of the second.
    pub fn picks(&self, rows: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let branches = self.labels.len() / self.images;
        (0..branches)
            .flat_map(|branch| rows.iter().map(move |&(image, token)| (branch * self.images + image, token)))
            .collect()
    }
}

fn count(masked: &[bool]) -> usize {
    masked.iter().filter(|&&masked| masked).count()
}
