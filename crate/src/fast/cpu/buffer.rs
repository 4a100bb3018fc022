//! Numbers that start on a cache line, so that no vector of them lies across two.
//! What the kernels of section 3's network read and write.

use bytemuck::{Pod, Zeroable};

/// A cache line, which is as long as the longest vector.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;
}

/// A workspace that grows to what is asked of it and is never given back while its owner lives.
#[derive(Default)]
pub struct Buffer(Vec<Line>);

impl Buffer {
    /// `len` numbers, whatever they were before; zeros where nothing was.
    pub fn of(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(Line::LEN);
        if self.0.len() < lines {
            self.0.resize(lines, Line::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }

    /// All there is.
    pub fn get(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}
