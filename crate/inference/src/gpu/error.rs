//! Why the GPU cannot be used, and what to do.
//! Nothing here panics: in a browser a panic would end the page's worker.

use marscope_core::checkpoint::CheckpointError;
use marscope_core::network::NetworkError;
use marscope_core::tokenizer::TokenizerError;

/// Why the GPU cannot be used, or failed.
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
        /// The adapter's reason.
        reason: String,
    },
    /// The device was lost, for example by a driver reset or by the machine's sleep.
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
        /// The driver's reason.
        reason: String,
    },
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl From<GpuError> for TokenizerError {
    fn from(error: GpuError) -> Self {
        Self::Device(error.to_string())
    }
}

impl From<GpuError> for NetworkError {
    fn from(error: GpuError) -> Self {
        Self::Device(error.to_string())
    }
}
