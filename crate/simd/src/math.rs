//! Exponential, `GELU` and `SiLU` on whole vectors, as exact as f32 holds them.
//! The exponential is that of Cephes; the polynomial of the `GELU` was fitted here (see [`gelu`]).

use pulp::Simd;

/// `exp(x)`, off by 2 units in the last place at most; below -87 and above 88 it stays at its value there.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Adding it leaves an integer in the lowest bits of the sum.
    const TO_INTEGER: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has so few digits that its product with an exponent is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const TERMS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

    let x = simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(88.0));
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(TO_INTEGER));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(TO_INTEGER));
    let x = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2[0]), x);
    let x = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2[1]), x);
    let series = polynomial(simd, x, TERMS);
    let series = simd.add_f32s(simd.mul_add_e_f32s(simd.mul_f32s(x, x), series, x), simd.splat_f32s(1.0));
    // 2^n: n, with its bias, moved up to the exponent's bits. A multiplication, for pulp has no shift by a constant.
    let bits = simd.transmute_u32s_f32s(shifted);
    let biased = simd.sub_u32s(bits, simd.splat_u32s(TO_INTEGER.to_bits() - 127));
    let scale = simd.transmute_f32s_u32s(simd.mul_u32s(biased, simd.splat_u32s(1 << 23)));
    simd.mul_f32s(series, scale)
}

/// The exact (erf) `GELU`, `x Phi(x)`, with an error about as large as rounding to f32.
///
/// `x Phi(x) = max(x, 0) - |x| Phi(-|x|)`; from 6 on `x Phi(-x)` is below 6e-9.
#[inline(always)]
pub fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let size = simd.min_f32s(simd.abs_f32s(x), simd.splat_f32s(6.0));
    let tail = twice_tail(simd, size);
    let positive = simd.max_f32s(x, simd.splat_f32s(0.0));
    simd.mul_add_e_f32s(simd.mul_f32s(size, simd.splat_f32s(-0.5)), tail, positive)
}

/// `2 Phi(-x)` on `[0, 6]`, as exp of a polynomial. The coefficients are a minimax fit, weighted by their effect on
/// [`gelu`] (error 4e-9).
#[inline(always)]
fn twice_tail<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LN_2PHI: [f32; 10] = [
        2.328_317_7e-7,
        -4.845_185e-6,
        4.140_669e-5,
        -1.640_244_6e-4,
        -4.871_155_8e-5,
        4.865_029e-3,
        -3.637_931e-2,
        -3.182_985_8e-1,
        -7.978_856_6e-1,
        1.691_411_8e-8,
    ];
    exp(simd, polynomial(simd, x, LN_2PHI))
}

/// The derivative of [`gelu`], `Phi(x) + x phi(x)`.
#[inline(always)]
pub fn gelu_slope<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// 1 over the square root of 2 pi.
    const PEAK: f32 = 0.398_942_3;
    let size = simd.abs_f32s(x);
    let tail = twice_tail(simd, simd.min_f32s(size, simd.splat_f32s(6.0)));
    let tail = simd.mul_f32s(tail, simd.splat_f32s(0.5));
    // From 13 on, the density is zero in f32. The clamp keeps its product with x zero too.
    let size = simd.min_f32s(size, simd.splat_f32s(13.0));
    let density = exp(simd, simd.mul_f32s(simd.mul_f32s(size, size), simd.splat_f32s(-0.5)));
    // For negative x: Phi(-|x|) - |x| phi(x). For positive x: 1 minus that.
    let below = simd.mul_add_e_f32s(simd.mul_f32s(size, simd.splat_f32s(-PEAK)), density, tail);
    let above = simd.sub_f32s(simd.splat_f32s(1.0), below);
    simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(0.0)), below, above)
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
pub fn silu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.div_f32s(x, simd.add_f32s(exp(simd, simd.neg_f32s(x)), simd.splat_f32s(1.0)))
}

