//! Counter-based random numbers (Philox 4x32-10): a value depends only on its address, not on earlier draws.
//! Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3* (2011); the same bits natively, in wasm and on any device.

const MULTIPLY: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A generator keyed by a seed; every call gives the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// A generator for `seed`.
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The 128 random bits at `counter`.
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let mut c = counter;
        let mut k = self.key;
        for _ in 0..10 {
            let p0 = u64::from(MULTIPLY[0]) * u64::from(c[0]);
            let p1 = u64::from(MULTIPLY[1]) * u64::from(c[2]);
            c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        c
    }

    /// Fills `out` with standard normal numbers (Box-Muller) at address `(a, b, c)`.
    pub fn normal(&self, [a, b, c]: [u32; 3], out: &mut [f32]) {
        for (i, four) in out.chunks_mut(4).enumerate() {
            let bits = self.block([i as u32, a, b, c]);
            let [x, y] = box_muller(bits[0], bits[1]);
            let [z, w] = box_muller(bits[2], bits[3]);
            four.copy_from_slice(&[x, y, z, w][..four.len()]);
        }
    }

    /// A stream of numbers at address `(a, b)`, for draws of unknown count.
    pub fn stream(&self, a: u32, b: u32) -> Stream {
        Stream { philox: *self, address: [a, b], next: 0, bits: [0; 4] }
    }
}

/// Two normal numbers from two words. `libm` gives the same result on every platform, which `f64::ln` does not promise.
fn box_muller(u: u32, v: u32) -> [f32; 2] {
    let radius = libm::sqrt(-2.0 * libm::log(unit(u)));
    let angle = std::f64::consts::TAU * unit(v);
    [(radius * libm::cos(angle)) as f32, (radius * libm::sin(angle)) as f32]
}

/// A word as a number in (0, 1].
fn unit(word: u32) -> f64 {
    (f64::from(word) + 1.0) / 4_294_967_296.0
}

/// Successive numbers of one address.
#[derive(Clone, Debug)]
pub struct Stream {
    philox: Philox,
    address: [u32; 2],
    next: u64,
    bits: [u32; 4],
}

impl Stream {
    fn word(&mut self) -> u32 {
        let lane = (self.next % 4) as usize;
        if lane == 0 {
            let block = self.next / 4;
            self.bits = self.philox.block([block as u32, (block >> 32) as u32, self.address[0], self.address[1]]);
        }
        self.next += 1;
        self.bits[lane]
    }

    /// A number in (0, 1].
    pub fn uniform(&mut self) -> f64 {
        unit(self.word())
    }

    /// A whole number in `0..bound`, without modulo bias (Lemire's method). `bound` must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        loop {
            let wide = u64::from(self.word()) * u64::from(bound);
            if wide as u32 >= bound.wrapping_neg() % bound {
                return (wide >> 32) as u32;
            }
        }
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.word(), self.word());
        f64::from(box_muller(u, v)[0])
    }

    /// Shuffles `items` (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (`kat_vectors`, philox4x32 10).
    #[test]
    fn known_answers() {
        let cases: [([u32; 4], u64, [u32; 4]); 3] = [
            ([0; 4], 0, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], u64::MAX, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                0x299f_31d0_a409_3822,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, seed, expected) in cases {
            assert_eq!(Philox::new(seed).block(counter), expected);
        }
    }

    #[test]
    fn normal_has_unit_moments() {
        let mut values = vec![0.0; 40_000];
        Philox::new(1).normal([1, 2, 3], &mut values);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let fourth = values.iter().map(|&v| (f64::from(v) - mean).powi(4)).sum::<f64>() / n;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
        assert!((fourth - 3.0).abs() < 0.2, "{fourth}");
    }

    #[test]
    fn shuffle_is_a_permutation_and_reaches_every_place() {
        let mut seen = [[0u32; 5]; 5];
        for seed in 0..2_000 {
            let mut items = [0, 1, 2, 3, 4];
            Philox::new(seed).stream(0, 0).shuffle(&mut items);
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            for (place, &item) in items.iter().enumerate() {
                seen[place][item] += 1;
            }
        }
        // 400 expected in each cell; 5 standard deviations are 90.
        assert!(seen.iter().flatten().all(|&count| (310..490).contains(&count)), "{seen:?}");
    }
}
