//! The parameters in the CPU's memory: weights packed for vectors of one length.
//! Appendix B of the paper says which layers there are.

use super::linear::Linear;
use super::norm::Norm;
use crate::tensors::Outputs;
use crate::weights::{Parts, Store};
use marscope_core::checkpoint::CheckpointError;

/// Packs parameters for vectors of one length.
pub struct Packer {
    /// Columns of a panel.
    pub columns: usize,
}

/// Rows to look up.
pub struct Table {
    /// `[rows, width]`.
    pub rows: Vec<f32>,
    /// Numbers of a row.
    pub width: usize,
}

impl Store for Packer {
    type Linear = Linear;
    type Norm = Norm;
    type Table = Table;

    fn linear(&mut self, shape: [usize; 2], parts: Parts<'_, Outputs<'_>>) -> Result<Linear, CheckpointError> {
        let mut layer = Linear::zeros(shape, self.columns);
        let (mut row, mut first) = (vec![0.0; shape[0]], 0);
        for part in parts {
            let Outputs { weight, bias } = part?;
            let biases = bias.to_f32();
            for (i, &bias) in biases.iter().enumerate() {
                weight.copy_to(i * row.len(), &mut row);
                layer.set(first + i, &row, bias);
            }
            first += biases.len();
        }
        Ok(layer)
    }

    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>) -> Norm {
        Norm { scale, shift }
    }

    fn table(&mut self, rows: Vec<f32>, width: usize) -> Table {
        Table { rows, width }
    }
}
