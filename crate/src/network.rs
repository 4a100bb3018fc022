//! The network on whatever computes it: the fast engines, or plain Burn, behind the three questions a sampler has.
//! Sections 3.2 and 3.3 of the paper: z from the known tokens, tokens from z, and what the attention looked at.

use std::sync::Arc;

use web_time::Instant;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::MarConfig;
use crate::diffusion::{Draw, Drawn};
use crate::fast::cpu::Cpu;
#[cfg(feature = "webgpu")]
use crate::fast::gpu::{Gpu, GpuError, Model};
use crate::fast::{Seen, Watched};
#[cfg(feature = "burn")]
use crate::model::Mar;

/// What computes a network.
#[derive(Clone)]
pub enum Device {
    /// The fast engine on the processor.
    Cpu,
    /// The fast engine on the most powerful GPU there is.
    #[cfg(feature = "webgpu")]
    Gpu,
    /// Plain Burn: the reference, and any device that Burn knows.
    #[cfg(feature = "burn")]
    Burn(burn::tensor::Device),
}

/// A network on its device.
#[derive(Clone)]
pub enum Network {
    /// On the processor.
    Cpu(Arc<Cpu>),
    /// On a GPU.
    #[cfg(feature = "webgpu")]
    Gpu(Arc<Model>),
    /// In plain Burn.
    #[cfg(feature = "burn")]
    Burn(Arc<Mar>),
}

/// Why a network cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The parameters.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The GPU.
    #[cfg(feature = "webgpu")]
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Why a network has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Whoever asked no longer wants it.
    #[error("stopped, as asked")]
    Stopped,
    /// The device failed.
    #[error("{0}")]
    Device(String),
}

/// One iteration's work.
pub struct Iterated {
    /// The reverse process.
    pub drawn: Drawn,
    /// `[picks, width]`, where asked for.
    pub z: Option<Vec<f32>>,
    /// Milliseconds in the backbone; `None` where the device did both in one go.
    pub backbone_ms: Option<f64>,
    /// Milliseconds in the head, or in both.
    pub head_ms: f64,
}

impl Network {
    /// The network of `config` with the parameters of `checkpoint`, on `device`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite, left over or too large for the device, or says why there
    /// is no such device.
    #[allow(clippy::unused_async)] // a GPU has to be waited for
    pub async fn load(config: &MarConfig, checkpoint: &Checkpoint, device: &Device) -> Result<Self, LoadError> {
        Ok(match device {
            Device::Cpu => Self::Cpu(Arc::new(Cpu::load(config, checkpoint)?)),
            #[cfg(feature = "webgpu")]
            // Natively a GPU's handles may go to other threads; in a browser there are none to go to.
            #[allow(clippy::arc_with_non_send_sync)]
            Device::Gpu => Self::Gpu(Arc::new(Gpu::open(config).await?.load(config, checkpoint).await?)),
            #[cfg(feature = "burn")]
            Device::Burn(device) => Self::Burn(Arc::new(Mar::load(config, checkpoint, device)?)),
        })
    }

    /// Its shape.
    pub fn config(&self) -> &MarConfig {
        match self {
            Self::Cpu(cpu) => cpu.config(),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.config(),
            #[cfg(feature = "burn")]
            Self::Burn(mar) => mar.config(),
        }
    }

