//! How many tokens stay masked after each iteration: few tokens are dared at first, many at the end.
//! Section 3.4 of the paper; the cosine mask schedule of MaskGIT.

/// Masked tokens after each of `iterations` iterations over `length` tokens; the last entry is 0.
///
/// Every iteration takes at least one token, which `iterations <= length` makes possible.
pub fn mask_lengths(length: usize, iterations: usize) -> Vec<usize> {
    let mut masked = length;
    (1..=iterations)
        .map(|k| {
            masked = if k == iterations { 0 } else { cosine(length, k, iterations).min(masked - 1).max(1) };
            masked
        })
        .collect()
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

    proptest! {
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
