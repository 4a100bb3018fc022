//! Pictures under way: which tokens are known, and which iteration comes next.
//! Section 3.4 of the paper; a decoding goes from one standing to the next, and may start from any.

use burn::tensor::Tensor;

use super::SampleError;
use crate::config::MarConfig;
use crate::config::Label;
use crate::model::{Mar, indices};

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

    /// z of `rows` (image and token) under each image's label: conditional, then unconditional when `guided`.
    pub(super) fn conditions(&self, model: &Mar, labels: &[Label], guided: bool, rows: &[(usize, usize)]) -> Tensor<2> {
        let images = labels.len();
        let (mut labels, mut tokens, mut masked) = (labels.to_vec(), self.tokens.clone(), self.masked.clone());
        if guided {
            labels.extend(vec![None; images]);
            tokens.extend_from_within(..);
            masked.extend_from_within(..);
        }
        let z = model.forward(&tokens, &masked, &labels).z;
        let [batch, length, width] = z.dims();
        let branches = (0..batch / images).flat_map(|branch| rows.iter().map(move |row| (branch, row)));
        let picked = branches.map(|(branch, (image, token))| ((branch * images + image) * length + token) as i32);
        let device = z.device();
        z.reshape([batch * length, width]).select(0, indices(picked.collect(), &device))
    }
}

fn count(masked: &[bool]) -> usize {
    masked.iter().filter(|&&masked| masked).count()
}