    /// Numbers it consists of.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Cpu(cpu) => cpu.parameters(),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.parameters(),
            #[cfg(feature = "burn")]
            Self::Burn(mar) => burn::module::Module::num_params(&**mar),
        }
    }

    /// z of `picks` (image and token) of the pictures: `[picks, width]`.
    ///
    /// # Errors
    /// [`NetworkError::Device`].
    #[allow(clippy::unused_async)] // a GPU's answer has to be waited for
    pub async fn z(&self, seen: &Seen<'_>, picks: &[(usize, usize)]) -> Result<Vec<f32>, NetworkError> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.z(seen, picks)),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.z(seen, picks).await.map_err(failed),
            #[cfg(feature = "burn")]
            Self::Burn(mar) => read(mar.z(seen, picks)).await,
        }
    }

    /// Tokens from noise under `z`, `[rows, width]`, or `[2 rows, width]` with guidance: the conditional rows, then the
    /// unconditional ones. `go_on` is asked before every diffusion step, where the device can stop there.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] once `go_on` says no, or [`NetworkError::Device`].
    pub async fn draw(
        &self,
        z: &[f32],
        draw: &Draw<'_>,
        go_on: impl AsyncFnMut() -> bool,
    ) -> Result<Drawn, NetworkError> {
        match self {
            Self::Cpu(cpu) => cpu.draw(z, draw, go_on).await.ok_or(NetworkError::Stopped),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => asked(go_on, gpu.draw(z, draw)).await?.map_err(failed),
            #[cfg(feature = "burn")]
            Self::Burn(mar) => {
                let width = mar.config().decoder_embed_dim;
                let data = burn::tensor::TensorData::new(z.to_vec(), [z.len() / width, width]);
                draw_in_burn(mar, burn::tensor::Tensor::from_data(data, &mar.device()), draw, go_on).await
            }
        }
    }

    /// [`Self::z`] of `picks`, and [`Self::draw`] under it: one iteration, in one go where the device can.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub async fn iterate(
        &self,
        seen: &Seen<'_>,
        picks: &[(usize, usize)],
        draw: &Draw<'_>,
        want_z: bool,
        go_on: impl AsyncFnMut() -> bool,
    ) -> Result<Iterated, NetworkError> {
        let started = Instant::now();
        let since = |started: Instant| started.elapsed().as_secs_f64() * 1e3;
        match self {
            Self::Cpu(cpu) => {
                let z = cpu.z(seen, picks);
                let backbone_ms = Some(since(started));
                let started = Instant::now();
                let drawn = cpu.draw(&z, draw, go_on).await.ok_or(NetworkError::Stopped)?;
                Ok(Iterated { drawn, z: want_z.then_some(z), backbone_ms, head_ms: since(started) })
            }
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => {
                let (drawn, z) = asked(go_on, gpu.iterate(seen, picks, draw, want_z)).await?.map_err(failed)?;
                Ok(Iterated { drawn, z, backbone_ms: None, head_ms: since(started) })
            }
            #[cfg(feature = "burn")]
            Self::Burn(mar) => {
                let z = mar.z(seen, picks);
                let host = if want_z { Some(read(z.clone()).await?) } else { None };
                let drawn = draw_in_burn(mar, z, draw, go_on).await?;
                Ok(Iterated { drawn, z: host, backbone_ms: None, head_ms: since(started) })
            }
        }
    }

    /// What the transformer makes of the pictures, attention and all.
    ///
    /// # Errors
    /// [`NetworkError::Device`].
    #[allow(clippy::unused_async)] // a GPU's answer has to be waited for
    pub async fn watch(&self, seen: &Seen<'_>) -> Result<Watched, NetworkError> {
        match self {
            Self::Cpu(cpu) => Ok(cpu.watch(seen)),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => gpu.watch(seen).await.map_err(failed),
            #[cfg(feature = "burn")]
            Self::Burn(mar) => {
                let (backbone, attention) = mar.forward_watched(seen.tokens, seen.masked, seen.labels);
                let mut watched = Watched { z: read(backbone.z).await?, ..Watched::default() };
                for block in attention.encoder {
                    watched.encoder.push(read(block).await?);
                }
                for block in attention.decoder {
                    watched.decoder.push(read(block).await?);
                }
                Ok(watched)
            }
        }
    }
}

/// Does `work`, which nothing stops once it has begun, if `go_on` says so.
#[cfg(feature = "webgpu")]
async fn asked<T>(mut go_on: impl AsyncFnMut() -> bool, work: impl Future<Output = T>) -> Result<T, NetworkError> {
    if go_on().await { Ok(work.await) } else { Err(NetworkError::Stopped) }
}

#[cfg(feature = "webgpu")]
fn failed(error: GpuError) -> NetworkError {
    NetworkError::Device(error.to_string())
}

#[cfg(feature = "burn")]
async fn draw_in_burn(
    mar: &Mar,
    z: burn::tensor::Tensor<2>,
    draw: &Draw<'_>,
    go_on: impl AsyncFnMut() -> bool,
) -> Result<Drawn, NetworkError> {
    let (frames, head) =
        crate::diffusion::reverse::draw(&mar.head, z, draw, go_on).await.ok_or(NetworkError::Stopped)?;
    let head = match head {
        None => Vec::new(),
        Some(head) => read(head).await?,
    };
    Ok(Drawn { taken: draw.taken(), frames: read(frames).await?, head })
}

#[cfg(feature = "burn")]
async fn read<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Result<Vec<f32>, NetworkError> {
    let data = tensor.into_data_async().await.map_err(|error| NetworkError::Device(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| NetworkError::Device(format!("{error:?}")))
}
