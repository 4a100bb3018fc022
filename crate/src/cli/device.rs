//! Which device a command runs on.
//! The CPU unless asked otherwise: a GPU has to be built in (`--features vulkan` or `webgpu`).

use burn::tensor::Device;
use clap::ValueEnum;

/// A device by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// The processor, all cores
    #[default]
    Cpu,
    /// A GPU through Vulkan
    #[cfg(feature = "vulkan")]
    Vulkan,
    /// A GPU through WebGPU's shading language
    #[cfg(feature = "webgpu")]
    Webgpu,
}

impl DeviceKind {
    /// Opens the device.
    ///
    /// # Errors
    /// When there is no such adapter, or its driver refuses.
    #[allow(clippy::unnecessary_wraps)] // without a GPU built in, nothing can fail
    pub fn open(self) -> Result<Device, String> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => open_gpu(burn::tensor::wgpu::WgpuBackend::Vulkan),
            #[cfg(feature = "webgpu")]
            Self::Webgpu => open_gpu(burn::tensor::wgpu::WgpuBackend::Auto),
        }
    }
}

#[cfg(any(feature = "vulkan", feature = "webgpu"))]
fn open_gpu(api: burn::tensor::wgpu::WgpuBackend) -> Result<Device, String> {
    let opened = Device::wgpu_options().graphics_api(api).init();
    opened.map_err(|error| format!("no GPU could be opened: {error}. Take --device cpu"))
}
