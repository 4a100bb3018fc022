//! `InceptionV3` for the Frechet Inception distance: the network of TensorFlow's 2015 graph.
//! The paper's FID and Inception Score (section 5) use it; the user downloads the weights.

mod blocks;
mod layers;
mod resize;

use burn::tensor::{Device, Tensor, TensorData};

use self::blocks::{Block, blocks};
use self::layers::Loader;
pub use self::resize::{SIDE, resize};
use super::classifier::{ClassifierShape, host};
use super::features::{Extracted, FeatureExtractor};
use marscope_core::checkpoint::{Checkpoint, CheckpointError};

/// Numbers in a feature vector: the last block's channels, averaged over their positions.
pub const FEATURES: usize = 2048;

/// Classes of the network: the 1,000 of `ImageNet` and eight unused ones.
pub const CLASSES: usize = 1008;

/// Channels of `Mixed_6d` that make up the spatial features.
const SPATIAL_CHANNELS: usize = 7;

/// Numbers in a vector of spatial features: seven channels of 17x17 positions.
pub const SPATIAL: usize = 17 * 17 * SPATIAL_CHANNELS;

/// The block whose first channels are the spatial features.
const SPATIAL_BLOCK: &str = "Mixed_6d";

/// Images that go through the network at once; bounds the memory of the first convolutions.
const BATCH: usize = 16;

/// The network; each batch norm is folded into the convolution before it.
#[derive(Debug)]
pub struct Inception {
    blocks: Vec<Block>,
    /// `[FEATURES, CLASSES]`.
    output: Tensor<2>,
    device: Device,
}

/// The network's output for a batch.
#[derive(Debug)]
pub struct Inferred {
    /// `[n, FEATURES]`.
    pub features: Tensor<2>,
    /// `[n, SPATIAL]`, with the channel as the fastest dimension.
    pub spatial: Tensor<2>,
    /// `[n, CLASSES]`, without the last layer's bias, for the Inception Score.
    pub logits: Tensor<2>,
}

impl Inception {
    /// The network with the weights of `checkpoint`, under their published names (`Conv2d_1a_3x3.conv.weight` to
    /// `fc.bias`, as pytorch-fid and torch-fidelity ship them).
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self, CheckpointError> {
        let mut loader = Loader::new(checkpoint, device);
        let blocks = blocks(&mut loader)?;
        let output = loader.tensor("fc.weight", [CLASSES, FEATURES])?.transpose();
        loader.tensor("fc.bias", [CLASSES])?;
        loader.finish()?;
        Ok(Self { blocks, output, device: device.clone() })
    }

    /// Runs the network on `[n, 3, 299, 299]`, scaled as by [`resize`]. `seen` receives each block's name and output.
    pub fn forward(&self, images: Tensor<4>, mut seen: impl FnMut(&'static str, &Tensor<4>)) -> Inferred {
        let count = images.dims()[0];
        let mut spatial = None;
        let last = self.blocks.iter().fold(images, |x, block| {
            let x = block.forward(x);
            seen(block.name, &x);
            if block.name == SPATIAL_BLOCK {
                let first = x.clone().narrow(1, 0, SPATIAL_CHANNELS);
                spatial = Some(first.permute([0, 2, 3, 1]).reshape([count, SPATIAL]));
            }
            x
        });
        let features = last.mean_dims(&[2, 3]).reshape([count, FEATURES]);
        Inferred {
            logits: features.clone().matmul(self.output.clone()),
            spatial: spatial.expect("the spatial block is one of the blocks"),
            features,
        }
    }

    /// Converts images in bytes, `[n, channels, side, side]` with 1 or 3 channels, to the network's input,
    /// `[n, 3, 299, 299]`. A grey image gets three equal channels.
    pub fn input(&self, pixels: &[u8], channels: usize, side: usize) -> Tensor<4> {
        assert!(channels == 1 || channels == 3, "images of {channels} channels");
        let plane = side * side;
        let count = pixels.len() / (channels * plane);
        let mut scaled = Vec::with_capacity(count * 3 * SIDE * SIDE);
        for image in pixels.chunks_exact(channels * plane) {
            for channel in 0..3 {
                let from = if channels == 1 { 0 } else { channel * plane };
                resize(&image[from..from + plane], side, &mut scaled);
            }
        }
        Tensor::from_data(TensorData::new(scaled, [count, 3, SIDE, SIDE]), &self.device)
    }
}

impl FeatureExtractor for Inception {
    fn name(&self) -> &'static str {
        "inception"
    }

    fn width(&self) -> usize {
        FEATURES
    }

    fn spatial_width(&self) -> usize {
        SPATIAL
    }

    fn classes(&self) -> usize {
        CLASSES
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn shape(&self) -> Option<ClassifierShape> {
        None
    }

    fn extract_batch(&self, pixels: &[u8], channels: usize, side: usize) -> Extracted {
        let Inferred { features, spatial, logits } = self.forward(self.input(pixels, channels, side), |_, _| {});
        Extracted { features: host(features), spatial: host(spatial), logits: host(logits) }
    }
}
