//! Sizes of workgroups by kind of adapter, and which kernel serves which shape.
//! Chosen by counting dispatches, bytes and barriers. Times of software adapters say little about a GPU.

/// What the kernels are built with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Keep f16 weights as f16. Half the bytes, which is what a GPU waits for; in software, unpacking costs
    /// more than the bytes save.
    pub halves: bool,
    /// Linear layers without workgroup memory.
    pub direct: bool,
    /// Lanes along a linear layer's columns, four columns each.
    pub linear_lanes: u32,
    /// Lanes that share the inputs of such a column.
    pub linear_parts: u32,
    /// Number of 64 x 64 tiles of output from which on the tiled kernel is used; fewer would leave cores of a GPU idle.
    pub tiled_from: u32,
    /// Lanes of norms, attention and copies.
    pub row_lanes: u32,
    /// The most lanes of the fused head; they share columns between them where it is narrower.
    pub head_lanes: u32,
    /// The widest head that is run by one workgroup. Beyond, its weights have to come through more than one core.
    pub fused_width: usize,
    /// Bytes of modulations at once. A process of more goes in chunks of steps.
    pub modulation_bytes: usize,
}

impl Tuning {
    /// For a GPU: workgroups large enough to hide memory latency, with at most 256 lanes, which every adapter supports.
    pub const HARDWARE: Self = Self {
        halves: true,
        direct: false,
        linear_lanes: 32,
        linear_parts: 8,
        tiled_from: 96,
        row_lanes: 64,
        head_lanes: 256,
        fused_width: 512,
        modulation_bytes: 64 << 20,
    };

    /// For software: lanes run four at a time, workgroups on as many threads as there are cores, and a barrier switches
    /// coroutines, one for every four lanes. So no more lanes than there are columns, and barriers only where unavoidable.
    pub const SOFTWARE: Self = Self {
        halves: false,
        direct: true,
        linear_lanes: 16,
        linear_parts: 1,
        tiled_from: u32::MAX,
        row_lanes: 16,
        head_lanes: 1,
        fused_width: 512,
        modulation_bytes: 64 << 20,
    };
}
