//! The autoencoder on the CPU: features `[channels, side, side]`, all on one picture at a time.
//! Section 4 of the paper; [`crate::autoencoder`] says which operation runs on which buffer.

use pulp::{Arch, Simd, WithSimd};

use super::buffer::Buffer;
use super::conv::Conv;
use super::planes::{Cut, GroupNorm, Layout, fill};
use super::pool::Pool;
use crate::autoencoder::{self, Activation, ConvShape, Epilogue, Kernels, Layer, Norm, Parameters, Sides, Slot, Store};
use crate::tensors::Outputs;
use crate::weights::Parts;
use marscope_core::checkpoint::{CheckpointError, TensorSource};
use marscope_core::tokenizer::{Autoencoder, Conversion, KlConfig};
use marscope_simd::math::{exp, load, store};

/// A KL autoencoder on the CPU.
pub struct Kl {
    arch: Arch,
    /// Lanes of a vector of this machine.
    lanes: usize,
    network: Parameters<Packer>,
    workspaces: Pool<Workspace>,
}

impl Kl {
    /// The autoencoder of `config`, which is valid, with the parameters of `source`, which are read one at a time.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &KlConfig, source: &dyn TensorSource) -> Result<Self, CheckpointError> {
        let arch = Arch::new();
        let network = Parameters::load(config, source, &mut Packer)?;
        Ok(Self { arch, lanes: arch.dispatch(Lanes), network, workspaces: Pool::default() })
    }

    /// Runs `layers` on the features `x`, `[channels, side, side]`. Returns the first `channels` of their output.
    fn run(&self, layers: &[Layer<Packer>], x: &[f32], side: usize, channels: usize) -> Vec<f32> {
        let mut workspace = self.workspaces.take();
        workspace.slots[Slot::Features as usize].of(x.len()).copy_from_slice(x);
        let mut executor = Executor { arch: self.arch, lanes: self.lanes, workspace: &mut workspace };
        let (slot, side) = autoencoder::run(&mut executor, layers, side);
        let result = workspace.slots[slot as usize].get()[..channels * side * side].to_vec();
        self.workspaces.put_back(workspace);
        result
    }
}

impl Autoencoder for Kl {
    fn config(&self) -> &KlConfig {
        &self.network.config
    }

    fn parameters(&self) -> usize {
        self.network.parameters
    }

    fn encode<'a>(&'a self, image: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
        assert!(image.len() == 3 * side * side && side.is_multiple_of(self.config().stride()), "an image of {side}");
        // The means come first, then the log variances.
        Box::pin(async move { Ok(self.run(&self.network.encoder, image, side, self.config().embed_dim)) })
    }

    fn decode<'a>(&'a self, latents: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
        assert_eq!(latents.len(), self.config().embed_dim * side * side, "latents of {side}");
        Box::pin(async move { Ok(self.run(&self.network.decoder, latents, side, 3)) })
    }
}

/// Packs parameters.
struct Packer;

impl Store for Packer {
    type Conv = Conv;
    type Norm = GroupNorm;

    fn conv(&mut self, shape: ConvShape, parts: Parts<'_, Outputs<'_>>) -> Result<Conv, CheckpointError> {
        let mut layer = Conv::zeros(shape);
        let (mut weights, mut first) = (vec![0.0; shape.channels[0] * shape.kernel * shape.kernel], 0);
        for part in parts {
            let Outputs { weight, bias } = part?;
            let biases = bias.to_f32();
            for (i, &bias) in biases.iter().enumerate() {
                weight.copy_to(i * weights.len(), &mut weights);
                layer.set(first + i, &weights, bias);
            }
            first += biases.len();
        }
        Ok(layer)
    }

    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>, groups: usize) -> GroupNorm {
        GroupNorm { scale, shift, groups }
    }
}

/// A buffer for every [`Slot`], and others; kept between pictures.
#[derive(Default)]
struct Workspace {
    slots: [Buffer; Slot::COUNT],
    /// What a convolution reads.
    planes: Buffer,
    /// Of attention, `[keys, queries]`.
    scores: Buffer,
}

