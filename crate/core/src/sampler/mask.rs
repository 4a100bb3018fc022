//! How many tokens stay masked after each iteration: few tokens are drawn at first, many at the end.
//! Section 3.4 of the paper; the cosine mask schedule of MaskGIT.

/// Masked tokens after each of `iterations` iterations over `length` tokens; the last entry is 0.
///
/// Every iteration draws at least one token; `iterations` is at most `length`.
pub fn mask_lengths(length: usize, iterations: usize) -> Vec<usize> {
    let mut masked = length;
    (1..=iterations)
        .map(|k| {
            masked = if k == iterations { 0 } else { cosine(length, k, iterations).min(masked - 1).max(1) };
            masked
        })
        .collect()
}

/// The same from a picture under way, of which `left` tokens are masked before `iteration`: the schedule scaled to them.
/// The first entry is the number after `iteration`, the last one is 0; empty if `left` is 0.
///
/// `iteration < iterations`. With few tokens left there are fewer entries than iterations to come, as each takes one.
pub fn mask_lengths_from(length: usize, iterations: usize, iteration: usize, left: usize) -> Vec<usize> {
    let plain = mask_lengths(length, iterations);
    let before = if iteration == 0 { length } else { plain[iteration - 1] };
    let mut masked = left;
    let mut lengths = Vec::new();
    for &planned in &plain[iteration..] {
        if masked == 0 {
            break;
        }
        masked = if planned == 0 { 0 } else { (planned * left / before).max(1).min(masked - 1) };
        lengths.push(masked);
    }
    lengths
}

/// `floor(L cos(pi/2 k/K))`.
fn cosine(length: usize, k: usize, iterations: usize) -> usize {
    let ratio = libm::cos(std::f64::consts::FRAC_PI_2 * k as f64 / iterations as f64);
    (length as f64 * ratio).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sixteen_iterations_over_49() {
        let lengths = mask_lengths(49, 16);
        assert_eq!(lengths, [48, 47, 46, 45, 43, 40, 37, 34, 31, 27, 23, 18, 14, 9, 4, 0]);
    }

    #[test]
    fn from_a_picture_under_way_by_hand() {
        // 14 of the 16th schedule's 27 before iteration 10: halved, and rounded down.
        assert_eq!(mask_lengths_from(49, 16, 10, 14), [11, 9, 7, 4, 2, 0]);
        // More masked again than the schedule had: 49 for its 4.
        assert_eq!(mask_lengths_from(49, 16, 15, 49), [0]);
        assert_eq!(mask_lengths_from(49, 16, 0, 3), [2, 1, 0]);
        assert_eq!(mask_lengths_from(49, 16, 3, 0), [0; 0]);
    }

    proptest! {
        #[test]
        fn a_picture_on_schedule_stays_on_it(length in 1usize..400, share in 0.0f64..=1.0, at in 0.0f64..1.0) {
            let iterations = 1 + ((length - 1) as f64 * share) as usize;
            let iteration = (iterations as f64 * at) as usize;
            let plain = mask_lengths(length, iterations);
            let left = if iteration == 0 { length } else { plain[iteration - 1] };
            prop_assert_eq!(&mask_lengths_from(length, iterations, iteration, left)[..], &plain[iteration..]);
        }

        #[test]
        fn from_anywhere_it_falls_to_zero(length in 1usize..100, share in 0.0f64..=1.0, at in 0.0f64..1.0, part in 0.0f64..=1.0) {
            let iterations = 1 + ((length - 1) as f64 * share) as usize;
            let iteration = (iterations as f64 * at) as usize;
            let mut before = (length as f64 * part) as usize;
            let lengths = mask_lengths_from(length, iterations, iteration, before);
            prop_assert!(lengths.len() <= iterations - iteration);
            for now in lengths {
                prop_assert!(now < before, "{} after {}", now, before);
                before = now;
            }
            prop_assert_eq!(before, 0);
        }

        #[test]
        fn falls_to_zero_taking_one_token_at_least(length in 1usize..400, share in 0.0f64..=1.0) {
            let iterations = 1 + ((length - 1) as f64 * share) as usize;
            let lengths = mask_lengths(length, iterations);
            prop_assert_eq!(lengths.len(), iterations);
            prop_assert_eq!(*lengths.last().unwrap(), 0);
            let mut before = length;
            for now in lengths {
                prop_assert!(now < before, "{} after {}", now, before);
                before = now;
            }
        }
    }
}
