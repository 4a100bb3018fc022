//! Resizes images to the network's size and range, as TensorFlow 1 does.
//! FID depends on it (Parmar et al., arXiv 2104.11222): bilinear, at position `i * side / 299`, without averaging.

/// Side of the network's input, in pixels.
pub const SIDE: usize = 299;

/// Appends one channel of `[side, side]` bytes as `[299, 299]` numbers `(byte - 128) / 128`, in `[-1, 1)`.
pub fn resize(channel: &[u8], side: usize, out: &mut Vec<f32>) {
    let scale = side as f32 / SIDE as f32;
    let places: Vec<(usize, usize, f32)> = (0..SIDE)
        .map(|i| {
            let place = i as f32 * scale;
            let low = place as usize;
            (low, (low + 1).min(side - 1), place - low as f32)
        })
        .collect();
    let at = |y: usize, x: usize| f32::from(channel[y * side + x]);
    for &(top, bottom, down) in &places {
        for &(left, right, across) in &places {
            let between = |y: usize| at(y, left) + (at(y, right) - at(y, left)) * across;
            let (upper, lower) = (between(top), between(bottom));
            out.push((upper + (lower - upper) * down - 128.0) / 128.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(channel: &[u8], side: usize) -> Vec<f32> {
        let mut out = Vec::new();
        resize(channel, side, &mut out);
        assert_eq!(out.len(), SIDE * SIDE);
        out
    }

    #[test]
    fn an_image_of_that_size_stays_as_it_is() {
        let channel: Vec<u8> = (0..SIDE * SIDE).map(|i| (i % 251) as u8).collect();
        let expected: Vec<f32> = channel.iter().map(|&byte| (f32::from(byte) - 128.0) / 128.0).collect();
        assert_eq!(resized(&channel, SIDE), expected);
    }

    /// Two columns of 0 and 128 become the ramp `256 i / 299` up to the second column, then stay flat: corners are not
    /// aligned.
    #[test]
    fn a_ramp_upwards() {
        let out = resized(&[0, 128, 0, 128], 2);
        for row in out.chunks_exact(SIDE) {
            for (i, &value) in row.iter().enumerate() {
                let expected = (2.0 * i as f64 / 299.0).min(1.0) - 1.0;
                assert!((f64::from(value) - expected).abs() < 1e-6, "{i}: {value}, not {expected}");
            }
        }
    }

    /// When shrinking, it reads two neighbours and skips the rest: every second pixel of an image twice as large.
    #[test]
    fn nothing_is_averaged_downwards() {
        let side = 2 * SIDE;
        let channel: Vec<u8> = (0..side * side).map(|i| if i % 2 == 0 { 192 } else { 7 }).collect();
        assert!(resized(&channel, side).iter().all(|&value| (value - 0.5).abs() < 1e-6));
    }
}
