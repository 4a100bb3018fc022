//! Nearest neighbours in pixel space: are generated images nearer to the training images than new real images are?
//! Not from the paper; the usual check that a model does not copy its training images.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::ImageSet;

/// Queries compared together, so that each reference image is loaded once for all of them.
const BLOCK: usize = 16;

/// Distances of images to the training set: L2 over pixels in `[-1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Neighbours {
    /// Median distance of a generated image to its nearest training image.
    pub generated_median: f64,
    /// The same for real test images.
    pub test_median: f64,
    /// The 1% quantile of the test images' distances.
    pub test_first_percentile: f64,
    /// Share of the generated images below that distance; far more than 0.01 indicates memorisation.
    pub nearer_share: f64,
}

impl Neighbours {
    /// Compares the distances of generated images with those of test images, as [`nearest`] gives them; none may be
    /// empty.
    pub fn compare(generated: &[f64], test: &[f64]) -> Self {
        let test_first_percentile = quantile(test, 0.01);
        let nearer = generated.iter().filter(|&&distance| distance < test_first_percentile).count();
        Self {
            generated_median: quantile(generated, 0.5),
            test_median: quantile(test, 0.5),
            test_first_percentile,
            nearer_share: nearer as f64 / generated.len() as f64,
        }
    }
}

/// The exact distance of each image of `queries` to the nearest of `reference`: L2 over pixels in `[-1, 1]`, infinite
/// when there is no reference. All images must have one size.
pub fn nearest(queries: &ImageSet, reference: &ImageSet) -> Vec<f64> {
    assert_eq!((queries.channels, queries.side), (reference.channels, reference.side), "images of one size");
    let each = queries.channels * queries.side * queries.side;
    queries
        .pixels
        .par_chunks(BLOCK * each)
        .flat_map_iter(|block| {
            let mut least = vec![u64::MAX; block.len() / each];
            for image in reference.pixels.chunks_exact(each) {
                for (query, least) in block.chunks_exact(each).zip(&mut least) {
                    *least = squared_distance(query, image, *least).min(*least);
                }
            }
            // A byte is 1 / 127.5 of the range from -1 to 1.
            least.into_iter().map(|least| if least == u64::MAX { f64::INFINITY } else { (least as f64).sqrt() / 127.5 })
        })
        .collect()
}

/// Squared distance in bytes, an integer, so that rounding cannot decide which image is nearest. Stops at `enough`: most images
/// are further away than the nearest one so far, and that shows early.
fn squared_distance(a: &[u8], b: &[u8], enough: u64) -> u64 {
    // The sum of that many squared byte differences fits 32 bits, which vectorises.
    const ROUND: usize = 1 << 10;
    let mut sum = 0;
    for (a, b) in a.chunks(ROUND).zip(b.chunks(ROUND)) {
        sum += u64::from(a.iter().zip(b).map(|(&a, &b)| square(a, b)).sum::<u32>());
        if sum >= enough {
            break;
        }
    }
    sum
}

fn square(a: u8, b: u8) -> u32 {
    let difference = i16::from(a) - i16::from(b);
    (i32::from(difference) * i32::from(difference)) as u32
}

/// The `q` quantile of `values`, with linear interpolation.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Not low + (high - low) * share, which is NaN for two infinities.
    if low.total_cmp(&high).is_eq() { low } else { low + (high - low) * place.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marscope_core::random::Philox;
    use marscope_core::tokenizer::from_byte;

    fn random_images(count: usize, side: usize, seed: u64) -> ImageSet {
        let mut stream = Philox::new(seed).stream(0, 0);
        let pixels = (0..count * side * side).map(|_| stream.below(256) as u8).collect();
        ImageSet { pixels, labels: vec![0; count], channels: 1, side }
    }

    #[test]
    fn as_by_the_definition() {
        let (queries, reference) = (random_images(37, 5, 1), random_images(50, 5, 2));
        let found = nearest(&queries, &reference);
        assert_eq!(found.len(), 37);
        for (i, found) in found.into_iter().enumerate() {
            let distance = |j: usize| {
                let pixels = queries.image(i).iter().zip(reference.image(j));
                pixels.map(|(&a, &b)| f64::from(from_byte(a) - from_byte(b)).powi(2)).sum::<f64>().sqrt()
            };
            let expected = (0..50).map(distance).fold(f64::INFINITY, f64::min);
            assert!((found - expected).abs() < 1e-5, "image {i}: {found}, not {expected}");
        }
    }

    #[test]
    fn an_image_of_the_reference_is_at_distance_zero() {
        let reference = random_images(20, 4, 3);
        assert_eq!(nearest(&reference, &reference), vec![0.0; 20]);
        let nothing = ImageSet { pixels: Vec::new(), labels: Vec::new(), ..reference.clone() };
        assert_eq!(nearest(&reference, &nothing), vec![f64::INFINITY; 20]);
    }

    #[test]
    fn the_largest_distance_does_not_overflow() {
        let size = 70_000;
        assert_eq!(squared_distance(&vec![0; size], &vec![255; size], u64::MAX), 70_000 * 65_025);
    }

    /// Images of several rounds, of which the nearest is not the one that begins best.
    #[test]
    fn stopping_early_changes_nothing() {
        let (mut near, mut far) = (random_images(1, 50, 1), random_images(1, 50, 1));
        near.pixels[..100].iter_mut().for_each(|byte| *byte ^= 8);
        far.pixels[2_000..].iter_mut().for_each(|byte| *byte ^= 128);
        for order in [[&far, &near], [&near, &far]] {
            let pixels = order.map(|set| set.pixels.clone()).concat();
            let both = ImageSet { pixels, labels: vec![0; 2], ..near.clone() };
            let found = nearest(&random_images(1, 50, 1), &both);
            assert!((found[0] - (100.0 * 64f64).sqrt() / 127.5).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn quantiles_interpolate() {
        assert!((quantile(&[4.0, 1.0, 3.0, 2.0], 0.5) - 2.5).abs() < 1e-12);
        assert!((quantile(&[10.0, 0.0], 0.01) - 0.1).abs() < 1e-12);
        assert!((quantile(&[7.0], 0.01) - 7.0).abs() < 1e-12);
    }

    #[test]
    fn copies_of_training_images_show() {
        let test: Vec<f64> = (1..=101).map(f64::from).collect();
        let like_test = Neighbours::compare(&test, &test);
        assert!((like_test.test_first_percentile - 2.0).abs() < 1e-12);
        assert!((like_test.nearer_share - 1.0 / 101.0).abs() < 1e-12);
        let copies = Neighbours::compare(&[0.0, 0.0, 0.0, 60.0], &test);
        assert!((copies.nearer_share - 0.75).abs() < 1e-12);
        assert!((copies.generated_median - 0.0).abs() < 1e-12);
        assert!((copies.test_median - 51.0).abs() < 1e-12);
    }
}
