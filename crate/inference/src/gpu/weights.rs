//! The parameters on the GPU, read once and resident from then on.
//! f16 weights stay f16, two to a word, where the GPU's tuning wants that; all others are widened to f32.

use super::buffers::{View, padded};
use super::device::Gpu;
use super::error::GpuError;
use crate::autoencoder::{self, ConvShape};
use crate::tensors::Outputs;
use crate::weights::{Parts, Store};
use marscope_core::checkpoint::{CheckpointError, Dtype, TensorSource, TensorView};

/// Bytes that may wait in the driver's memory to be copied to the GPU.
const MOST_STAGED: u64 = 32 << 20;

/// A linear layer: `[in / 2, out]` pairs of f16, or `[in, out]` f32, with `in` padded to a multiple of four.
pub struct Linear {
    /// The weights.
    pub weight: View,
    /// Whether they are f16.
    pub half: bool,
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

/// A convolution.
pub struct Conv {
    /// `[out / 4, in, kernel, kernel]`, four outputs each; zeros beyond the last.
    pub weight: View,
    /// `[out / 4]`, four outputs each.
    pub bias: View,
}

/// Scale, then shift, of a group norm, `[2, channels]`.
pub struct GroupNorm {
    /// Both.
    pub parameter: View,
    /// Groups of channels.
    pub groups: usize,
}

/// Puts parameters on the GPU.
pub struct Uploader {
    gpu: Gpu,
    /// Whether weights are kept as f16: every tensor of the source is.
    half: bool,
    /// Bytes that the parameters take.
    pub bytes: u64,
    /// Bytes since the driver was last waited for.
    staged: u64,
}

impl Uploader {
    /// An uploader of `source`. Some of its tensors become one of so many numbers: `joined`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] names the tensor that the adapter has no buffer for.
    pub fn new(gpu: &Gpu, source: &dyn TensorSource, joined: Option<(&str, usize)>) -> Result<Self, GpuError> {
        let infos = source.infos();
        let half = gpu.tuning().halves && infos.iter().all(|info| info.dtype == Dtype::F16);
        let limit = gpu.device().limits().max_storage_buffer_binding_size;
        for (name, numbers) in infos.iter().map(|info| (info.name, info.numbers())).chain(joined) {
            let bytes = numbers as u64 * if half { 2 } else { 4 };
            if bytes > limit {
                let advice = "Use weights in f16, a smaller network, or the CPU engine";
                return Err(GpuError::TooLarge { what: name.to_owned(), bytes, limit, advice });
            }
        }
        Ok(Self { gpu: gpu.clone(), half, bytes: 0, staged: 0 })
    }

    fn put(&mut self, words: &[u32]) -> View {
        let view = self.gpu.constant(words);
        self.bytes += view.size;
        self.staged += view.size;
        if self.staged > MOST_STAGED {
            self.gpu.flush();
            self.staged = 0;
        }
        view
    }
}

/// Puts the outputs from `first` on of a layer `[in, out]` into `words`, `[in / 2, out]` pairs of f16.
fn pack_half(weight: &TensorView<'_>, [inputs, outputs]: [usize; 2], first: usize, words: &mut [u32]) {
    let (halves, _) = weight.bytes.as_chunks::<2>();
    for (i, row) in halves.chunks_exact(inputs).enumerate() {
        for (pair, two) in row.chunks(2).enumerate() {
            let bits = |at: usize| two.get(at).map_or(0, |&bytes| u32::from(u16::from_le_bytes(bytes)));
            words[pair * outputs + first + i] = bits(0) | (bits(1) << 16);
        }
    }
}

/// The same for `words` of `[in, out]` f32.
fn pack(weight: &TensorView<'_>, [inputs, outputs]: [usize; 2], first: usize, words: &mut [u32]) {
    let mut row = vec![0.0; inputs];
    for i in 0..weight.info.numbers() / inputs {
        weight.copy_to(i * inputs, &mut row);
        for (input, value) in row.iter().enumerate() {
            words[input * outputs + first + i] = value.to_bits();
        }
    }
}

impl Store for Uploader {
    type Linear = Linear;
    type Norm = Norm;
    type Table = Table;

    fn linear(&mut self, shape: [usize; 2], parts: Parts<'_, Outputs<'_>>) -> Result<Linear, CheckpointError> {
        let [inputs, outputs] = shape;
        let mut words = vec![0; padded(inputs) * outputs / if self.half { 2 } else { 1 }];
        let mut biases = Vec::with_capacity(outputs);
        let pack = if self.half { pack_half } else { pack };
        for part in parts {
            let Outputs { weight, bias } = part?;
            pack(&weight, shape, biases.len(), &mut words);
            biases.extend(bias.to_f32());
        }
        let (weight, bias) = (self.put(&words), self.put(bytemuck::cast_slice(&biases)));
        Ok(Linear { weight, half: self.half, bias, inputs, outputs })
    }

    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>) -> Norm {
        let both = [scale.as_slice(), &shift].concat();
        Norm { parameter: self.put(bytemuck::cast_slice(&both)), width: scale.len() }
    }

    fn table(&mut self, rows: Vec<f32>, width: usize) -> Table {
        Table { rows: self.put(bytemuck::cast_slice(&rows)), width }
    }
}

impl autoencoder::Store for Uploader {
    type Conv = Conv;
    type Norm = GroupNorm;

    /// The weights are widened to f32: they are few, and each serves many positions.
    fn conv(&mut self, shape: ConvShape, parts: Parts<'_, Outputs<'_>>) -> Result<Conv, CheckpointError> {
        let ConvShape { channels: [c_in, c_out], kernel, .. } = shape;
        let (inputs, outputs) = (c_in * kernel * kernel, padded(c_out));
        let mut words = vec![0; outputs * inputs];
        let (mut row, mut biases) = (vec![0.0; inputs], Vec::with_capacity(outputs));
        for part in parts {
            let Outputs { weight, bias } = part?;
            let bias = bias.to_f32();
            for i in 0..bias.len() {
                weight.copy_to(i * inputs, &mut row);
                let output = biases.len() + i;
                let fours = words[output / 4 * 4 * inputs + output % 4..].iter_mut().step_by(4);
                fours.zip(&row).for_each(|(word, value)| *word = value.to_bits());
            }
            biases.extend(bias);
        }
        biases.resize(outputs, 0.0);
        Ok(Conv { weight: self.put(&words), bias: self.put(bytemuck::cast_slice(&biases)) })
    }

    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>, groups: usize) -> GroupNorm {
        let both = [scale, shift].concat();
        GroupNorm { parameter: self.put(bytemuck::cast_slice(&both)), groups }
    }
}
