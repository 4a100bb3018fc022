//! The contract of core, implemented by Burn's autoencoder: the reference.
//! Section 4 of the paper. One image at a time, as the engines convert them.

use burn::tensor::{Tensor, TensorData};

use marscope_core::tokenizer::{Autoencoder, Conversion, KlConfig, TokenizerError};

use super::Kl;

impl Autoencoder for Kl {
    fn config(&self) -> &KlConfig {
        &self.config
    }

    fn parameters(&self) -> usize {
        burn::module::Module::num_params(self)
    }

    fn encode<'a>(&'a self, image: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
        Box::pin(async move { download(Kl::encode(self, self.upload(image, [3, side])).mean) })
    }

    fn decode<'a>(&'a self, latents: &'a [f32], side: usize) -> Conversion<'a, Vec<f32>> {
        Box::pin(async move { download(Kl::decode(self, self.upload(latents, [self.config.embed_dim, side]))) })
    }
}

impl Kl {
    fn upload(&self, numbers: &[f32], [channels, side]: [usize; 2]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(numbers.to_vec(), [1, channels, side, side]), &self.device())
    }
}

fn download(tensor: Tensor<4>) -> Result<Vec<f32>, TokenizerError> {
    let data = tensor.try_into_data().map_err(|error| TokenizerError::Device(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| TokenizerError::Device(format!("{error:?}")))
}
