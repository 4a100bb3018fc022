//! The kernel of every product: a few rows times one panel of columns, with all sums in registers.
//! The register blocking of Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication* (2008).

use pulp::Simd;

#[cfg(all(target_family = "wasm", feature = "relaxed-simd", not(target_feature = "relaxed-simd")))]
compile_error!("relaxed-simd alone leaves `mul_add` in two parts: build with `-C target-feature=+relaxed-simd` too");

/// Width of a panel in vectors.
///
/// In a page the sums are three by three: a browser reserves one of the 16 registers, and a product that is not fused
/// with its sum needs another, so twelve sums would spill to memory.
pub const VECTORS: usize = if cfg!(target_family = "wasm") { 3 } else { 2 };

/// Columns of a panel.
pub const fn columns<S: Simd>() -> usize {
    VECTORS * S::F32_LANES
}

/// Rows whose sums the registers hold beside a row of the panel and one number of x.
pub const fn tallest<S: Simd>() -> usize {
    if cfg!(target_family = "wasm") {
        3
    } else if S::REGISTER_COUNT >= 32 {
        12
    } else {
        6
    }
}

/// `start + x panel`: `x` is `[depth, MR]`, `panel` `[depth, VECTORS]`.
///
/// Both are stored in the order in which they are read. With the rows of x apart, computing addresses would cost more than
/// the sums.
#[inline(always)]
pub fn tile<S: Simd, const MR: usize>(
    simd: S,
    x: &[[f32; MR]],
    panel: &[S::f32s],
    start: [S::f32s; VECTORS],
) -> [[S::f32s; VECTORS]; MR] {
    let mut sums = [start; MR];
    let (panel, _) = panel.as_chunks::<VECTORS>();
    for (x, weights) in x.iter().zip(panel) {
        for r in 0..MR {
            let x = simd.splat_f32s(x[r]);
            for v in 0..VECTORS {
                sums[r][v] = simd.mul_add_e_f32s(x, weights[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Writes `rows` to `to` in the order in which [`tile`] reads them.
#[inline(always)]
pub fn transpose<const MR: usize>(rows: [&[f32]; MR], to: &mut [f32]) {
    let (to, _) = to.as_chunks_mut::<MR>();
    let rows = rows.map(|row| &row[..to.len()]);
    for (k, to) in to.iter_mut().enumerate() {
        for r in 0..MR {
            to[r] = rows[r][k];
        }
    }
}

/// A kernel that runs on `MR` rows at once.
pub trait RowBlocks<S: Simd> {
    /// Runs on the rows from `row` on.
    fn block<const MR: usize>(&mut self, simd: S, row: usize);
}

/// Runs `kernel` on all `rows`, in blocks as tall as the registers allow, or one less, so that none is left thin.
#[inline(always)]
pub fn for_row_blocks<S: Simd>(simd: S, rows: usize, kernel: &mut impl RowBlocks<S>) {
    let count = rows.div_ceil(tallest::<S>());
    let mut row = 0;
    for i in 0..count {
        let height = (i + 1) * rows / count - row;
        match height {
            1 => kernel.block::<1>(simd, row),
            2 => kernel.block::<2>(simd, row),
            3 => kernel.block::<3>(simd, row),
            4 if tallest::<S>() > 3 => kernel.block::<4>(simd, row),
            5 if tallest::<S>() > 3 => kernel.block::<5>(simd, row),
            6 if tallest::<S>() > 3 => kernel.block::<6>(simd, row),
            7 if tallest::<S>() > 6 => kernel.block::<7>(simd, row),
            8 if tallest::<S>() > 6 => kernel.block::<8>(simd, row),
            9 if tallest::<S>() > 6 => kernel.block::<9>(simd, row),
            10 if tallest::<S>() > 6 => kernel.block::<10>(simd, row),
            11 if tallest::<S>() > 6 => kernel.block::<11>(simd, row),
            12 if tallest::<S>() > 6 => kernel.block::<12>(simd, row),
            _ => unreachable!("blocks are no taller than {}", tallest::<S>()),
        }
        row += height;
    }
}
