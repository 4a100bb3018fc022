//! Sizes of workgroups by kind of adapter, and which kernel serves which shape.
//! Reasoned from dispatches, bytes and barriers; software adapters are no measure of a GPU, nor the other way round.

/// What the kernels are built with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Keep weights that f16 holds exactly as f16. Half the bytes, which is what a GPU waits for; in software, unpacking costs
    /// more than the bytes.
    pub halves: bool,
    /// Linear layers without workgroup memory.
    pub direct: bool,
    /// Lanes that lie along a linear layer's columns, four columns each.
    pub linear_lanes: u32,
    /// Lanes that share the inputs of such a column.
    pub linear_parts: u32,
    /// From how many 64 x 64 tiles of output on the tiled kernel is used: fewer leave a GPU's cores without work.
    pub tiled_from: u32,
    /// Lanes of a norm, an attention, and whatever only copies.
    pub row_lanes: u32,
    /// The most lanes of the fused head; they share columns between them where it is narrower.
    pub head_lanes: u32,
    /// The widest head that is run by one workgroup. Beyond, its weights have to come through more than one core.
    pub fused_width: usize,
}

impl Tuning {
    /// For a GPU: workgroups that hide the way to memory, 256 lanes at most, which every adapter has.
    pub const HARDWARE: Self = Self {
        halves: true,
        direct: false,
        linear_lanes: 32,
        linear_parts: 8,
        tiled_from: 96,
        row_lanes: 64,
        head_lanes: 256,
        fused_width: 512,
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
    };
}
