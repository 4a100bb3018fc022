//! The parameters on the GPU, read once and resident from then on.
//! f16 pairs where every number of the weights is exactly an f16, as in an f16 file; f32 otherwise: never a rounded one.

use half::f16;

use super::buffers::View;
use super::device::Gpu;
use super::error::GpuError;
use crate::checkpoint::Checkpoint;
use crate::config::MarConfig;
use crate::fast::Load;

/// A linear layer: `[in / 2, out]` pairs of f16, or `[in, out]` f32, with `in` padded to a multiple of four.
pub struct Linear {
    /// The weights.
    pub weight: View,
    /// `[out]`.
    pub bias: View,
    /// Numbers in.
    pub inputs: usize,
    /// Numbers out.
    pub outputs: usize,
}

/// Scale, then shift, `[2, width]`.
pub struct Norm {
    /// Both.
    pub parameter: View,
    /// Numbers of a row.
    pub width: usize,
}

/// Rows to look up, `[rows, width]`.
pub struct Table {
    /// The rows.
    pub rows: View,
    /// Numbers of a row.
    pub width: usize,
}

/// Puts parameters on the GPU.
pub struct Loader {
    gpu: Gpu,
    /// Whether the weights are kept as f16.
    pub halves: bool,
    /// Bytes that the parameters take.
    pub bytes: u64,
}

impl Loader {
    /// A loader of `checkpoint`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] names the tensor that the adapter has no buffer for.
    pub fn new(gpu: &Gpu, config: &MarConfig, checkpoint: &Checkpoint) -> Result<Self, GpuError> {
        let exact = |&value: &f32| f16::from_f32(value).to_f32().to_bits() == value.to_bits();
        let halves = gpu.tuning().halves && checkpoint.tensors.values().all(|tensor| tensor.data.iter().all(exact));
        let limit = gpu.device().limits().max_storage_buffer_binding_size;
        let modulations = config.diffloss_w * config.diffloss_w * (3 * config.diffloss_d + 2);
        let tensors = checkpoint.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.data.len()));
        for (name, numbers) in tensors.chain([("the modulation of the head's blocks", modulations)]) {
            let bytes = numbers as u64 * if halves { 2 } else { 4 };
            if bytes > limit {
                let advice = "Use weights in f16, a smaller network, or the CPU engine";
                return Err(GpuError::TooLarge { what: name.to_owned(), bytes, limit, advice });
            }
        }
        Ok(Self { gpu: gpu.clone(), halves, bytes: 0 })
    }

    fn put(&mut self, words: &[u32]) -> View {
        let view = self.gpu.constant(words);
        self.bytes += view.size;
        view
    }
}

/// Numbers of a row of activations, or inputs of a layer, with their padding: whole vec4.
pub fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}

impl Load for Loader {
    type Linear = Linear;
    type Norm = Norm;
    type Table = Table;

    fn linear(&mut self, weight: &[f32], bias: &[f32]) -> Linear {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let at = |input: usize, output: usize| if input < inputs { weight[output * inputs + input] } else { 0.0 };
        let rows = padded(inputs);
        let bits = |input, output| u32::from(f16::from_f32(at(input, output)).to_bits());
        let words: Vec<u32> = if self.halves {
            let pair = |pair: usize| (0..outputs).map(move |o| bits(2 * pair, o) | (bits(2 * pair + 1, o) << 16));
            (0..rows / 2).flat_map(pair).collect()
        } else {
            (0..rows).flat_map(|input| (0..outputs).map(move |output| at(input, output).to_bits())).collect()
        };
        Linear { weight: self.put(&words), bias: self.put(bytemuck::cast_slice(bias)), inputs, outputs }
    }

    fn norm(&mut self, scale: &[f32], shift: &[f32]) -> Norm {
        let both = [scale, shift].concat();
        Norm { parameter: self.put(bytemuck::cast_slice(&both)), width: scale.len() }
    }

    fn table(&mut self, rows: &[f32], width: usize) -> Table {
        Table { rows: self.put(bytemuck::cast_slice(rows)), width }
    }
}
