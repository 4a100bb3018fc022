//! The Frechet distance between two sets of feature vectors, each modelled as a Gaussian.
//! The paper's FID (section 5) is this distance in Inception's features; small data sets use a classifier's features.

use nalgebra::{DMatrix, DVector};

/// Vectors added at once, by one matrix product.
const BUFFER: usize = 256;

/// Mean and covariance of a set of feature vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

/// Why the distance cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrechetError {
    /// A covariance needs two vectors.
    #[error("a covariance needs at least 2 images, not {0}. Measure over more images")]
    TooFew(usize),
    /// A feature is NaN or infinite.
    #[error("image {0} has a feature that is not finite: the weights of the measuring network are damaged")]
    NotFinite(usize),
}

/// Accumulates mean and covariance batch by batch, with at most [`BUFFER`] vectors in memory.
#[derive(Clone, Debug)]
pub struct Moments {
    width: usize,
    count: usize,
    /// A point close to the mean. The sums are relative to it, to keep precision when the mean is far from zero.
    shift: Vec<f64>,
    sum: DVector<f64>,
    products: DMatrix<f64>,
    /// Shifted vectors not yet in the sums, `[n, width]`.
    waiting: Vec<f64>,
}

impl Moments {
    /// Empty sums over vectors of `width` numbers.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            count: 0,
            shift: Vec::new(),
            sum: DVector::zeros(width),
            products: DMatrix::zeros(width, width),
            waiting: Vec::with_capacity(BUFFER * width),
        }
    }

    /// Adds `features`, `[n, width]` row-major.
    ///
    /// # Errors
    /// [`FrechetError::NotFinite`].
    pub fn push(&mut self, features: &[f32]) -> Result<(), FrechetError> {
        if self.shift.is_empty() {
            let rows = features.len() / self.width;
            let of_column =
                |column: usize| features.iter().skip(column).step_by(self.width).map(|&value| f64::from(value));
            self.shift = (0..self.width).map(|column| of_column(column).sum::<f64>() / rows as f64).collect();
        }
        for row in features.chunks_exact(self.width) {
            if row.iter().any(|value| !value.is_finite()) {
                return Err(FrechetError::NotFinite(self.count));
            }
            self.count += 1;
            self.waiting.extend(row.iter().zip(&self.shift).map(|(&value, shift)| f64::from(value) - shift));
            if self.waiting.len() == BUFFER * self.width {
                self.add_waiting();
            }
        }
        Ok(())
    }

    fn add_waiting(&mut self) {
        let columns = DMatrix::from_column_slice(self.width, self.waiting.len() / self.width, &self.waiting);
        self.sum += columns.column_sum();
        self.products.gemm(1.0, &columns, &columns.transpose(), 1.0);
        self.waiting.clear();
    }

    /// The Gaussian; its covariance is the unbiased one (over n - 1).
    ///
    /// # Errors
    /// [`FrechetError::TooFew`] below two vectors.
    pub fn finish(mut self) -> Result<Gaussian, FrechetError> {
        if self.count < 2 {
            return Err(FrechetError::TooFew(self.count));
        }
        self.add_waiting();
        let from_shift = self.sum / self.count as f64;
        let mut covariance = self.products;
        covariance.ger(-(self.count as f64), &from_shift, &from_shift, 1.0);
        covariance /= (self.count - 1) as f64;
        Ok(Gaussian { mean: DVector::from_vec(self.shift) + from_shift, covariance })
    }
}

impl Gaussian {
    /// Fits `features`, `[n, width]` row-major; the covariance is the unbiased one (over n - 1).
    ///
    /// # Errors
    /// [`FrechetError::TooFew`] below two vectors, [`FrechetError::NotFinite`].
    pub fn fit(features: &[f32], width: usize) -> Result<Self, FrechetError> {
        let mut moments = Moments::new(width);
        moments.push(features)?;
        moments.finish()
    }

    /// The Gaussian of this mean, `[width]`, and covariance, `[width, width]`; `None` if the shapes do not match or a
    /// number is not finite.
    pub fn new(mean: Vec<f64>, covariance: Vec<f64>) -> Option<Self> {
        let width = mean.len();
        let fits = width.checked_mul(width) == Some(covariance.len());
        let finite = mean.iter().chain(&covariance).all(|value| value.is_finite());
        (fits && finite).then(|| Self {
            mean: DVector::from_vec(mean),
            covariance: DMatrix::from_row_slice(width, width, &covariance),
        })
    }

    /// Mean, `[width]`.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// Covariance, `[width, width]`.
    pub fn covariance(&self) -> &[f64] {
        self.covariance.as_slice()
    }
}

