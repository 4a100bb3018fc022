//! The head's layers, written once for every engine that runs them one by one: from x to the predictions, a step.
//! Section 3.2 of the paper; adaptive layer norm is that of DiT (Peebles and Xie, 2022).
//!
//! Modulations depend on timestep and z alone, so an engine computes them ahead, for many steps at once: one linear layer of
//! `silu(time + embedded z)`, whose columns [`modulation_columns`] describes.

use marscope_core::config::MarConfig;
use marscope_core::diffusion::ReverseProcess;

use crate::weights::{HeadParameters, Store};

/// Shift, scale and gate of each residual block, then shift and scale of the final layer: columns of the modulations.
pub fn modulation_columns(config: &MarConfig) -> usize {
    (3 * config.diffloss_d + 2) * config.diffloss_w
}

/// The part of the head's products that the modulations are, from 0 to 1.
pub fn modulation_share(config: &MarConfig) -> f64 {
    let width = config.diffloss_w;
    let layers = 3 * config.token_dim() + 2 * config.diffloss_d * width;
    modulation_columns(config) as f64 / (modulation_columns(config) + layers) as f64
}

/// Tokens that `process` draws, of `dim` numbers each.
pub fn tokens(process: &ReverseProcess<'_>, dim: usize) -> usize {
    process.noise.len() / dim / (1 + process.steps.len())
}

/// The operations of the head. `rows` are the tokens, or with guidance those of both branches. An engine that computes at
/// once runs them; one that records writes them down.
///
/// A `modulation` is the group of columns that an operation begins with: shift, then scale; or the gate.
pub trait HeadKernels {
    /// The parameters, as the engine keeps them.
    type Store: Store;

    /// `h = x W + b`, the same for both branches of the guidance: `[rows, width]`.
    fn input(&mut self, layer: &Linear<Self>);

    /// `u = silu(modulate(norm(h)) W + b)`, `[rows, width]`.
    fn hidden(&mut self, norm: &Norm<Self>, modulation: usize, layer: &Linear<Self>);

    /// `h += gate * (u W + b)`.
    fn residual(&mut self, layer: &Linear<Self>, gate: usize);

    /// `predictions = modulate(normalise(h)) W + b`, `[rows, 2C]`; the norm has no parameters.
    fn output(&mut self, modulation: usize, layer: &Linear<Self>);
}

/// A linear layer as the engine `K` keeps it.
pub type Linear<K> = <<K as HeadKernels>::Store as Store>::Linear;
/// A norm as the engine `K` keeps it.
pub type Norm<K> = <<K as HeadKernels>::Store as Store>::Norm;

/// From x to the predictions.
pub fn run<K: HeadKernels>(kernels: &mut K, head: &HeadParameters<K::Store>) {
    kernels.input(&head.input);
    for (i, block) in head.blocks.iter().enumerate() {
        kernels.hidden(&block.norm, 3 * i, &block.fc1);
        kernels.residual(&block.fc2, 3 * i + 2);
    }
    kernels.output(3 * head.blocks.len(), &head.output);
}
