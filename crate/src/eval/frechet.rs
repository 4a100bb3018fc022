//! The Frechet distance between two sets of feature vectors, each taken for a Gaussian.
//! The paper's FID (section 5) is this distance in Inception's features; here they are the classifier's.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// Mean and covariance of a set of feature vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

/// Why no distance can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrechetError {
    /// A covariance needs two vectors.
    #[error("a covariance needs at least 2 images, not {0}. Measure over more images")]
    TooFew(usize),
    /// A feature is NaN or infinite.
    #[error("image {0} has a feature that is no finite number: the classifier's weights are damaged")]
    NotFinite(usize),
}

impl Gaussian {
    /// Fits `features`, `[n, width]` row-major; the covariance is the unbiased one (over n - 1).
    ///
    /// # Errors
    /// [`FrechetError::TooFew`] below two vectors, [`FrechetError::NotFinite`].
    pub fn fit(features: &[f32], width: usize) -> Result<Self, FrechetError> {
        let count = features.len() / width;
        if count < 2 {
            return Err(FrechetError::TooFew(count));
        }
        if let Some(at) = features.iter().position(|value| !value.is_finite()) {
            return Err(FrechetError::NotFinite(at / width));
        }
        let rows = DMatrix::from_row_iterator(count, width, features.iter().map(|&value| f64::from(value)));
        let mean = rows.row_mean();
        let centred = DMatrix::from_fn(count, width, |row, column| rows[(row, column)] - mean[column]);
        let covariance = centred.tr_mul(&centred) / (count - 1) as f64;
        Ok(Self { mean: mean.transpose(), covariance })
    }
}

/// `|mu1 - mu2|^2 + tr(S1) + tr(S2) - 2 tr((S1^1/2 S2 S1^1/2)^1/2)`; 0 for equal Gaussians. Both must have one width.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> f64 {
    let root = square_root(&a.covariance);
    let product = &root * &b.covariance * &root;
    // Rounding leaves it a little asymmetric, and its zero eigenvalues a little negative.
    let symmetric = (&product + product.transpose()) * 0.5;
    let cross: f64 = symmetric.symmetric_eigenvalues().iter().map(|value| value.max(0.0).sqrt()).sum();
    (&a.mean - &b.mean).norm_squared() + a.covariance.trace() + b.covariance.trace() - 2.0 * cross
}

/// The symmetric square root of a covariance.
fn square_root(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let SymmetricEigen { eigenvectors, eigenvalues } = covariance.clone().symmetric_eigen();
    let roots = DMatrix::from_diagonal(&eigenvalues.map(|value| value.max(0.0).sqrt()));
    &eigenvectors * roots * eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagonal(mean: &[f64], variances: &[f64]) -> Gaussian {
        Gaussian {
            mean: DVector::from_row_slice(mean),
            covariance: DMatrix::from_diagonal(&DVector::from_row_slice(variances)),
        }
    }

    /// The same Gaussian in turned coordinates.
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

    /// Numbers in `[0, 1)` that any language can repeat: x <- (1103515245 x + 12345) mod 2^31, from 7.
    fn repeatable() -> impl FnMut() -> f64 {
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
        // A distance does not depend on the coordinates, nor on which of the two comes first.
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
}
