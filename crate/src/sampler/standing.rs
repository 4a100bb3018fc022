//! Pictures under way: which tokens are known, and which iteration comes next.
//! Section 3.4 of the paper; a decoding goes from one standing to the next, and may start from any.

use super::SampleError;
use crate::config::{Label, MarConfig};
use crate::fast::Seen;

/// What is known of some images before an iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The iteration that comes next; noise is addressed by it.
    pub iteration: usize,
    /// `[images, L, C]`; read where not masked.
    pub tokens: Vec<f32>,
    /// `[images, L]`: true where a token is not known.
    pub masked: Vec<bool>,
}

impl Standing {
    /// `images` images of which nothing is known.
    pub fn all_masked(config: &MarConfig, images: usize) -> Self {
        let length = images * config.tokens();
        Self { iteration: 0, tokens: vec![0.0; length * config.token_dim()], masked: vec![true; length] }
    }

    /// Itself, with 0 where masked, if it is one of `images` images before an iteration of 0 to `last`.
    pub(super) fn checked(mut self, config: &MarConfig, images: usize, last: usize) -> Result<Self, SampleError> {
        let (length, dim) = (config.tokens(), config.token_dim());
        let expect = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(SampleError::Length { what, found, expected }) }
        };
        expect("mask entries", self.masked.len(), images * length)?;
        expect("numbers in its tokens", self.tokens.len(), images * length * dim)?;
        if self.iteration > last {
            return Err(SampleError::Iteration { iteration: self.iteration, most: last });
        }
        for (place, (token, &masked)) in self.tokens.chunks_exact_mut(dim).zip(&self.masked).enumerate() {
            if masked {
                token.fill(0.0);
            } else if token.iter().any(|value| !value.is_finite()) {
                return Err(SampleError::NotFinite { token: place % length });
            }
        }
        let expected = self.left(length);
        for (image, masked) in self.masked.chunks_exact(length).enumerate() {
            let found = count(masked);
            if found != expected {
                return Err(SampleError::Uneven { image, found, expected });
            }
        }
        Ok(self)
    }

    /// Masked tokens of each image, of `length` tokens.
    pub(super) fn left(&self, length: usize) -> usize {
        self.masked.chunks_exact(length).next().map_or(0, count)
    }
}

/// Pictures as the backbone takes them: once under their labels, and, with guidance, once more under none.
pub(super) struct Branches {
    images: usize,
    tokens: Vec<f32>,
    masked: Vec<bool>,
    labels: Vec<Label>,
}

impl Branches {
    /// The pictures of `standing`.
    pub fn new(standing: &Standing, labels: &[Label], guided: bool) -> Self {
        let images = labels.len();
        let (mut tokens, mut masked, mut labels) = (standing.tokens.clone(), standing.masked.clone(), labels.to_vec());
        if guided {
            tokens.extend_from_within(..);
            masked.extend_from_within(..);
            labels.resize(2 * images, None);
        }
        Self { images, tokens, masked, labels }
    }

    /// What the backbone sees.
    pub fn seen(&self) -> Seen<'_> {
        Seen { tokens: &self.tokens, masked: &self.masked, labels: &self.labels }
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
