//! The tensors of a source, each taken by its official name and checked; none may be left over.
//! Appendix B of the paper. One tensor at a time is in memory.

use std::collections::BTreeSet;

use marscope_core::checkpoint::{CheckpointError, TensorSource, TensorView};

/// Some outputs of a layer.
pub struct Outputs<'a> {
    /// `[outputs, in]`, of a convolution `[outputs, in, kernel, kernel]`.
    pub weight: TensorView<'a>,
    /// `[outputs]`.
    pub bias: TensorView<'a>,
}

/// The tensors of a source.
pub struct Tensors<'a> {
    source: &'a dyn TensorSource,
    /// Names that were not taken yet.
    unused: BTreeSet<&'a str>,
    /// Numbers of those taken.
    numbers: usize,
}

impl<'a> Tensors<'a> {
    /// All tensors of `source`.
    pub fn new(source: &'a dyn TensorSource) -> Self {
        Self { source, unused: source.infos().into_iter().map(|info| info.name).collect(), numbers: 0 }
    }

    /// Leaves out the tensors whose name starts with `prefix`.
    #[must_use]
    pub fn without_prefix(mut self, prefix: &str) -> Self {
        self.unused.retain(|name| !name.starts_with(prefix));
        self
    }

    /// The tensor `name`, which must have `shape` and hold finite numbers.
    ///
    /// # Errors
    /// Names the tensor, and what is wrong with it.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, CheckpointError> {
        let tensor = self.source.tensor(name)?;
        tensor.expect(shape)?;
        if self.unused.remove(name) {
            self.numbers += tensor.info.numbers();
        }
        Ok(tensor)
    }

    /// Weight `[out, in]` and bias of the layer `name`.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn layer(&mut self, name: &str, [d_in, d_out]: [usize; 2]) -> Result<Outputs<'a>, CheckpointError> {
        Ok(Outputs {
            weight: self.take(&format!("{name}.weight"), &[d_out, d_in])?,
            bias: self.take(&format!("{name}.bias"), &[d_out])?,
        })
    }

    /// Scale and shift of the norm `name`, `[width]` each.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn norm(&mut self, name: &str, width: usize) -> Result<[Vec<f32>; 2], CheckpointError> {
        let scale = self.take(&format!("{name}.weight"), &[width])?.to_f32();
        Ok([scale, self.take(&format!("{name}.bias"), &[width])?.to_f32()])
    }

    /// The number of parameters taken.
    ///
    /// # Errors
    /// [`CheckpointError::LeftOver`] names the first tensor that nothing took.
    pub fn finish(self) -> Result<usize, CheckpointError> {
        match self.unused.first() {
            None => Ok(self.numbers),
            Some(&first) => Err(CheckpointError::LeftOver { count: self.unused.len(), first: first.to_owned() }),
        }
    }
}
