//! marscope: masked autoregressive image generation with a diffusion loss (MAR), from training to the web page.
//! Follows Li et al., *Autoregressive Image Generation without Vector Quantization*, arXiv 2406.11838.
//!
//! The modules stand in the order in which data goes through them:
//! [`tokenizer`] (image to continuous tokens) -> [`model`] (tokens known so far to a condition z) -> [`diffusion`] (z and
//! noise to a token, and the loss) -> [`sampler`] (the decoding loop) -> `web`, `cli` or `train`. Arrows point that way
//! only: the model knows nothing of the page, the command line or the trainer.

pub mod checkpoint;
pub mod config;
pub mod diffusion;
pub mod engine;
pub mod model;
pub mod random;
pub mod sampler;
pub mod tokenizer;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod data;
#[cfg(feature = "cli")]
pub mod eval;
#[cfg(feature = "train")]
pub mod train;
#[cfg(all(feature = "web", target_family = "wasm"))]
pub mod web;
