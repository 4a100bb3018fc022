//! The fast engine on the CPU.
//! To come.
