//! Compiled kernels, kept by entry point and constants so that each is compiled once for a GPU.
//! Section 4.2 of the paper: a driver may take seconds for a kernel, and many networks share them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Entry point and constants, the latter as bits.
pub type Key = (&'static str, Vec<(&'static str, u64)>);

/// A compiled kernel.
#[derive(Clone)]
pub struct Pipeline {
    /// The pipeline to dispatch.
    pub pipeline: wgpu::ComputePipeline,
    /// The layout of its bindings.
    pub layout: wgpu::BindGroupLayout,
}

/// The kernels compiled so far.
#[derive(Default)]
pub struct Pipelines(Mutex<HashMap<Key, Pipeline>>);

impl Pipelines {
    /// The kernel of `key`; `compile` makes it, unless it is there already.
    pub fn get(&self, key: Key, compile: impl FnOnce() -> Pipeline) -> Pipeline {
        let pipelines = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = pipelines().get(&key) {
            return found.clone();
        }
        // Not under the lock: another thread may want another kernel meanwhile.
        let compiled = compile();
        pipelines().entry(key).or_insert(compiled).clone()
    }
}
