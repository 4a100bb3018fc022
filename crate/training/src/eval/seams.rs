//! The seam ratio: are the borders between tokens visible? The mean step from pixel to pixel across a token's border, over
//! the mean step inside tokens. About 1 for real pictures. Not from the paper.

use rayon::prelude::*;

use crate::data::ImageSet;

/// Sums of steps between neighbouring pixels.
#[derive(Clone, Copy, Default)]
struct Steps {
    sum: u64,
    count: u64,
}

impl Steps {
    fn add(&mut self, a: u8, b: u8) {
        self.sum += u64::from(a.abs_diff(b));
        self.count += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count + other.count }
    }

    fn mean(self) -> f64 {
        self.sum as f64 / self.count as f64
    }
}

/// The mean absolute step between neighbouring pixels, horizontally and vertically, of which a token's border lies between
/// them, over the mean of the others. A token covers `token` pixels per side, from the picture's corner on. `None` where the
/// ratio has no meaning: a token covers one pixel or the whole picture, no step inside tokens is above 0, or there are no
/// images.
pub fn seam_ratio(images: &ImageSet, token: usize) -> Option<f64> {
    if token < 2 || token >= images.side || images.is_empty() {
        return None;
    }
    let planes = images.pixels.par_chunks(images.side * images.side);
    let sums = planes.map(|plane| steps(plane, images.side, token));
    let [across, inside] = sums.reduce(Default::default, |a, b| [a[0].plus(b[0]), a[1].plus(b[1])]);
    (inside.sum > 0).then(|| across.mean() / inside.mean())
}

/// The steps of one `[side, side]` plane: across borders, and inside tokens.
fn steps(plane: &[u8], side: usize, token: usize) -> [Steps; 2] {
    let mut found = [Steps::default(); 2];
    for (y, row) in plane.chunks_exact(side).enumerate() {
        for (x, &here) in row.iter().enumerate() {
            if x > 0 {
                found[usize::from(x % token != 0)].add(row[x - 1], here);
            }
            if y > 0 {
                found[usize::from(y % token != 0)].add(plane[(y - 1) * side + x], here);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One picture of `channels` equal planes.
    fn picture(side: usize, channels: usize, at: impl Fn(usize, usize) -> u8) -> ImageSet {
        let plane = (0..side * side).map(|i| at(i / side, i % side));
        let pixels: Vec<u8> = plane.collect();
        ImageSet { pixels: pixels.repeat(channels), labels: vec![0], channels, side }
    }

    #[test]
    fn a_slope_has_no_seams() {
        for channels in [1, 3] {
            let slope = picture(12, channels, |y, x| (3 * y + 5 * x) as u8);
            assert!((seam_ratio(&slope, 4).unwrap() - 1.0).abs() < 1e-12);
        }
    }

    /// Steps of 1 inside tokens and of 1 + 6 across their borders, in one direction; 0 in the other, where an equal share of
    /// all steps lies across borders.
    #[test]
    fn a_jump_at_every_border_is_measured() {
        let jumps = picture(12, 1, |_, x| (x + 6 * (x / 4)) as u8);
        assert!((seam_ratio(&jumps, 4).unwrap() - 7.0).abs() < 1e-12);
        // The same turned round, and with another picture beside it that is all slope: means are over all steps.
        let turned = picture(12, 1, |y, _| (y + 6 * (y / 4)) as u8);
        assert!((seam_ratio(&turned, 4).unwrap() - 7.0).abs() < 1e-12);
        let slope = picture(12, 1, |_, x| x as u8);
        let both = ImageSet { pixels: [jumps.pixels, slope.pixels].concat(), labels: vec![0, 0], ..slope };
        assert!((seam_ratio(&both, 4).unwrap() - 4.0).abs() < 1e-12);
    }

    /// A jump in the middle of a token is no seam, and borders at which nothing happens make the ratio fall below 1.
    #[test]
    fn jumps_inside_tokens_are_no_seams() {
        let inside = picture(8, 1, |_, x| if x % 4 < 2 { 0 } else { 90 });
        // Of 7 steps a row, one lies across a border (90, back to 0) and two of the other six are 90.
        let expected = 90.0 / (2.0 * 90.0 / 6.0);
        assert!((seam_ratio(&inside, 4).unwrap() - expected).abs() < 1e-12);
        let shifted = picture(8, 1, |_, x| if (2..6).contains(&x) { 90 } else { 0 });
        assert!(seam_ratio(&shifted, 4).unwrap().abs() < 1e-12);
    }

    #[test]
    fn without_an_inside_or_an_outside_there_is_no_ratio() {
        let slope = picture(8, 1, |_, x| x as u8);
        assert_eq!((seam_ratio(&slope, 1), seam_ratio(&slope, 8)), (None, None));
        assert_eq!(seam_ratio(&picture(8, 1, |_, x| (x / 4) as u8), 4), None);
        let nothing = ImageSet { pixels: Vec::new(), labels: Vec::new(), ..slope };
        assert_eq!(seam_ratio(&nothing, 4), None);
    }
}
