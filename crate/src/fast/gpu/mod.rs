//! The fast engine on the GPU.
//! To come.
