//! What changes from one submission, or one dispatch of the reverse process, to the next.
//! The first binding of every kernel, at an offset chosen by the dispatch; `uniforms.wgsl` has the same layout.

use crate::backbone::Rows;

/// Bytes from one set of uniforms to the next: the least offset that WebGPU promises to bind at.
pub const SLOT: u64 = 256;

/// `Uniforms` of uniforms.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Uniforms {
    /// Row counts, as [`Count::index`] numbers them.
    pub rows: [u32; 8],
    /// Images.
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
    /// Every how many steps a frame is kept; 0 keeps the last alone.
    pub stride: u32,
    /// Frames kept, the noise not counted.
    pub frames: u32,
    /// 1 to keep epsilon and v.
    pub explain: u32,
    /// The predicted clean token is clipped to plus or minus this; 0: it is not.
    pub clip: f32,
    /// Guidance scale.
    pub cfg: f32,
    /// Scale of the added noise.
    pub temperature: f32,
}

/// One of the row counts.
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
    /// Its index in [`Uniforms::rows`].
    pub fn index(self) -> u32 {
        match self {
            Self::Backbone(Rows::Known) => 0,
            Self::Backbone(Rows::Encoder) => 1,
            Self::Backbone(Rows::Decoder) => 2,
            Self::Backbone(Rows::Picked) => 3,
            Self::Conditions => 4,
            Self::Modulations => 5,
        }
    }

    /// The count in `uniforms`.
    pub fn of(self, uniforms: &Uniforms) -> u32 {
        uniforms.rows[self.index() as usize]
    }
}
