//! The numbers of a tensor as rows: contiguous, writable in place, split into one part per core.
//! Not from the paper; every kernel uses it.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use marscope_simd::parallel::{count, each};

/// Fewest numbers per core: below this, starting another thread does not pay.
const WORTHWHILE: usize = 1 << 15;
/// Numbers in a block: half of a first-level cache.
const BLOCK: usize = 1 << 12;

/// `numbers` as a tensor.
pub fn tensor(numbers: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(numbers), Layout::contiguous(shape), DType::F32)
}

/// The same tensor, contiguous.
pub fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.layout().contiguous_offsets().is_some() { x } else { x.to_contiguous() }
}

/// The numbers of a contiguous tensor.
pub fn numbers(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("a contiguous tensor in f32")
}

/// Whether x is contiguous from its first number and nothing else refers to its memory.
fn is_own(x: &mut FlexTensor) -> bool {
    let count = x.layout().num_elements();
    let whole = x.layout().contiguous_offsets() == Some((0, count));
    whole && x.try_storage_mut::<f32>().is_some_and(|all| all.len() == count)
}

/// The same tensor, writable in place: a copy if anything else refers to its memory.
pub fn own(mut x: FlexTensor) -> FlexTensor {
    if is_own(&mut x) {
        return x;
    }
    let x = contiguous(x);
    tensor(numbers(&x).to_vec(), x.layout().shape().clone())
}

/// Runs `work` on x in place. `work` receives some rows of `width` numbers and the index of their first number.
pub fn map(mut x: FlexTensor, width: usize, work: impl Fn(usize, &mut [f32]) + Sync) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let size = stretch(shape.num_elements() / width, width) * width;
    if is_own(&mut x) {
        let mut parts: Vec<_> = x.storage_mut::<f32>().chunks_mut(size).enumerate().collect();
        each(&mut parts, |(i, part)| work(*i * size, part));
        return x;
    }
    let x = contiguous(x);
    let from = numbers(&x);
    // Copies block by block, so that a block is still in the first-level cache when `work` runs on it.
    let block = (BLOCK / width).max(1) * width;
    let mut out;
    if size >= from.len() {
        out = Vec::with_capacity(from.len());
        for from in from.chunks(block) {
            let first = out.len();
            out.extend_from_slice(from);
            work(first, &mut out[first..]);
        }
    } else {
        out = vec![0.0; from.len()];
        let mut parts: Vec<_> = out.chunks_mut(size).zip(from.chunks(size)).enumerate().collect();
        each(&mut parts, |(i, (to, from))| {
            for (j, (to, from)) in to.chunks_mut(block).zip(from.chunks(block)).enumerate() {
                to.copy_from_slice(from);
                work(*i * size + j * block, to);
            }
        });
    }
    tensor(out, shape)
}

/// Rows per part when `rows` rows of `width` are split over as many cores as pay off.
pub fn stretch(rows: usize, width: usize) -> usize {
    let cores = count().min(rows * width / WORTHWHILE).max(1);
    rows.div_ceil(cores).max(1)
}

/// The sum of the partial sums of all parts.
pub fn sum<'a>(parts: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let mut total = vec![0.0; width];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}
