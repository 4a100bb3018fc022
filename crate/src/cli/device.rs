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
}

impl TrainDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// When there is no such adapter, or its driver refuses.
    #[allow(clippy::unnecessary_wraps)] // without a GPU built in, nothing can fail
    pub fn open(self) -> Result<burn::tensor::Device, String> {
        match self {
            Self::Cpu => Ok(burn::tensor::Device::flex()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => burn::tensor::Device::wgpu_options()
                .graphics_api(burn::tensor::wgpu::WgpuBackend::Vulkan)
                .init()
                .map_err(|error| format!("no GPU could be opened: {error}. Take --device cpu")),
        }
    }
}
