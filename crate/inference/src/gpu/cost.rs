//! Counts of the GPU's work, which the page and the benchmark show.
//! Section 4.2 of the paper measures speed; these counts help to explain it.

use std::ops::AddAssign;

use serde::Serialize;

/// Work of the GPU since the model was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Kernels dispatched.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submissions: u64,
    /// Bytes that the dispatches read and write in the GPU's memory, each counted once a dispatch.
    pub moved: u64,
    /// Bytes written to the GPU, weights not counted.
    pub written: u64,
    /// Bytes read back.
    pub read: u64,
    /// Times that new buffers were made because the old ones were too small.
    pub grown: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, more: Self) {
        self.dispatches += more.dispatches;
        self.submissions += more.submissions;
        self.moved += more.moved;
        self.written += more.written;
        self.read += more.read;
        self.grown += more.grown;
    }
}
