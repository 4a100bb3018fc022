//! Shared by the kernels of inference and training: functions on SIMD vectors, and work on all cores.

// Functions are generic over the vector length. They become the machine's instructions only if they are inlined into the
// function that is compiled for that machine (`Arch::dispatch`).
#![allow(clippy::inline_always)]

pub mod math;
pub mod parallel;
