//! A tensor as it is stored: its name, number type and shape, and its bytes, not yet widened.
//! Quantised types will add a variant of [`Dtype`] each, with its scales.

use std::borrow::Cow;

use super::CheckpointError;

/// How the numbers of a tensor are stored, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// What is known of a tensor before its bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    /// Its official name.
    pub name: &'a str,
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// Extent of each dimension.
    pub shape: &'a [usize],
}

impl TensorInfo<'_> {
    /// Numbers of the tensor.
    pub fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A tensor and its bytes, borrowed where they are in memory already.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Name, number type and shape.
    pub info: TensorInfo<'a>,
    /// Its numbers, row-major.
    pub bytes: Cow<'a, [u8]>,
}

impl TensorView<'_> {
    /// Checks that the tensor has `shape` and holds finite numbers.
    ///
    /// # Errors
    /// [`CheckpointError::Shape`] or [`CheckpointError::NotFinite`].
    pub fn expect(&self, shape: &[usize]) -> Result<(), CheckpointError> {
        let TensorInfo { name, shape: found, .. } = self.info;
        if found != shape {
            let (found, expected) = (found.to_vec(), shape.to_vec());
            return Err(CheckpointError::Shape { name: name.to_owned(), found, expected });
        }
        let mut first = None;
        self.for_each(0..self.info.numbers(), |at, value| {
            if !value.is_finite() && first.is_none() {
                first = Some((at, value));
            }
        });
        match first {
            None => Ok(()),
            Some((at, value)) => Err(CheckpointError::NotFinite { name: name.to_owned(), at, value }),
        }
    }

    /// Copies the numbers from the index `first` on to `out`, as f32.
    ///
    /// # Panics
    /// If the tensor has fewer.
    pub fn copy_to(&self, first: usize, out: &mut [f32]) {
        self.for_each(first..first + out.len(), |at, value| out[at - first] = value);
    }

    /// All numbers as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.info.numbers()];
        self.copy_to(0, &mut numbers);
        numbers
    }

    fn for_each(&self, range: std::ops::Range<usize>, mut f: impl FnMut(usize, f32)) {
        let size = self.info.dtype.size();
        let bytes = &self.bytes[size * range.start..size * range.end];
        match self.info.dtype {
            Dtype::F32 => range.zip(bytes.as_chunks().0).for_each(|(i, &b)| f(i, f32::from_le_bytes(b))),
            Dtype::F16 => range.zip(bytes.as_chunks().0).for_each(|(i, &b)| f(i, half::f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => {
                range.zip(bytes.as_chunks().0).for_each(|(i, &b)| f(i, half::bf16::from_le_bytes(b).to_f32()));
            }
            Dtype::F64 => range.zip(bytes.as_chunks().0).for_each(|(i, &b)| f(i, f64::from_le_bytes(b) as f32)),
        }
    }
}
