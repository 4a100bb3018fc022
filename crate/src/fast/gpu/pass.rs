//! What changes from one submission, or one dispatch of the reverse process, to the next.
//! The first binding of every kernel, at an offset chosen by the dispatch; `pass.wgsl` has the same layout.

use crate::fast::Rows;

/// Bytes from one pass to the next: the least offset that WebGPU promises to bind at.
pub const SLOT: u64 = 256;

/// `Pass` of pass.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Pass {
    /// Rows known, seen, all, picked; then of conditions and of modulations.
    pub rows: [u32; 8],
    /// Pictures.
    pub images: u32,
    /// Tokens drawn.
    pub tokens: u32,
    /// 1 with guidance.
    pub guided: u32,
    /// First step of the dispatch.
    pub first: u32,
    /// Steps of the dispatch; for a wide head's layers, steps of the chunk before this one.
    pub steps: u32,
    /// Steps of the process.
    pub total: u32,
    /// Every how many steps a frame is kept.
    pub stride: u32,
    /// Frames kept, the noise not counted.
    pub frames: u32,
    /// 1 to keep epsilon and v.
    pub explain: u32,
    /// 1 to clip the predicted clean token.
    pub clip: u32,
    /// Guidance scale.
    pub cfg: f32,
    /// Scale of the added noise.
    pub temperature: f32,
}

/// One of a pass's row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Rows of the backbone.
    Backbone(Rows),
    /// Rows of the head: tokens, or twice as many with guidance.
    Conditions,
    /// Rows of the head times steps of the chunk.
    Modulations,
}

impl Count {
    /// Where it stands in [`Pass::rows`].
    pub fn index(self) -> u32 {
        match self {
            Self::Backbone(Rows::Known) => 0,
            Self::Backbone(Rows::Seen) => 1,
            Self::Backbone(Rows::All) => 2,
            Self::Backbone(Rows::Picked) => 3,
            Self::Conditions => 4,
            Self::Modulations => 5,
        }
    }

    /// The count in `pass`.
    pub fn of(self, pass: &Pass) -> u32 {
        pass.rows[self.index() as usize]
    }
}

/// What one dispatch does under a pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dispatch {
    /// Its workgroups; where one of the three is zero it is left out.
    pub groups: [u32; 3],
    /// Bytes that it reads and writes, each counted once, however many workgroups fetch it.
    pub bytes: u64,
}

impl Dispatch {
    /// `groups` that read and write `numbers` numbers of 32 bits.
    pub fn new(groups: [u32; 3], numbers: usize) -> Self {
        Self { groups, bytes: 4 * numbers as u64 }
    }

    /// The same, with `bytes` of weights more.
    pub fn with(self, bytes: u64) -> Self {
        Self { bytes: self.bytes + bytes, ..self }
    }
}

/// A grid of `items` workgroups, over two dimensions when one cannot count them, times `layers`.
pub fn grid(items: u32, layers: u32) -> [u32; 3] {
    const MOST: u32 = 65_535;
    [items.min(MOST), items.div_ceil(MOST), layers]
}