/// `|mu1 - mu2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2)`; 0 for equal Gaussians. Both must have one width.
///
/// With S1 = L L', S1 S2 has the eigenvalues of the symmetric matrix L' S2 L, so no matrix root is needed.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> f64 {
    let factor = factor(&a.covariance);
    let product = factor.transpose() * (&b.covariance * &factor);
    // Rounding makes it slightly asymmetric, and its zero eigenvalues slightly negative.
    let symmetric = (&product + product.transpose()) * 0.5;
    let cross: f64 = symmetric.symmetric_eigenvalues().iter().map(|value| value.max(0.0).sqrt()).sum();
    (&a.mean - &b.mean).norm_squared() + a.covariance.trace() + b.covariance.trace() - 2.0 * cross
}

/// L of `[width, rank]` with L L' = `covariance`, by a Cholesky decomposition that takes the largest remaining variance
/// first. It stops when no variance remains, so a covariance of fewer images than features works too.
fn factor(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let width = covariance.nrows();
    let mut remaining = covariance.diagonal();
    let nothing = 16.0 * f64::EPSILON * remaining.max();
    let mut factor = DMatrix::zeros(width, width);
    for rank in 0..width {
        let pivot = remaining.imax();
        if remaining[pivot] <= nothing {
            return factor.columns(0, rank).into_owned();
        }
        let known = factor.columns(0, rank);
        let mut column = covariance.column(pivot) - known * known.row(pivot).transpose();
        column /= remaining[pivot].sqrt();
        remaining.zip_apply(&column, |remaining, value| *remaining -= value * value);
        remaining[pivot] = f64::NEG_INFINITY;
        factor.set_column(rank, &column);
    }
    factor
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn diagonal(mean: &[f64], variances: &[f64]) -> Gaussian {
        Gaussian {
            mean: DVector::from_row_slice(mean),
            covariance: DMatrix::from_diagonal(&DVector::from_row_slice(variances)),
        }
    }

    /// The same Gaussian in rotated coordinates.
    fn turned(gaussian: &Gaussian, rotation: &DMatrix<f64>) -> Gaussian {
        Gaussian { mean: rotation * &gaussian.mean, covariance: rotation * &gaussian.covariance * rotation.transpose() }
    }

    /// A rotation in three dimensions, about two axes one after the other.
    fn rotation() -> DMatrix<f64> {
        let (sin, cos) = 0.7f64.sin_cos();
        let about_z = DMatrix::from_row_slice(3, 3, &[cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0]);
        let (sin, cos) = 1.9f64.sin_cos();
        let about_x = DMatrix::from_row_slice(3, 3, &[1.0, 0.0, 0.0, 0.0, cos, -sin, 0.0, sin, cos]);
        about_z * about_x
    }

    /// Numbers in `[0, 1)` that any language can reproduce: x <- (1103515245 x + 12345) mod 2^31, from 7.
    pub fn repeatable() -> impl FnMut() -> f64 {
        let mut x = 7u64;
        move || {
            x = (1_103_515_245 * x + 12_345) % (1 << 31);
            x as f64 / (1u64 << 31) as f64
        }
    }

    #[test]
    fn fit_is_mean_and_unbiased_covariance() {
        let gaussian = Gaussian::fit(&[1.0, 2.0, 3.0, 6.0, 5.0, 4.0], 2).unwrap();
        assert_eq!(gaussian.mean.as_slice(), [3.0, 4.0]);
        assert_eq!(gaussian.covariance.as_slice(), [4.0, 2.0, 2.0, 4.0]);
        assert_eq!(Gaussian::fit(&[1.0, 2.0], 2), Err(FrechetError::TooFew(1)));
        assert_eq!(Gaussian::fit(&[1.0, 2.0, f32::NAN, 1.0], 2), Err(FrechetError::NotFinite(1)));
    }

    #[test]
    fn no_distance_to_itself() {
        let mut next = repeatable();
        let features: Vec<f32> = (0..50 * 6).map(|_| next() as f32).collect();
        let gaussian = Gaussian::fit(&features, 6).unwrap();
        assert!(frechet_distance(&gaussian, &gaussian).abs() < 1e-12);
    }

    #[test]
    fn diagonal_gaussians_have_a_closed_form() {
        let a = diagonal(&[1.0, 0.0, -2.0], &[4.0, 1.0, 0.25]);
        let b = diagonal(&[0.0, 0.5, -2.0], &[1.0, 9.0, 0.25]);
        // (1 + 0.25 + 0) + ((2 - 1)^2 + (1 - 3)^2 + 0)
        let expected = 6.25;
        assert!((frechet_distance(&a, &b) - expected).abs() < 1e-12);
        // The distance does not depend on the coordinates or on the order of the two sets.
        let (a, b) = (turned(&a, &rotation()), turned(&b, &rotation()));
        assert!((frechet_distance(&a, &b) - expected).abs() < 1e-12);
        assert!((frechet_distance(&b, &a) - expected).abs() < 1e-12);
    }

    #[test]
    fn covariances_that_do_not_commute() {
        // In two dimensions tr((AB)^1/2) = sqrt(tr(AB) + 2 sqrt(det A det B)).
        let covariance = |entries: &[f64; 4]| DMatrix::from_row_slice(2, 2, entries);
        let a = Gaussian { mean: DVector::zeros(2), covariance: covariance(&[2.0, 0.5, 0.5, 1.0]) };
        let b = Gaussian { mean: DVector::zeros(2), covariance: covariance(&[1.0, -0.8, -0.8, 3.0]) };
        let (trace, determinants) = ((&a.covariance * &b.covariance).trace(), 1.75 * 2.36);
        let expected = 7.0 - 2.0 * (trace + 2.0 * f64::sqrt(determinants)).sqrt();
        assert!((frechet_distance(&a, &b) - expected).abs() < 1e-12);
    }

    #[test]
    fn features_that_never_vary_do_no_harm() {
        let a = diagonal(&[0.0, 0.0, 1.0], &[4.0, 0.0, 0.0]);
        let b = diagonal(&[0.0, 0.0, 3.0], &[1.0, 9.0, 0.0]);
        // 4 + (2 - 1)^2 + (0 - 3)^2
        assert!((frechet_distance(&a, &b) - 14.0).abs() < 1e-6);
        let (a, b) = (turned(&a, &rotation()), turned(&b, &rotation()));
        assert!((frechet_distance(&a, &b) - 14.0).abs() < 1e-6);
        // Fewer vectors than dimensions.
        let few = Gaussian::fit(&[1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0, 5.0], 4).unwrap();
        assert!(frechet_distance(&few, &few).abs() < 1e-6);
    }

    /// Against `scipy.linalg.sqrtm(S1 @ S2)` (scipy 1.17, numpy's `cov`) on the same features.
    #[test]
    fn as_scipy_has_it() {
        let mut next = repeatable();
        let a: Vec<f32> = (0..40 * 5).map(|_| next() as f32).collect();
        let (scale, shift) = ([1.0, 2.0, 3.0, 0.5, 1.5], [0.5, 0.0, -1.0, 0.25, 0.0]);
        let mut b: Vec<f32> = (0..30 * 5).map(|i| (next() * scale[i % 5] + shift[i % 5]) as f32).collect();
        for row in b.chunks_exact_mut(5) {
            row[1] += 0.7 * row[0];
        }
        let distance = frechet_distance(&Gaussian::fit(&a, 5).unwrap(), &Gaussian::fit(&b, 5).unwrap());
        assert!((distance - 1.540_190_858_865_983_6).abs() < 1e-6, "{distance}");
    }

    /// Against scipy on vectors of 64 numbers. With fewer vectors than numbers `sqrtm` itself has an error of 1e-6, so
    /// the reference is numpy's singular values of the centred vectors, whose sum is the trace of the root.
    #[test]
    fn as_scipy_and_numpy_have_it_on_wider_features() {
        let mut next = repeatable();
        let mut cloud = |count: usize, shift: f64| {
            let value = |i: usize| (next() * (1.0 + (i % 64) as f64 / 16.0) + shift * (i % 7) as f64) as f32;
            Gaussian::fit(&(0..count * 64).map(value).collect::<Vec<_>>(), 64).unwrap()
        };
        let (a, b, few) = (cloud(200, 0.1), cloud(150, -0.05), cloud(20, 0.02));
        for (a, b, expected, most) in [
            (&a, &b, 21.370_807_465_404_74, 1e-6),
            (&few, &b, 48.807_797_096_243_65, 1e-6),
            (&a, &few, 53.990_902_321_675_584, 1e-5),
        ] {
            let distance = frechet_distance(a, b);
            assert!((distance - expected).abs() < most, "{distance}, not {expected}");
        }
    }

    /// The result does not depend on the batches, and is exact far from zero, where sums of squares would lose all
    /// digits.
    #[test]
    fn moments_do_not_depend_on_the_pieces() {
        let mut next = repeatable();
        let features: Vec<f32> = (0..3 * BUFFER * 5 + 35).map(|_| (1e4 + next()) as f32).collect();
        let whole = Gaussian::fit(&features, 5).unwrap();
        let mut moments = Moments::new(5);
        for piece in features.chunks(35) {
            moments.push(piece).unwrap();
        }
        let pieces = moments.finish().unwrap();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(whole.mean(), pieces.mean()) && near(whole.covariance(), pieces.covariance()));
        for (i, variance) in (0..5).map(|i| (i, whole.covariance()[i * 6])) {
            assert!((variance - 1.0 / 12.0).abs() < 0.01, "{i}: {variance}");
        }
        assert_eq!(Moments::new(5).finish(), Err(FrechetError::TooFew(0)));
    }
}
