//! Classifier-free guidance: its strength over the iterations.
//! Section 4 of the paper ("Classifier-free guidance"); the residual itself is added inside the reverse process.

use serde::{Deserialize, Serialize};

/// How the guidance scale goes over the iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum CfgSchedule {
    /// From 1 to `cfg` with the share of tokens known after the iteration.
    #[default]
    Linear,
    /// `cfg` throughout.
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
