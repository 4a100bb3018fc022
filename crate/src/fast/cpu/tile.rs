//! The kernel under every product: a few rows times one panel of columns, the sums in registers from first to last.
//! The register blocking of Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication* (2008).

use pulp::Simd;

#[cfg(all(target_family = "wasm", feature = "relaxed-simd", not(target_feature = "relaxed-simd")))]
compile_error!("relaxed-simd alone leaves `mul_add` in two parts: build with `-C target-feature=+relaxed-simd` too");

/// Vectors a panel is wide.
pub const VECTORS: usize = 2;

/// Columns of a panel.
pub const fn columns<S: Simd>() -> usize {
    VECTORS * S::F32_LANES
}

/// Rows whose sums the registers hold beside a row of the panel and one number of x.
pub const fn tallest<S: Simd>() -> usize {
    if cfg!(target_family = "wasm") {
        6
    } else if S::REGISTER_COUNT >= 32 {
        12
    } else {
        6
    }
}

/// `start + rows panel`: `panel` is `[depth, VECTORS]`, each row has `depth` numbers.
#[inline(always)]
pub fn tile<S: Simd, const MR: usize>(
    simd: S,
    rows: [&[f32]; MR],
    panel: &[S::f32s],
    start: [S::f32s; VECTORS],
) -> [[S::f32s; VECTORS]; MR] {
    /// Steps the loop is unrolled by: fewer additions to addresses.
    const UNROLL: usize = 4;

    let mut sums = [start; MR];
    let (quads, rest) = panel.as_chunks::<{ UNROLL * VECTORS }>();
    let split = rows.map(|row| row.as_chunks::<UNROLL>());
    let fours = split.map(|(fours, _)| &fours[..quads.len()]);
    for (k, quad) in quads.iter().enumerate() {
        for i in 0..UNROLL {
            for r in 0..MR {
                let x = simd.splat_f32s(fours[r][k][i]);
                for v in 0..VECTORS {
                    sums[r][v] = simd.mul_add_e_f32s(x, quad[VECTORS * i + v], sums[r][v]);
                }
            }
        }
    }
    let (rest, _) = rest.as_chunks::<VECTORS>();
    let ones = split.map(|(_, ones)| &ones[..rest.len()]);
    for (k, row) in rest.iter().enumerate() {
        for r in 0..MR {
            let x = simd.splat_f32s(ones[r][k]);
            for v in 0..VECTORS {
                sums[r][v] = simd.mul_add_e_f32s(x, row[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Work on `MR` rows at once, from `row` on.
pub trait Block<S: Simd> {
    /// Does it.
    fn block<const MR: usize>(&mut self, simd: S, row: usize);
}

/// Cuts `rows` into blocks as tall as the registers allow, or one less, so that none is left thin.
#[inline(always)]
pub fn blocks<S: Simd>(simd: S, rows: usize, work: &mut impl Block<S>) {
    let count = rows.div_ceil(tallest::<S>());
    let mut row = 0;
    for i in 0..count {
        let height = (i + 1) * rows / count - row;
        match height {
            1 => work.block::<1>(simd, row),
            2 => work.block::<2>(simd, row),
            3 => work.block::<3>(simd, row),
            4 => work.block::<4>(simd, row),
            5 => work.block::<5>(simd, row),
            6 => work.block::<6>(simd, row),
            7 if tallest::<S>() > 6 => work.block::<7>(simd, row),
            8 if tallest::<S>() > 6 => work.block::<8>(simd, row),
            9 if tallest::<S>() > 6 => work.block::<9>(simd, row),
            10 if tallest::<S>() > 6 => work.block::<10>(simd, row),
            11 if tallest::<S>() > 6 => work.block::<11>(simd, row),
            12 if tallest::<S>() > 6 => work.block::<12>(simd, row),
            _ => unreachable!("blocks are no taller than {}", tallest::<S>()),
        }
        row += height;
    }
}
