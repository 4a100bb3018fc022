//! The device that a command runs on.
//! The default is the CPU engine. A GPU needs a build with `--features webgpu` or `vulkan`.

use std::sync::Arc;

use clap::ValueEnum;
use marscope_core::checkpoint::{Checkpoint, TensorSource};
use marscope_core::config::MarConfig;
use marscope_core::network::Network;
use marscope_core::tokenizer::{Autoencoder, KlConfig};
use marscope_inference::cpu::{self, Cpu};
#[cfg(feature = "webgpu")]
use marscope_inference::gpu;
use marscope_training::autoencoder::Kl;
use marscope_training::model::Mar;

use super::Failure;

/// A device for inference, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// The processor, all cores
    #[default]
    Cpu,
    /// A GPU, by this project's WGSL engine
    #[cfg(feature = "webgpu")]
    Webgpu,
    /// The CPU, by plain Burn: slower, for comparison
    Flex,
    /// A GPU, by plain Burn through Vulkan
    #[cfg(feature = "vulkan")]
    Vulkan,
}

impl DeviceKind {
    /// Loads the network of `config` with the parameters of `source` onto the device, and keeps the device open for its
    /// autoencoder. The engines read one tensor at a time, plain Burn all of them.
    ///
    /// # Errors
    /// When there is no such adapter, the driver refuses, or the parameters do not fit.
    pub fn load(self, config: &MarConfig, source: &dyn TensorSource) -> Result<(Arc<dyn Network>, Opened), Failure> {
        Ok(match self {
            Self::Cpu => (Arc::new(Cpu::load(config, source)?), Opened::Cpu),
            #[cfg(feature = "webgpu")]
            Self::Webgpu => {
                let gpu = pollster::block_on(gpu::Gpu::open(config))?;
                (Arc::new(pollster::block_on(gpu.load(config, source))?), Opened::Gpu(gpu))
            }
            Self::Flex => in_burn(config, source, TrainDevice::Cpu.open()?)?,
            #[cfg(feature = "vulkan")]
            Self::Vulkan => in_burn(config, source, TrainDevice::Vulkan.open()?)?,
        })
    }

    /// Opens the device for plain Burn: the same GPU if it is reached through Vulkan, else the CPU.
    ///
    /// # Errors
    /// As [`TrainDevice::open`].
    pub fn burn(self) -> Result<burn::tensor::Device, String> {
        match self {
            #[cfg(feature = "vulkan")]
            Self::Vulkan => TrainDevice::Vulkan.open(),
            _ => TrainDevice::Cpu.open(),
        }
    }
}

/// The network in plain Burn on `device`.
fn in_burn(
    config: &MarConfig,
    source: &dyn TensorSource,
    device: burn::tensor::Device,
) -> Result<(Arc<dyn Network>, Opened), Failure> {
    Ok((Arc::new(Mar::load(config, &Checkpoint::read(source)?, &device)?), Opened::Burn(device)))
}

/// A device that has a network.
pub enum Opened {
    /// The CPU engine.
    Cpu,
    /// The WGSL engine.
    #[cfg(feature = "webgpu")]
    Gpu(gpu::Gpu),
    /// Plain Burn.
    Burn(burn::tensor::Device),
}

impl Opened {
    /// Loads the autoencoder of `config` with the parameters of `source` onto the device.
    ///
    /// # Errors
    /// When the driver refuses, or the parameters do not fit.
    pub fn autoencoder(&self, config: &KlConfig, source: &dyn TensorSource) -> Result<Arc<dyn Autoencoder>, Failure> {
        Ok(match self {
            Self::Cpu => Arc::new(cpu::Kl::load(config, source)?),
            #[cfg(feature = "webgpu")]
            Self::Gpu(gpu) => Arc::new(pollster::block_on(gpu.load_autoencoder(config, source))?),
            Self::Burn(device) => Arc::new(Kl::of(config, &Checkpoint::read(source)?.without_prefix("loss."), device)?),
        })
    }
}

/// A device for training, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TrainDevice {
    /// The processor, all cores
    #[default]
    Cpu,
    /// A GPU through Vulkan
    #[cfg(feature = "vulkan")]
    Vulkan,
    /// An NVIDIA GPU through CUDA
    #[cfg(feature = "cuda")]
    Cuda,
    /// An Apple GPU through Metal
    #[cfg(feature = "metal")]
    Metal,
    /// An AMD GPU through ROCm
    #[cfg(feature = "rocm")]
    Rocm,
}

impl TrainDevice {
    /// Opens the first such device.
    ///
    /// # Errors
    /// When there is none, or the driver refuses.
    pub fn open(self) -> Result<burn::tensor::Device, String> {
        self.open_at(0)
    }

    /// Opens the first `count` such devices. The CPU can serve as any number of devices.
    ///
    /// # Errors
    /// When there are fewer, or a driver refuses.
    #[cfg(feature = "train")]
    pub fn open_all(self, count: usize) -> Result<Vec<burn::tensor::Device>, String> {
        if count == 0 {
            return Err("--devices is 0: give at least 1".into());
        }
        (0..count).map(|index| self.open_at(index)).collect()
    }

    #[allow(clippy::unnecessary_wraps)] // without a GPU feature, nothing can fail
    fn open_at(self, #[allow(unused_variables)] index: usize) -> Result<burn::tensor::Device, String> {
        match self {
            Self::Cpu => Ok(burn::tensor::Device::flex()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => gpu_of(marscope_training::gpu::Api::Vulkan, index),
            #[cfg(feature = "metal")]
            Self::Metal => gpu_of(marscope_training::gpu::Api::Metal, index),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(burn::tensor::Device::cuda(index)),
            #[cfg(feature = "rocm")]
            Self::Rocm => Ok(burn::tensor::Device::rocm(index)),
        }
    }
}

/// Opens GPU `index` and names it on stderr.
#[cfg(any(feature = "vulkan", feature = "metal"))]
fn gpu_of(api: marscope_training::gpu::Api, index: usize) -> Result<burn::tensor::Device, String> {
    let gpu = marscope_training::gpu::Gpu::open(api, index).map_err(|error| error.to_string())?;
    eprintln!("GPU {index}: {gpu}");
    Ok(gpu.device)
}
