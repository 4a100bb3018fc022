//! What MAR is (masked autoregressive image generation with a diffusion loss): everything but the arithmetic of a network.
//! Li et al., *Autoregressive Image Generation without Vector Quantization*, arXiv 2406.11838.
//!
//! [`tokenizer`] turns images into [`tokens`] and back. [`sampler`] decodes them in an order, some in each iteration; it asks
//! a [`network`] for the conditions z and for tokens drawn from them by the [`head`]'s reverse process ([`diffusion`]).
//! [`pipeline`] is a weights folder ready for use; [`trace`] records a decoding. Nothing here knows what computes the network.

pub mod checkpoint;
pub mod config;
pub mod diffusion;
pub mod head;
pub mod network;
pub mod pipeline;
pub mod preset;
pub mod random;
pub mod sampler;
pub mod tokenizer;
pub mod tokens;
pub mod trace;