/// The derivative of [`silu`].
#[inline(always)]
pub fn silu_slope<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Outside this range the slope is 0 or 1. The clamp avoids the product of a huge and a tiny number.
    let x = simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(87.0));
    let one = simd.splat_f32s(1.0);
    let power = exp(simd, simd.neg_f32s(x));
    let sigmoid = simd.div_f32s(one, simd.add_f32s(power, one));
    // 1 - sigmoid, without subtracting two numbers that are close to each other.
    let rest = simd.mul_f32s(power, sigmoid);
    simd.mul_f32s(sigmoid, simd.mul_add_e_f32s(x, rest, one))
}

/// The polynomial of `terms`, the highest power first (Horner).
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, terms: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(terms[0]);
    for &term in &terms[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(term));
    }
    sum
}

/// The vector at the start of `from`, padded with zeros if `from` is shorter.
#[inline(always)]
pub fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match S::as_simd_f32s(from).0.first() {
        Some(&whole) => whole,
        None => simd.partial_load_f32s(from),
    }
}

/// Writes `value` to the start of `to`, truncated if `to` is shorter.
#[inline(always)]
pub fn store<S: Simd>(simd: S, to: &mut [f32], value: S::f32s) {
    if to.len() >= S::F32_LANES {
        S::as_mut_simd_f32s(to).0[0] = value;
    } else {
        simd.partial_store_f32s(to, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    enum What {
        Exp,
        Gelu,
        GeluSlope,
        Silu,
        SiluSlope,
    }

    struct Map<'a>(What, &'a mut [f32]);

    impl WithSimd for Map<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for part in self.1.chunks_mut(S::F32_LANES) {
                let x = load(simd, part);
                let y = match self.0 {
                    What::Exp => exp(simd, x),
                    What::Gelu => gelu(simd, x),
                    What::GeluSlope => gelu_slope(simd, x),
                    What::Silu => silu(simd, x),
                    What::SiluSlope => silu_slope(simd, x),
                };
                store(simd, part, y);
            }
        }
    }

    /// Numbers from -`most` to `most`, and hard cases: zeros, tiny and huge numbers.
    fn points(most: f32) -> Vec<f32> {
        let grid = (-10_001..=10_001).map(|i| i as f32 / 10_001.0 * most);
        grid.chain([0.0, -0.0, 1e-30, -1e-30, 1e4, -1e4, f32::MAX, f32::MIN, 1e-7, -1e-7]).collect()
    }

    fn map(what: What, most: f32) -> impl Iterator<Item = (f64, f64)> {
        let x = points(most);
        let mut y = x.clone();
        Arch::new().dispatch(Map(what, &mut y));
        x.into_iter().zip(y).map(|(x, y)| (f64::from(x), f64::from(y)))
    }

    #[test]
    fn exp_is_exact_to_two_units() {
        for (x, y) in map(What::Exp, 90.0) {
            let expected = x.clamp(-87.0, 88.0).exp();
            assert!((y - expected).abs() <= 2.4e-7 * expected, "exp({x}) = {y}, not {expected}");
        }
    }

    #[test]
    fn gelu_is_exact_to_rounding() {
        for (x, y) in map(What::Gelu, 12.0) {
            let expected = 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2);
            let error = (y - expected).abs();
            assert!(error <= 5e-8 + 1e-7 * expected.abs(), "gelu({x}) = {y}, not {expected}");
        }
    }

    #[test]
    fn silu_is_exact_to_rounding() {
        for (x, y) in map(What::Silu, 100.0) {
            let expected = x / (1.0 + (-x).exp());
            let error = (y - expected).abs();
            assert!(error <= 1e-30 + 4e-7 * expected.abs() || x < -86.0, "silu({x}) = {y}, not {expected}");
            assert!(y.is_finite() && (x > -86.0 || y.abs() < 1e-30 * x.abs()), "silu({x}) = {y}");
        }
    }

    #[test]
    fn slopes_are_exact_to_rounding() {
        for (x, y) in map(What::GeluSlope, 12.0) {
            let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
            let expected = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2) + x * density;
            assert!((y - expected).abs() <= 2.5e-7, "gelu'({x}) = {y}, not {expected}");
        }
        for (x, y) in map(What::SiluSlope, 80.0) {
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            let expected = sigmoid * (1.0 + x * (1.0 - sigmoid));
            assert!((y - expected).abs() <= 3e-7, "silu'({x}) = {y}, not {expected}");
        }
    }
}
