//! Which device a command runs on.
//! The fast engine on the CPU unless asked otherwise: a GPU has to be built in (`--features webgpu` or `vulkan`).

use clap::ValueEnum;

use crate::network::Device;

/// A device for inference, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// The processor, all cores
    #[default]
    Cpu,
    /// A GPU, through WebGPU's shading language
    #[cfg(feature = "webgpu")]
    Webgpu,
    /// The processor, in plain Burn: slower, for comparison
    Flex,
    /// A GPU, in plain Burn through Vulkan
    #[cfg(feature = "vulkan")]
    Vulkan,
}

impl DeviceKind {
    /// Opens the device.
    ///
    /// # Errors
    /// When there is no such adapter, or its driver refuses.
    #[allow(clippy::unnecessary_wraps)] // without a GPU built in, nothing can fail
    pub fn open(self) -> Result<Device, String> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "webgpu")]
            Self::Webgpu => Ok(Device::Gpu),
            Self::Flex => Ok(Device::Burn(TrainDevice::Cpu.open()?)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::Burn(TrainDevice::Vulkan.open()?)),
        }
    }

    /// Opens what plain Burn has for it: the same GPU where that is reached through Vulkan, else the CPU.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn burn(self) -> Result<burn::tensor::Device, String> {
        match self {
            #[cfg(feature = "vulkan")]
            Self::Vulkan => TrainDevice::Vulkan.open(),
            _ => TrainDevice::Cpu.open(),
        }
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
    /// A GPU of NVIDIA's through CUDA
    #[cfg(feature = "cuda")]
    Cuda,
    /// A GPU of Apple's through Metal
    #[cfg(feature = "metal")]
    Metal,
    /// A GPU of AMD's through ROCm
    #[cfg(feature = "rocm")]
    Rocm,
}

impl TrainDevice {
    /// Opens the first such device.
    ///
    /// # Errors
    /// When there is none, or its driver refuses.
    pub fn open(self) -> Result<burn::tensor::Device, String> {
        self.open_at(0)
    }

    /// Opens the first `count` such devices. The processor can be any number of them.
    ///
    /// # Errors
    /// When there are fewer, or a driver refuses.
    #[cfg(feature = "train")]
    pub fn open_all(self, count: usize) -> Result<Vec<burn::tensor::Device>, String> {
        if count == 0 {
            return Err("--devices is 0; at least one has to compute".into());
        }
        (0..count).map(|index| self.open_at(index)).collect()
    }

    #[allow(clippy::unnecessary_wraps)] // without a GPU built in, nothing can fail
    fn open_at(self, #[allow(unused_variables)] index: usize) -> Result<burn::tensor::Device, String> {
        match self {
            Self::Cpu => Ok(burn::tensor::Device::flex()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => wgpu(burn::tensor::wgpu::WgpuBackend::Vulkan, index),
            #[cfg(feature = "metal")]
            Self::Metal => wgpu(burn::tensor::wgpu::WgpuBackend::Metal, index),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(burn::tensor::Device::cuda(index)),
            #[cfg(feature = "rocm")]
            Self::Rocm => Ok(burn::tensor::Device::rocm(index)),
        }
    }
}

/// The GPU `index` of those that compute alone, as cards of their own do, or the first of any kind.
#[cfg(any(feature = "vulkan", feature = "metal"))]
fn wgpu(api: burn::tensor::wgpu::WgpuBackend, index: usize) -> Result<burn::tensor::Device, String> {
    use burn::tensor::DeviceKind;

    let options = burn::tensor::Device::wgpu_options().graphics_api(api);
    let options = if index == 0 { options } else { options.device_kind(DeviceKind::DiscreteGpu(index)) };
    options.init().map_err(|error| format!("GPU {index} could not be opened: {error}. Take --device cpu"))
}
