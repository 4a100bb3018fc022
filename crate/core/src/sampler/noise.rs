//! The noise of a decoding, by address: the same settings give the same noise on every device, and a token can be drawn
//! again without repeating earlier iterations. Appendix of the paper: the sampler's Gaussian noise.

use crate::random::Philox;

/// The source of a decoding's noise.
pub trait Noise: Send + Sync {
    /// Fills `out` `[C]` with the noise of `token` of `image` in `iteration`. Step 0 is where the reverse process starts;
    /// step s is what its s-th step (the noisiest first) adds.
    fn fill(&self, image: usize, iteration: usize, step: usize, token: usize, out: &mut [f32]);
}

/// The noise of `rows` (image and token) in `iteration` for a reverse process of `steps` steps: `[1 + steps, rows, C]`.
pub(super) fn of_rows(
    noise: &dyn Noise,
    iteration: usize,
    steps: usize,
    rows: &[(usize, usize)],
    dim: usize,
) -> Vec<f32> {
    let mut values = vec![0.0; (1 + steps) * rows.len() * dim];
    for (at, out) in values.chunks_exact_mut(dim).enumerate() {
        let (image, token) = rows[at % rows.len()];
        noise.fill(image, iteration, at / rows.len(), token, out);
    }
    values
}

/// Noise computed from each image's seed.
#[derive(Clone, Debug)]
pub struct SeededNoise(Vec<Philox>);

impl SeededNoise {
    /// One seed per image.
    pub fn new(seeds: impl IntoIterator<Item = u64>) -> Self {
        Self(seeds.into_iter().map(Philox::new).collect())
    }
}

impl Noise for SeededNoise {
    fn fill(&self, image: usize, iteration: usize, step: usize, token: usize, out: &mut [f32]) {
        self.0[image].normal([token as u32, step as u32, iteration as u32], out);
    }
}