struct Executor<'a> {
    arch: Arch,
    lanes: usize,
    workspace: &'a mut Workspace,
}

impl Kernels for Executor<'_> {
    type Store = Packer;

    fn conv(
        &mut self,
        x: Slot,
        side: usize,
        norm: Option<(&Norm<Packer>, Activation)>,
        layer: &autoencoder::Conv<Packer>,
        out: Slot,
        epilogue: Epilogue,
    ) {
        let Workspace { slots, planes, .. } = &mut *self.workspace;
        let ([c_in, c_out], after) = (layer.shape.channels, layer.shape.sides.of(side));
        let layout = Layout::new(layer.parameters.cut, side, self.lanes);
        let planes = planes.of(layout.numbers(c_in));
        let norm = norm.map(|(norm, activation)| (&norm.parameters, activation));
        fill(self.arch, layout, slots[x as usize].of(c_in * side * side), norm, planes);
        let out = slots[out as usize].of(c_out * after * after);
        layer.parameters.apply(self.arch, side, layout, planes, out, epilogue);
    }

    fn attention(&mut self, channels: usize, side: usize) {
        let (arch, count) = (self.arch, side * side);
        let Workspace { slots, planes, scores } = &mut *self.workspace;
        let [qkv, hidden] = slots.get_disjoint_mut([Slot::Qkv as usize, Slot::Hidden as usize]).expect("two slots");
        let (queries, rest) = qkv.of(3 * channels * count).split_at(channels * count);
        let (keys, values) = rest.split_at(channels * count);
        let scores = scores.of(count * count);
        let layout = Layout::new(Cut::Line, side, self.lanes);
        let mut product = |layer: &Conv, x: &[f32], c_in: usize, out: &mut [f32]| {
            let planes = planes.of(layout.numbers(c_in));
            fill(arch, layout, x, None, planes);
            layer.apply(arch, side, layout, planes, out, Epilogue::Write);
        };
        // Both products are convolutions with a kernel of one position: by the keys, from channels to scores, and by the
        // values, from shares to channels.
        let of = |channels| ConvShape { channels, kernel: 1, sides: Sides::Same };
        let mut by_keys = Conv::zeros(of([channels, count]));
        let (scale, mut key) = (1.0 / (channels as f32).sqrt(), vec![0.0; channels]);
        for position in 0..count {
            for (to, channel) in key.iter_mut().zip(keys.chunks_exact(count)) {
                *to = channel[position] * scale;
            }
            by_keys.set(position, &key, 0.0);
        }
        product(&by_keys, queries, channels, scores);
        arch.dispatch(Softmax { scores, queries: count });
        let mut by_values = Conv::zeros(of([count, channels]));
        for (channel, values) in values.chunks_exact(count).enumerate() {
            by_values.set(channel, values, 0.0);
        }
        product(&by_values, scores, count, hidden.of(channels * count));
    }
}

/// Softmax of each column of `scores`, `[keys, queries]`, in place.
struct Softmax<'a> {
    scores: &'a mut [f32],
    queries: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { scores, queries } = self;
        let mut most = vec![f32::NEG_INFINITY; queries];
        for row in scores.chunks_exact(queries) {
            most.iter_mut().zip(row).for_each(|(most, &score)| *most = score.max(*most));
        }
        let mut sums = vec![0.0; queries];
        for row in scores.chunks_exact_mut(queries) {
            let parts = row.chunks_mut(S::F32_LANES).zip(most.chunks(S::F32_LANES));
            for ((scores, most), sums) in parts.zip(sums.chunks_mut(S::F32_LANES)) {
                let off = simd.sub_f32s(load(simd, scores), load(simd, most));
                let share = exp(simd, off);
                store(simd, scores, share);
                let sum = simd.add_f32s(load(simd, sums), share);
                store(simd, sums, sum);
            }
        }
        for row in scores.chunks_exact_mut(queries) {
            row.iter_mut().zip(&sums).for_each(|(share, sum)| *share /= sum);
        }
    }
}

/// The lanes of a vector on this machine.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}
