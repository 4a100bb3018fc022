//! Fast inference of MAR: backbone and head with preallocated buffers and hand-written kernels, on the CPU and on a GPU.
//! Sections 3.2 and 3.3 of the paper. The tests compare it with the Burn reference and with the official code's numbers.
//!
//! A module may use only those before it in this list, as a test checks. The two engines do not use each other.
//! 1. `time`: embeds timesteps
//! 2. `tensors`: takes tensors by their official names, and checks them
//! 3. `weights`: the network's parameters
//! 4. `gather`: which rows the backbone runs over
//! 5. `backbone`: the backbone's layers, and the kernels that an engine supplies for them
//! 6. `head`: the same for the head
//! 7. `help`: modulations of the head that are computed elsewhere
//! 8. `autoencoder`: as `backbone`, for the autoencoder, with its parameters
//! 9. `cpu`: the engine on the CPU
//! 10. `gpu`: the engine on a GPU
//! 11. `team`: one network computed by several

pub mod autoencoder;
pub mod backbone;
pub mod cpu;
pub mod gather;
#[cfg(feature = "webgpu")]
pub mod gpu;
pub mod head;
pub mod help;
pub mod team;
pub mod tensors;
pub mod time;
pub mod weights;
