//! marscope: masked autoregressive image generation with a diffusion loss (MAR), from training to the web page.
//! Follows Li et al., *Autoregressive Image Generation without Vector Quantization*, arXiv 2406.11838.
//!
//! The modules stand in the order in which data goes through them:
//! [`tokenizer`] (image to continuous tokens) -> [`model`] (tokens known so far to a condition z) -> [`diffusion`] (z and
//! noise to a token, and the loss) -> [`sampler`] (the decoding loop, and questions about a moment of it) -> `web`, `cli`
//! or `train`. Arrows point that way only: the model knows nothing of the page, the command line or the trainer.
//!
//! ```
//! use marscope::{engine::Engine, network::Device, sampler::OrderKind};
//!
//! let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/fashion");
//! let config = std::fs::read_to_string(folder.join("config.json"))?;
//! let weights = std::fs::read(folder.join("model.safetensors"))?;
//! let engine = pollster::block_on(Engine::load(&config, &weights, &Device::Cpu))?;
//!
//! // An ankle boot, from seed 7, in 4 iterations of 10 diffusion steps.
//! let mut settings = engine.settings();
//! (settings.iterations, settings.steps) = (4, "10".into());
//! let mut decoding = engine.decode(&[(Some(9), 7)], OrderKind::Random, settings, None)?;
//! while let Some(iteration) = pollster::block_on(decoding.advance())? {
//!     println!("iteration {}: {} tokens still masked", iteration.iteration, iteration.mask_length);
//! }
//! assert_eq!(engine.images(&decoding)[0].len(), 28 * 28);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
pub mod config;
pub mod diffusion;
pub mod engine;
pub mod fast;
#[cfg(feature = "burn")]
pub mod model;
pub mod network;
pub mod preset;
pub mod random;
pub mod sampler;
pub mod tokenizer;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod data;
#[cfg(feature = "cli")]
pub mod eval;
#[cfg(feature = "cli")]
pub mod grid;
#[cfg(feature = "cli")]
mod replace;
#[cfg(feature = "cli")]
pub mod trace;
#[cfg(feature = "train")]
pub mod train;
#[cfg(all(feature = "web", target_family = "wasm"))]
pub mod web;
