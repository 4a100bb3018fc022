//! The reference: implements the contract of [`marscope_core::network`] in plain Burn, on any device that Burn
//! supports. Sections 3.2 and 3.3 of the paper.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use marscope_core::config::MarConfig;
use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{
    Answer, BackboneInput, BackboneOutput, Continue, IterationOutput, Network, NetworkError, Session, milliseconds,
};
use web_time::Instant;

use crate::model::Mar;
use crate::model::head::{Head, reverse};

impl Network for Mar {
    fn config(&self) -> &MarConfig {
        Mar::config(self)
    }

    fn parameters(&self) -> usize {
        self.num_params()
    }

    fn z<'a>(
        &'a self,
        _: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>> {
        Box::pin(async move { read(self.conditions(input, picks)).await })
    }

    fn draw<'a>(
        &'a self,
        z: &'a [f32],
        input: &'a HeadInput<'a>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, HeadOutput> {
        let HeadInput::Diffusion(process) = input;
        Box::pin(async move {
            let width = Mar::config(self).decoder_embed_dim;
            let data = TensorData::new(z.to_vec(), [z.len() / width, width]);
            let z = Tensor::from_data(data, &self.device());
            Ok(HeadOutput::Diffusion(run(self, z, process, proceed).await?))
        })
    }

    /// z stays on the device.
    fn iterate<'a>(
        &'a self,
        _: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
        head: &'a HeadInput<'a>,
        want_z: bool,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, IterationOutput> {
        let HeadInput::Diffusion(process) = head;
        Box::pin(async move {
            let started = Instant::now();
            let z = self.conditions(input, picks);
            let host = if want_z { Some(read(z.clone()).await?) } else { None };
            let drawn = HeadOutput::Diffusion(run(self, z, process, proceed).await?);
            Ok(IterationOutput { drawn, z: host, backbone_ms: None, head_ms: milliseconds(started) })
        })
    }

    fn backbone<'a>(&'a self, input: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        Box::pin(async move {
            let tokens = input.tokens.expect_continuous();
            let (backbone, attention) = self.forward_with_attention(tokens, input.masked, input.labels);
            let mut output = BackboneOutput { z: read(backbone.z).await?, ..BackboneOutput::default() };
            for block in attention.encoder {
                output.encoder.push(read(block).await?);
            }
            for block in attention.decoder {
                output.decoder.push(read(block).await?);
            }
            Ok(output)
        })
    }
}

async fn run(
    mar: &Mar,
    z: Tensor<2>,
    process: &ReverseProcess<'_>,
    proceed: &mut dyn Continue,
) -> Result<Trajectory, NetworkError> {
    let Head::Diffusion(head) = &mar.head;
    let (frames, predictions) = reverse(head, z, process, proceed).await?;
    let predictions = match predictions {
        None => Vec::new(),
        Some(predictions) => read(predictions).await?,
    };
    Ok(Trajectory { taken: process.taken(), frames: read(frames).await?, predictions })
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NetworkError> {
    let data = tensor.into_data_async().await.map_err(|error| NetworkError::Device(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| NetworkError::Device(format!("{error:?}")))
}
