//! Why the GPU cannot be used, in words that say what to do.
//! Nothing here panics: in a browser a panic is a dead page.

use crate::checkpoint::CheckpointError;

/// Why the GPU cannot be used, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no adapter at all.
    #[error(
        "no GPU can be reached ({0}). Use the CPU engine, or a browser or driver with WebGPU, Vulkan, Metal or Direct3D 12"
    )]
    NoAdapter(String),
    /// The adapter gives no device with the limits asked for.
    #[error("the GPU '{adapter}' gives no device ({reason}). Use the CPU engine, or update the driver")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What it said.
        reason: String,
    },
    /// The device went away: a driver reset, a sleep, another program's doing.
    #[error("the GPU was lost ({0}). Open it again, or go on with the CPU engine")]
    Lost(String),
    /// The device has no memory left.
    #[error("the GPU is out of memory {doing}. Draw fewer images at once, close other programs, or use the CPU engine")]
    OutOfMemory {
        /// What was being done.
        doing: &'static str,
    },
    /// A buffer would be larger than the adapter allows.
    #[error("{what} takes {bytes} bytes, and this GPU allows {limit} in a buffer. {advice}")]
    TooLarge {
        /// The tensor or the workspace.
        what: String,
        /// Its size.
        bytes: u64,
        /// The adapter's limit.
        limit: u64,
        /// What to do.
        advice: &'static str,
    },
    /// The driver refused a command: a fault of this program.
    #[error("the GPU refused a command {doing} ({reason}). This is a fault of marscope: report it with the GPU's name")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
