//! marscope: masked autoregressive image generation with a diffusion loss (MAR), from training to the web page.
//! Follows Li et al., *Autoregressive Image Generation without Vector Quantization*, arXiv 2406.11838.
//!
//! The parts are packages, and arrows point one way: [`marscope_core`] says what MAR is, [`marscope_inference`] computes it
//! fast, `marscope_training` trains it. Here is what a person touches: the command line (`cli`) and the page's bindings
//! (`web`).
//!
//! ```
//! use std::sync::Arc;
//!
//! use marscope_core::{checkpoint::read_safetensors, config::WeightsConfig, pipeline::Pipeline, sampler::OrderKind};
//! use marscope_inference::cpu::Cpu;
//!
//! let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/fashion");
//! let config = WeightsConfig::parse(&std::fs::read_to_string(folder.join("config.json"))?)?;
//! let weights = read_safetensors(&std::fs::read(folder.join("model.safetensors"))?)?;
//! let network = Cpu::load(&config.model, &weights)?;
//! let pipeline = Pipeline::new(config, Arc::new(network));
//!
//! // An ankle boot, from seed 7, in 4 iterations of 10 diffusion steps.
//! let mut settings = pipeline.settings();
//! (settings.iterations, settings.steps) = (4, "10".into());
//! let mut decoding = pipeline.decode(&[(Some(9), 7)], OrderKind::Random, settings, None)?;
//! while let Some(iteration) = pollster::block_on(decoding.advance())? {
//!     println!("iteration {}: {} tokens still masked", iteration.iteration, iteration.mask_length);
//! }
//! assert_eq!(pollster::block_on(pipeline.images(decoding.tokens()))?[0].len(), 28 * 28);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(all(feature = "web", target_family = "wasm"))]
pub mod web;
