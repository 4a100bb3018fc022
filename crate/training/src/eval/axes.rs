//! The two principal axes of a set of vectors.
//! To show tokens of 16 numbers as points on a plane.

use nalgebra::{DMatrix, SymmetricEigen};

/// Mean and principal axes of a set of vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalAxes {
    /// Number of vectors.
    pub count: usize,
    /// Their mean, `[width]`.
    pub mean: Vec<f64>,
    /// Unit vectors, the one with the largest variance first; each one's largest component is positive.
    pub axes: [Vec<f64>; 2],
    /// Variance along each.
    pub variance: [f64; 2],
    /// Variance along all axes together.
    pub total: f64,
}

/// The principal axes of `vectors`, `[n, width]` row-major; `width` is at least 2, and the variance is divided by n.
pub fn principal_axes(vectors: &[f32], width: usize) -> PrincipalAxes {
    let count = vectors.len() / width;
    let mut sums = vec![0.0; width];
    for vector in vectors.chunks_exact(width) {
        for (sum, &value) in sums.iter_mut().zip(vector) {
            *sum += f64::from(value);
        }
    }
    let mean: Vec<f64> = sums.into_iter().map(|sum| sum / count as f64).collect();

    let mut covariance = DMatrix::zeros(width, width);
    let mut centred = vec![0.0; width];
    for vector in vectors.chunks_exact(width) {
        for ((centred, &value), mean) in centred.iter_mut().zip(vector).zip(&mean) {
            *centred = f64::from(value) - mean;
        }
        for column in 0..width {
            for row in 0..=column {
                covariance[(row, column)] += centred[row] * centred[column];
            }
        }
    }
    covariance.fill_lower_triangle_with_upper_triangle();
    covariance /= count as f64;

    let total = covariance.trace();
    let SymmetricEigen { eigenvectors, eigenvalues } = covariance.symmetric_eigen();
    let mut ranked: Vec<usize> = (0..width).collect();
    ranked.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let axis = |rank: usize| {
        let axis = eigenvectors.column(ranked[rank]);
        let largest = axis[axis.iamax()];
        axis.iter().map(|component| component * largest.signum()).collect()
    };
    PrincipalAxes {
        count,
        axes: [axis(0), axis(1)],
        variance: [eigenvalues[ranked[0]], eigenvalues[ranked[1]]],
        mean,
        total,
    }
}

impl PrincipalAxes {
    /// The coordinates of `vector` on the two axes.
    pub fn project(&self, vector: &[f32]) -> [f64; 2] {
        let along = |axis: &Vec<f64>| {
            vector.iter().zip(&self.mean).zip(axis).map(|((&value, mean), axis)| (f64::from(value) - mean) * axis).sum()
        };
        [along(&self.axes[0]), along(&self.axes[1])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points spread evenly around an ellipse with half axes a and b have variance a^2 / 2 and b^2 / 2 along them.
    #[test]
    fn an_ellipse_in_space() {
        let (a, b) = (3.0, 0.5);
        let (u, v, middle) = ([0.6, -0.8, 0.0], [0.0, 0.0, 1.0], [5.0, -2.0, 0.25]);
        let at = |i: usize| {
            let (sin, cos) = (std::f64::consts::TAU * i as f64 / 360.0).sin_cos();
            [0, 1, 2].map(|d| (middle[d] + a * cos * u[d] + b * sin * v[d]) as f32)
        };
        let points: Vec<f32> = (0..360).flat_map(at).collect();
        let found = principal_axes(&points, 3);
        let near = |found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{found:?} for {expected:?}");
        };
        assert_eq!(found.count, 360);
        near(&found.mean, &middle);
        // The largest component, 0.8, is the positive one.
        near(&found.axes[0], &[-0.6, 0.8, 0.0]);
        near(&found.axes[1], &v);
        near(&found.variance, &[a * a / 2.0, b * b / 2.0]);
        near(&[found.total], &[a * a / 2.0 + b * b / 2.0]);
        near(&found.project(&at(0)), &[-a, 0.0]);
        near(&found.project(&at(90)), &[0.0, b]);
    }
}
