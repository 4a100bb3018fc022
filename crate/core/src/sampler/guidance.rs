//! Classifier-free guidance: its strength over the iterations.
//! Section 4 of the paper ("Classifier-free guidance"); the residual itself is added inside the reverse process.

use serde::{Deserialize, Serialize};

/// How the guidance scale changes over the iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum CfgSchedule {
    /// Rises from 1 to `cfg` with the share of known tokens.
    #[default]
    Linear,
    /// `cfg` in every iteration.
    Constant,
}

impl CfgSchedule {
    /// The scale of the iteration that leaves `masked` of `length` tokens masked. The last one leaves none, but counts
    /// as leaving one: the official code computes it before it takes all that remain.
    pub fn at(self, cfg: f32, length: usize, masked: usize) -> f32 {
        match self {
            Self::Constant => cfg,
            Self::Linear => 1.0 + (cfg - 1.0) * (length - masked.max(1)) as f32 / length as f32,
        }
    }
}

/// The conditional z minus the unconditional z, from the last iteration that ran both branches. It changes little between
/// iterations, so the unconditional branch can skip some.
#[derive(Clone, Debug)]
pub(super) struct Residual {
    width: usize,
    length: usize,
    /// `[images, L, width]`; 0 where the token was known already.
    values: Vec<f32>,
}

impl Residual {
    /// From `z` `[2 rows, width]` of `rows` (image and token), the conditional ones first, over images of `length` tokens.
    pub fn new(z: &[f32], rows: &[(usize, usize)], images: usize, length: usize) -> Self {
        let width = z.len() / 2 / rows.len();
        let mut values = vec![0.0; images * length * width];
        let (with, without) = z.split_at(rows.len() * width);
        for (&(image, token), (with, without)) in
            rows.iter().zip(with.chunks_exact(width).zip(without.chunks_exact(width)))
        {
            let out = &mut values[(image * length + token) * width..][..width];
            out.iter_mut().zip(with.iter().zip(without)).for_each(|(out, (with, without))| *out = with - without);
        }
        Self { width, length, values }
    }

    /// `z` `[rows, width]`, conditional, followed by the estimated unconditional z.
    pub fn extend(&self, mut z: Vec<f32>, rows: &[(usize, usize)]) -> Vec<f32> {
        for (row, &(image, token)) in rows.iter().enumerate() {
            let residual = &self.values[(image * self.length + token) * self.width..][..self.width];
            for (i, residual) in residual.iter().enumerate() {
                z.push(z[row * self.width + i] - residual);
            }
        }
        z
    }
}
