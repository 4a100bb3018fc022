//! Parts of an iteration's input and output: some of the images of a backbone pass, some of the tokens of a draw.
//! Sections 3.2 and 3.3 of the paper.

use std::ops::Range;

use marscope_core::network::BackboneInput;

/// Some of the images, with those of the picks that are theirs.
pub struct ImagesPart<'a> {
    /// The images.
    pub input: BackboneInput<'a>,
    /// `(image of the part, token)`.
    pub picks: Vec<(usize, usize)>,
    /// The row of z that each pick is.
    rows: Vec<usize>,
}

impl<'a> ImagesPart<'a> {
    /// The images `images` of `input`.
    pub fn new(images: Range<usize>, input: &BackboneInput<'a>, picks: &[(usize, usize)]) -> Self {
        let theirs = picks.iter().enumerate().filter(|(_, (image, _))| images.contains(image));
        let (picks, rows) = theirs.map(|(row, &(image, token))| ((image - images.start, token), row)).unzip();
        Self { input: input.of_images(images), picks, rows }
    }

    /// Writes the part's z, `[its picks, width]`, to that of all picks.
    pub fn put(&self, z: &[f32], all: &mut [f32]) {
        let Some(width) = z.len().checked_div(self.rows.len()) else { return };
        for (from, &row) in z.chunks_exact(width).zip(&self.rows) {
            all[row * width..][..width].copy_from_slice(from);
        }
    }
}

/// Some of the tokens to draw.
pub struct TokensPart {
    /// Which.
    pub tokens: Range<usize>,
    /// `[branches, tokens, decoder width]`.
    pub z: Vec<f32>,
    /// `[1 + steps, tokens, C]`.
    pub noise: Vec<f32>,
}

/// `rows` of `values` `[.., total, width]`: `[.., rows, width]`.
pub fn take_rows(values: &[f32], total: usize, width: usize, rows: &Range<usize>) -> Vec<f32> {
    let blocks = values.chunks_exact(total * width);
    blocks.flat_map(|block| &block[rows.start * width..rows.end * width]).copied().collect()
}

/// Writes `part` `[.., rows, width]` to `rows` of `values` `[.., total, width]`.
pub fn put_rows(values: &mut [f32], total: usize, width: usize, rows: &Range<usize>, part: &[f32]) {
    for (block, part) in values.chunks_exact_mut(total * width).zip(part.chunks_exact(rows.len() * width)) {
        block[rows.start * width..rows.end * width].copy_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_and_put_back() {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let middle = take_rows(&values, 3, 2, &(1..2));
        assert_eq!(middle, [2.0, 3.0, 8.0, 9.0]);
        let mut copy = vec![0.0; 12];
        for rows in [0..1, 1..3] {
            put_rows(&mut copy, 3, 2, &rows, &take_rows(&values, 3, 2, &rows));
        }
        assert_eq!(copy, values);
    }
}
