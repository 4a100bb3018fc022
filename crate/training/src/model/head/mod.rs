//! The heads in Burn: the network of each, its loss and its sampling. `"head"` in config.json selects one.
//! Section 3.2 of the paper. A new head is a new variant here and in [`marscope_core::head`]; the compiler then names
//! every place that must handle it: the batch, the loss and the sampling.

mod diffusion;
mod loss;
mod reverse;

use burn::module::Module;
use marscope_core::checkpoint::CheckpointError;
use marscope_core::config::MarConfig;
use marscope_core::head::HeadKind;

pub use self::diffusion::DiffusionHead;
pub use self::loss::{DiffusionLoss, diffusion_loss};
pub use self::reverse::reverse;
use super::Params;

/// The head of a network.
#[derive(Module, Debug)]
pub enum Head {
    /// Predicts the noise in a token.
    Diffusion(DiffusionHead),
}

impl Head {
    /// The head that `config` names.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(params: &mut Params, config: &MarConfig) -> Result<Self, CheckpointError> {
        match config.head {
            HeadKind::Diffusion => Ok(Self::Diffusion(DiffusionHead::new(params, config)?)),
        }
    }
}
