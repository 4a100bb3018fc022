//! The fast engine on a GPU: `wgpu` driven directly, in the browser (WebGPU) and natively (Vulkan, Metal, Direct3D 12).
//! Sections 3.2 and 3.3 of the paper; an iteration is one submission and one read-back, whatever the number of steps.
//!
//! Everything that does not change from one iteration to the next is made once: pipelines per model, buffers and bind groups
//! per workspace, which grows when more pictures, tokens or steps come. What changes, row counts and settings among it, goes
//! into one buffer with one write. The WGSL of an operation lies beside its Rust.

mod backbone;
mod buffers;
mod device;
mod error;
mod head;
mod head_fused;
mod head_wide;
mod iteration;
mod kernel;
mod linear;
mod load;
mod model;
mod pass;
mod tuning;
mod workspace;

pub use device::{Adapter, Gpu};
pub use error::GpuError;
pub use model::{Cost, Model};
pub use tuning::Tuning;
