//! The centre crop of ADM (Dhariwal & Nichol, arXiv 2105.05233): halve while twice too large, shrink to fit, cut the
//! middle. Appendix B of the paper takes it; the arithmetic is that of Pillow, whose box and bicubic filters average
//! when shrinking.

/// An image of interleaved bytes, `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Bytes of a pixel.
    pub channels: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// The bytes channel by channel, `[channels, height, width]`.
    pub fn planes(&self) -> Vec<u8> {
        let channels = self.channels;
        (0..channels).flat_map(|channel| self.bytes.iter().skip(channel).step_by(channels)).copied().collect()
    }

    /// Interleaves `planes`, `[channels, side, side]`.
    pub fn from_planes(planes: &[u8], channels: usize, side: usize) -> Self {
        let pixels = side * side;
        let bytes = (0..pixels * channels).map(|i| planes[i % channels * pixels + i / channels]).collect();
        Self { width: side, height: side, channels, bytes }
    }
}

/// The central square of `picture`, scaled so that its shorter side becomes `side`.
///
/// # Panics
/// When the picture is empty or `side` is 0.
pub fn centre_crop(mut picture: Picture, side: usize) -> Picture {
    while picture.width.min(picture.height) >= 2 * side {
        let (width, height) = (picture.width / 2, picture.height / 2);
        picture = resize(&picture, [width, height], [0, 0], [width, height], Filter::Box);
    }
    let scale = side as f64 / picture.width.min(picture.height) as f64;
    let scaled = [picture.width, picture.height].map(|extent| (extent as f64 * scale).round_ties_even() as usize);
    // Computes only the central part: a very wide picture would otherwise fill the memory.
    resize(&picture, scaled, scaled.map(|extent| (extent - side) / 2), [side, side], Filter::Bicubic)
}

/// Pillow's filters, by its names.
#[derive(Clone, Copy)]
enum Filter {
    Box,
    Bicubic,
}

impl Filter {
    /// The filter's radius in pixels when not shrinking.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        /// Parameter of Keys' kernel; many programs use -0.75 instead.
        const A: f64 = -0.5;
        let distance = x.abs();
        match self {
            Self::Box if x > -0.5 && x <= 0.5 => 1.0,
            Self::Bicubic if distance < 1.0 => ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Fractional bits of the fixed-point weights, as in Pillow for bytes.
const PRECISION: u32 = 22;

/// The inputs and weights of one output number.
struct Weights {
    first: usize,
    weights: Vec<i32>,
}

impl Weights {
    /// For `wanted` output numbers from `from` on, when `extent` numbers are scaled to `scaled`.
    fn new(extent: usize, scaled: usize, from: usize, wanted: usize, filter: Filter) -> Vec<Self> {
        let scale = extent as f64 / scaled as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        (from..from + wanted)
            .map(|at| {
                let centre = (at as f64 + 0.5) * scale;
                let first = (centre - support + 0.5).max(0.0) as usize;
                let end = ((centre + support + 0.5) as usize).min(extent);
                let exact: Vec<f64> =
                    (first..end).map(|i| filter.at((i as f64 - centre + 0.5) * (1.0 / stretch))).collect();
                let sum: f64 = exact.iter().sum();
                let weights = exact.iter().map(|w| (w / sum * f64::from(1 << PRECISION)).round() as i32).collect();
                Self { first, weights }
            })
            .collect()
    }
}

/// The part of `size` at `corner` (both across, down) of the picture scaled to `scaled`: across first, then down, and
/// bytes in between.
fn resize(picture: &Picture, scaled: [usize; 2], corner: [usize; 2], size: [usize; 2], filter: Filter) -> Picture {
    let Picture { width, height, channels, ref bytes } = *picture;
    let [across, down] = size;

    let columns = Weights::new(width, scaled[0], corner[0], across, filter);
    let mut rows = Weights::new(height, scaled[1], corner[1], down, filter);
    // Only the rows that the second pass reads.
    let top = rows.iter().map(|row| row.first).min().unwrap_or(0);
    let bottom = rows.iter().map(|row| row.first + row.weights.len()).max().unwrap_or(0);
    for row in &mut rows {
        row.first -= top;
    }
    let bytes = &bytes[top * width * channels..bottom * width * channels];

    let narrow = pass(&transposed(bytes, width, channels), (bottom - top) * channels, &columns);
    let bytes = pass(&transposed(&narrow, bottom - top, channels), across * channels, &rows);
    Picture { width: across, height: down, channels, bytes }
}

/// Weighted sums of lines of `stride` bytes: whole lines at a time, so that the compiler vectorises the loop.
fn pass(bytes: &[u8], stride: usize, weights: &[Weights]) -> Vec<u8> {
    let half = 1 << (PRECISION - 1);
    let mut result = Vec::with_capacity(weights.len() * stride);
    let mut sums = vec![0; stride];
    for Weights { first, weights } in weights {
        sums.fill(half);
        for (line, weight) in bytes[first * stride..].chunks_exact(stride).zip(weights) {
            sums.iter_mut().zip(line).for_each(|(sum, &byte)| *sum += i32::from(byte) * weight);
        }
        result.extend(sums.iter().map(|sum| (sum >> PRECISION).clamp(0, 255) as u8));
    }
    result
}

/// Pixels in lines of `width`, column by column.
fn transposed(bytes: &[u8], width: usize, channels: usize) -> Vec<u8> {
    let stride = width * channels;
    let mut result = Vec::with_capacity(bytes.len());
    for column in (0..stride).step_by(channels) {
        bytes.chunks_exact(stride).for_each(|line| result.extend_from_slice(&line[column..column + channels]));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The picture described in `tests/fixtures/crop/README.md`.
    fn formula(width: usize, height: usize, channels: usize) -> Picture {
        let pixel = |x: usize, y: usize, c: usize| ((x * x * 3 + y * y * 5 + x * y * 7 + c * 85) / 16 % 256) as u8;
        let bytes = (0..height * width * channels)
            .map(|i| pixel(i / channels % width, i / channels / width, i % channels))
            .collect();
        Picture { width, height, channels, bytes }
    }

    #[test]
    fn the_same_bytes_as_pillow() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/crop/crop.json");
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let number = |name: &str| case[name].as_u64().unwrap() as usize;
            let (width, height, channels, side) =
                (number("width"), number("height"), number("channels"), number("side"));
            let expected: Vec<u8> = serde_json::from_value(case["bytes"].clone()).unwrap();
            let found = centre_crop(formula(width, height, channels), side);
            assert_eq!((found.width, found.height), (side, side));
            assert_eq!(found.bytes, expected, "{width}x{height}x{channels} to {side}");
        }
    }

    #[test]
    fn what_fits_already_stays() {
        let picture = formula(9, 9, 3);
        assert_eq!(centre_crop(picture.clone(), 9), picture);
        assert_eq!(Picture::from_planes(&picture.planes(), 3, 9), picture);
        assert_eq!(picture.planes()[81], picture.bytes[1]);
    }

    proptest! {
        #[test]
        fn no_shape_panics(width in 1usize..80, height in 1usize..80, side in 1usize..40, channels in 1usize..4) {
            let found = centre_crop(formula(width, height, channels), side);
            prop_assert_eq!(found.bytes.len(), side * side * channels);
        }

        #[test]
        fn one_colour_stays_that_colour(byte: u8, width in 1usize..50, height in 1usize..50, side in 1usize..30) {
            let picture = Picture { width, height, channels: 1, bytes: vec![byte; width * height] };
            prop_assert_eq!(centre_crop(picture, side).bytes, vec![byte; side * side]);
        }
    }
}
