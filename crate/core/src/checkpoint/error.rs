//! Why weights cannot be read or used: which tensor, and what to do.
//! Names are the official checkpoint's own.

/// Why weights cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is cut short or is no safetensors file.
    #[error("the weights are not a whole safetensors file ({0}). Download or export them again")]
    Safetensors(#[from] ::safetensors::SafeTensorError),
    /// The bytes of the file cannot be read.
    #[error("the weights cannot be read ({0})")]
    Read(#[from] std::io::Error),
    /// A tensor is not in the file.
    #[error("the weights have no tensor '{name}'. They belong to another model, or to another configuration")]
    Missing {
        /// Its official name.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor '{name}' has shape {found:?}, but the configuration asks for {expected:?}")]
    Shape {
        /// Its official name.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// From the configuration.
        expected: Vec<usize>,
    },
    /// A tensor holds NaN or an infinity.
    #[error(
        "tensor '{name}' holds {value} at element {at}: the training it comes from went wrong, or the file is damaged"
    )]
    NotFinite {
        /// Its official name.
        name: String,
        /// Index of the first such element.
        at: usize,
        /// The value there.
        value: f32,
    },
    /// A tensor is stored in a type that is not a float.
    #[error("tensor '{name}' is stored as {dtype}; marscope reads f32, f16, bf16 and f64")]
    Dtype {
        /// Its official name.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The file holds tensors that the model has no place for.
    #[error("the weights hold {count} tensors that the configuration has no place for, the first is '{first}'")]
    LeftOver {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
}
