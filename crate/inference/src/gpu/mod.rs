//! The engine on a GPU: `wgpu` driven directly, in the browser (WebGPU) and natively (Vulkan, Metal, Direct3D 12).
//! Sections 3.2 and 3.3 of the paper; an iteration is one submission and one read-back, whatever the number of steps.
//!
//! Everything that does not change from one iteration to the next is made once: pipelines per model, buffers and bind groups
//! per workspace, which grows when more images, tokens or steps come. What changes, such as row counts and settings, goes
//! into one buffer with one write. The WGSL of a kernel is beside its Rust.
//!
//! A file may use only those before it in this list, as a test checks:
//! 1. `error`: why the GPU cannot be used
//! 2. `tuning`: sizes of workgroups by kind of adapter
//! 3. `pipelines`: compiled kernels, kept
//! 4. `device`: adapter, device and queue
//! 5. `buffers`: parts of buffers, reading one back
//! 6. `uniforms`: what changes from dispatch to dispatch
//! 7. `cost`: counts of the GPU's work
//! 8. `kernel`: WGSL, compiled
//! 9. `op`: a kernel bound to its buffers
//! 10. `weights`: the parameters on the GPU
//! 11. `linear`: which kernel serves which layer
//! 12. `capacity`: how much a workspace holds
//! 13. `inputs`: what the host writes
//! 14. `results`: what the host reads
//! 15. `backbone`: the ops from tokens to z
//! 16. `head_buffers`: what both forms of the head share
//! 17. `head_fused`: the head in one dispatch
//! 18. `head_wide`: the head a layer a dispatch
//! 19. `head`: the ops from z to tokens
//! 20. `workspace`: buffers and ops of an iteration
//! 21. `submission`: one iteration, or a part of it, run
//! 22. `model`: the network
//! 23. `autoencoder`: the ops of the autoencoder
//! 24. `kl`: the autoencoder

mod autoencoder;
mod backbone;
mod buffers;
mod capacity;
mod cost;
mod device;
mod error;
mod head;
mod head_buffers;
mod head_fused;
mod head_wide;
mod inputs;
mod kernel;
mod kl;
mod linear;
mod model;
mod op;
mod pipelines;
mod results;
mod submission;
mod tuning;
mod uniforms;
mod weights;
mod workspace;

pub use cost::Cost;
pub use device::{Adapter, Gpu};
pub use error::GpuError;
pub use kl::Kl;
pub use model::Model;
pub use tuning::Tuning;
