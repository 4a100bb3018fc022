//! Similarity of pictures: peak signal-to-noise ratio (PSNR) and structural similarity (SSIM).
//! SSIM follows Wang et al. 2004: Gaussian windows of 11 x 11 pixels with a standard deviation of 1.5.

use rayon::prelude::*;

/// Side of a window.
const WINDOW: usize = 11;
/// Standard deviation of a window's weights.
const DEVIATION: f64 = 1.5;
/// The largest byte.
const PEAK: f64 = 255.0;

/// Means over pairs of pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// PSNR in decibels, the mean over pairs.
    pub psnr: f64,
    /// PSNR of all pixels together, in decibels.
    pub psnr_of_all: f64,
    /// SSIM, the mean over pairs, channels and all windows inside the picture; 1 for equal pictures.
    pub ssim: f64,
}

/// Compares the pictures of `a` and `b` pair by pair, each `[channels, side, side]`.
///
/// # Panics
/// When there are no pairs, or when `a` and `b` differ in length.
pub fn similarity(a: &[&[u8]], b: &[&[u8]], side: usize) -> Similarity {
    assert!(!a.is_empty() && a.len() == b.len(), "{} pictures and {}", a.len(), b.len());
    let each: Vec<_> = a.par_iter().zip(b).map(|(a, b)| (squared(a, b), ssim(a, b, side))).collect();
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| each.iter().map(of).sum::<f64>() / each.len() as f64;
    Similarity {
        psnr: mean(&|&(squared, _)| psnr(squared)),
        psnr_of_all: psnr(mean(&|&(squared, _)| squared)),
        ssim: mean(&|&(_, ssim)| ssim),
    }
}

/// The mean squared difference.
fn squared(a: &[u8], b: &[u8]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    sum / a.len() as f64
}

/// In decibels. Equal pictures count as a squared difference of 0.001, so that means stay finite.
fn psnr(squared: f64) -> f64 {
    10.0 * (PEAK * PEAK / squared.max(1e-3)).log10()
}

/// SSIM of two pictures. If they are smaller than a window, the window is the whole picture.
fn ssim(a: &[u8], b: &[u8], side: usize) -> f64 {
    let planes = a.chunks_exact(side * side).zip(b.chunks_exact(side * side));
    let of: Vec<f64> = planes.map(|(a, b)| plane_ssim(a, b, side)).collect();
    of.iter().sum::<f64>() / of.len() as f64
}

fn plane_ssim(a: &[u8], b: &[u8], side: usize) -> f64 {
    let [a, b] = [a, b].map(|plane| plane.iter().map(|&byte| f64::from(byte)).collect::<Vec<_>>());
    let weights = weights(side.min(WINDOW));
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).collect::<Vec<_>>();
    let mean = |plane: &[f64]| blurred(plane, side, &weights);
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let (aa, bb, ab) = (mean(&product(&a, &a)), mean(&product(&b, &b)), mean(&product(&a, &b)));
    let [c1, c2] = [0.01, 0.03].map(|k: f64| (k * PEAK).powi(2));
    let at = |i: usize| {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
        (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    };
    (0..mean_a.len()).map(at).sum::<f64>() / mean_a.len() as f64
}

/// `count` Gaussian weights with the sum 1.
fn weights(count: usize) -> Vec<f64> {
    let centre = (count as f64 - 1.0) / 2.0;
    let raw: Vec<f64> = (0..count).map(|i| (-0.5 * ((i as f64 - centre) / DEVIATION).powi(2)).exp()).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / sum).collect()
}

/// The weighted mean of every window within a plane.
fn blurred(plane: &[f64], side: usize, weights: &[f64]) -> Vec<f64> {
    let inner = side + 1 - weights.len();
    let across: Vec<f64> = plane
        .chunks_exact(side)
        .flat_map(|row| row.windows(weights.len()).map(|part| part.iter().zip(weights).map(|(x, w)| x * w).sum()))
        .collect();
    let down = |y: usize, x: usize| weights.iter().enumerate().map(|(i, w)| across[(y + i) * inner + x] * w).sum();
    (0..inner * inner).map(|i| down(i / inner, i % inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER_PSNR: f64 = 10.113_898_030_751_926;
    const OTHER_SSIM: f64 = 0.082_999_261_537_761_06;
    const NEAR_PSNR: f64 = 34.676_351_524_305_396;
    const NEAR_SSIM: f64 = 0.996_386_596_492_063_1;
    const ALL_PSNR: f64 = 13.109_035_145_750_438;

    /// A picture of 3 x 16 x 16 that `byte(channel, y, x)` says.
    fn picture(byte: impl Fn(usize, usize, usize) -> usize) -> Vec<u8> {
        (0..3 * 256).map(|i| byte(i / 256, i / 16 % 16, i % 16) as u8).collect()
    }

    /// What scikit-image 0.25 says of the same: `peak_signal_noise_ratio`, and `structural_similarity` with `gaussian_weights`,
    /// `sigma` 1.5 and without `use_sample_covariance`.
    #[test]
    fn figures_are_scikit_images() {
        let pattern =
            |c: usize, y: usize, x: usize, salt: usize| (7 * x + 13 * y + 29 * c + x * y % (11 + salt) * salt) % 256;
        let a = picture(|c, y, x| pattern(c, y, x, 3));
        let other = picture(|c, y, x| pattern(c, y, x, 5));
        let near = picture(|c, y, x| (pattern(c, y, x, 3) + (3 * x + 5 * y + c) % 9).min(255));
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        let one = |b: &[u8]| similarity(&[&a], &[b], 16);
        close(one(&other).psnr, OTHER_PSNR);
        close(one(&other).ssim, OTHER_SSIM);
        close(one(&near).psnr, NEAR_PSNR);
        close(one(&near).ssim, NEAR_SSIM);
        let both = similarity(&[&a, &a], &[&other, &near], 16);
        close(both.psnr, f64::midpoint(OTHER_PSNR, NEAR_PSNR));
        close(both.ssim, f64::midpoint(OTHER_SSIM, NEAR_SSIM));
        close(both.psnr_of_all, ALL_PSNR);
    }

    /// Planes of 100 and of 110: a squared difference of 100, and similarity in brightness alone.
    #[test]
    fn figures_of_plain_colours_by_hand() {
        let (a, b) = (vec![100; 3 * 8 * 8], vec![110; 3 * 8 * 8]);
        let found = similarity(&[&a], &[&b], 8);
        assert!((found.psnr - 10.0 * (65_025.0f64 / 100.0).log10()).abs() < 1e-9, "{found:?}");
        assert!((found.ssim - (22_000.0 + 6.5025) / (22_100.0 + 6.5025)).abs() < 1e-9, "{found:?}");
        let same = similarity(&[&a], &[&a], 8);
        assert!((same.ssim - 1.0).abs() < 1e-12 && same.psnr.is_finite(), "{same:?}");
    }
}
