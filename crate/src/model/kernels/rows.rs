//! The numbers of a tensor as rows: contiguous, to be written in place, cut into stretches for the cores there are.
//! Nothing of the paper; what every kernel begins and ends with.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use crate::fast::cpu::threads;

/// Numbers a core is not woken up for less than.
const WORTHWHILE: usize = 1 << 15;

/// `numbers` as a tensor.
pub fn tensor(numbers: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(numbers), Layout::contiguous(shape), DType::F32)
}

/// The same tensor, its numbers one after another.
pub fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.layout().contiguous_offsets().is_some() { x } else { x.to_contiguous() }
}

/// The numbers of a contiguous tensor.
pub fn numbers(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("a contiguous tensor in f32")
}

/// The same tensor with numbers of its own, from the first one on, for writing in place: a copy if anything else holds them.
pub fn own(mut x: FlexTensor) -> FlexTensor {
    let count = x.layout().num_elements();
    let whole = x.layout().contiguous_offsets() == Some((0, count));
    if whole && x.try_storage_mut::<f32>().is_some_and(|all| all.len() == count) {
        return x;
    }
    let x = contiguous(x);
    tensor(numbers(&x).to_vec(), x.layout().shape().clone())
}

/// Rows of a stretch, `rows` of `width` being cut into one for each core that it is worth waking up.
pub fn stretch(rows: usize, width: usize) -> usize {
    let cores = threads::count().min(rows * width / WORTHWHILE).max(1);
    rows.div_ceil(cores).max(1)
}

/// The sum of what every stretch has summed up.
pub fn sum<'a>(parts: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let mut total = vec![0.0; width];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}
