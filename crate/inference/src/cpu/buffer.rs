//! Buffers that start on a cache line, so that no vector of them crosses into the next.
//! The kernels of section 3's network read and write them.

use bytemuck::{Pod, Zeroable};

/// A cache line, which is as long as the longest vector.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;
}

/// A buffer that grows to the largest length asked for.
#[derive(Default)]
pub struct Buffer(Vec<Line>);

impl Buffer {
    /// Its first `len` numbers, with their old values; new ones are zero.
    pub fn of(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(Line::LEN);
        if self.0.len() < lines {
            self.0.resize(lines, Line::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }

    /// All numbers, the rest of the last cache line included.
    pub fn get(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}
