//! Improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991): the share of generated images that lie among
//! real ones, and of real images among generated ones. The paper's Pre. and Rec. (section 5), with ADM's 3 neighbours.

use nalgebra::DMatrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The neighbour whose distance is an image's radius.
const NEIGHBOUR: usize = 3;

/// Fewest images of a set: each needs three neighbours besides itself.
pub const FEWEST: usize = NEIGHBOUR + 1;

/// Most images of each set to compare; the time grows with the square.
pub const MOST: usize = 10_000;

/// Vectors of a block of distances.
const BLOCK: usize = 512;

/// How much of one set lies within the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrecisionRecall {
    /// Share of the generated images that lie among the real ones: at most as far from a real image as that image's
    /// third-nearest real neighbour.
    pub precision: f64,
    /// The reverse: share of the real images that lie among the generated ones.
    pub recall: f64,
}

/// Feature vectors in blocks, with their squared norms.
struct Set {
    /// `[width, at most BLOCK]` each.
    blocks: Vec<DMatrix<f64>>,
    norms: Vec<Vec<f64>>,
}

impl Set {
    fn new(features: &[f32], width: usize) -> Self {
        let block = |rows: &[f32]| {
            DMatrix::from_iterator(width, rows.len() / width, rows.iter().map(|&value| f64::from(value)))
        };
        let blocks: Vec<_> = features.chunks(BLOCK * width).map(block).collect();
        let norms = blocks.iter().map(|block| block.column_iter().map(|column| column.norm_squared()).collect());
        Self { norms: norms.collect(), blocks }
    }

    /// Squared distances of block `i` of `self` (rows) to block `j` of `other` (columns).
    fn distances(&self, i: usize, other: &Self, j: usize) -> DMatrix<f64> {
        let mut distances = self.blocks[i].transpose() * &other.blocks[j];
        for (column, &of_column) in other.norms[j].iter().enumerate() {
            for (row, &of_row) in self.norms[i].iter().enumerate() {
                let place = &mut distances[(row, column)];
                *place = (of_row + of_column - 2.0 * *place).max(0.0);
            }
        }
        distances
    }

    /// Squared distance of each vector to its third-nearest other one.
    fn radii(&self) -> Vec<f64> {
        let of_block = |i: usize| {
            let mut nearest = vec![[f64::INFINITY; NEIGHBOUR]; self.norms[i].len()];
            for j in 0..self.blocks.len() {
                let distances = self.distances(i, self, j);
                for (row, nearest) in nearest.iter_mut().enumerate() {
                    for column in (0..distances.ncols()).filter(|&column| (i, row) != (j, column)) {
                        let distance = distances[(row, column)];
                        let place = nearest.partition_point(|&known| known <= distance);
                        if place < NEIGHBOUR {
                            nearest[place..].rotate_right(1);
                            nearest[place] = distance;
                        }
                    }
                }
            }
            nearest.into_iter().map(|nearest| nearest[NEIGHBOUR - 1])
        };
        (0..self.blocks.len()).into_par_iter().flat_map_iter(of_block).collect()
    }

    /// Share of the vectors of `self` that lie within the radius of any vector of `other`.
    fn share_within(&self, other: &Self, radii: &[f64]) -> f64 {
        let within = |i: usize| {
            let mut inside = vec![false; self.norms[i].len()];
            for (j, radii) in radii.chunks(BLOCK).enumerate() {
                let distances = self.distances(i, other, j);
                for (row, inside) in inside.iter_mut().enumerate() {
                    *inside |= radii.iter().enumerate().any(|(column, &radius)| distances[(row, column)] <= radius);
                }
            }
            inside.into_iter().filter(|&inside| inside).count()
        };
        let count: usize = self.norms.iter().map(Vec::len).sum();
        (0..self.blocks.len()).into_par_iter().map(within).sum::<usize>() as f64 / count as f64
    }
}

/// Compares feature vectors of real and generated images, `[n, width]` each with at least [`FEWEST`] of them.
pub fn precision_recall(real: &[f32], generated: &[f32], width: usize) -> PrecisionRecall {
    assert!(real.len().min(generated.len()) >= FEWEST * width, "at least {FEWEST} vectors of each");
    let (real, generated) = (Set::new(real, width), Set::new(generated, width));
    PrecisionRecall {
        precision: generated.share_within(&real, &real.radii()),
        recall: real.share_within(&generated, &generated.radii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::frechet::tests::repeatable;

    /// On a line: the real ones at 0 to 4, each with its third neighbour at 2 or 3; the generated ones far apart.
    #[test]
    fn points_on_a_line() {
        let real = [0.0, 1.0, 2.0, 3.0, 4.0];
        // Radii of the real points: 3, 2, 2, 2, 3: they reach from -3 to 7.
        let generated = [-3.0, -3.5, 7.0, 100.0, 200.0];
        // Radii of the generated points: -3 and -3.5 to 100 (103, 103.5), 7 to 100 (93), 100 to -3 (103), 200 to -3
        // (203).
        let found = precision_recall(&real, &generated, 1);
        assert!((found.precision - 0.4).abs() < 1e-12, "{found:?}");
        assert!((found.recall - 1.0).abs() < 1e-12, "{found:?}");
        // Generated points in one spot: all near a real point, but covering only one of five.
        let bunched = precision_recall(&real, &[2.0; 6], 1);
        assert_eq!(bunched, PrecisionRecall { precision: 1.0, recall: 0.2 });
    }

    /// By the definition, with more vectors than a block holds.
    #[test]
    fn as_by_brute_force() {
        let width = 3;
        let mut next = repeatable();
        let mut cloud = |count: usize, spread: f64, shift: f64| -> Vec<f32> {
            (0..count * width).map(|_| (spread * next() + shift) as f32).collect()
        };
        let (real, generated) = (cloud(BLOCK + 90, 1.0, 0.0), cloud(BLOCK + 41, 0.7, 0.5));
        let distance =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>();
        let share = |inner: &[f32], outer: &[f32]| {
            let outer: Vec<&[f32]> = outer.chunks_exact(width).collect();
            let radii: Vec<f64> = outer
                .iter()
                .map(|a| {
                    let mut all: Vec<f64> = outer.iter().map(|b| distance(a, b)).collect();
                    all.sort_by(f64::total_cmp);
                    // The first is the vector itself.
                    all[3]
                })
                .collect();
            let inside = |a: &[f32]| outer.iter().zip(&radii).any(|(b, &radius)| distance(a, b) <= radius);
            let hits = inner.chunks_exact(width).filter(|a| inside(a)).count();
            hits as f64 / (inner.len() / width) as f64
        };
        let found = precision_recall(&real, &generated, width);
        assert!((found.precision - share(&generated, &real)).abs() < 1e-12);
        assert!((found.recall - share(&real, &generated)).abs() < 1e-12);
        // Strictly between 0 and 1, so that a wrong radius is noticed.
        for share in [found.precision, found.recall] {
            assert!((0.1..0.9).contains(&share), "{found:?}");
        }
    }
}
