//! Opens a native GPU for Burn through burn-wgpu, names the adapter and its limits, and explains a missing one.
//! Section 4 of the paper trains on such devices.

use std::fmt;

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, DeviceKind};
use burn_wgpu::wgpu;

/// An open GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// The device for Burn.
    pub device: Device,
    /// The adapter's name.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// The graphics API, for instance Vulkan.
    pub api: wgpu::Backend,
    /// Whether it is a software adapter, which runs on the CPU.
    pub software: bool,
    /// Largest buffer that a kernel can bind, in bytes.
    pub buffer: u64,
    /// Shared memory of a workgroup, in bytes.
    pub shared: u32,
}

/// Why there is no GPU.
#[derive(Debug, thiserror::Error)]
#[error(
    "GPU {index} could not be opened through {api}: {reason}. {found}. Install the GPU's driver, or use the CPU with \
     --device cpu"
)]
pub struct GpuError {
    /// The requested GPU, from 0.
    pub index: usize,
    /// The graphics API.
    pub api: &'static str,
    /// The driver's message.
    pub reason: String,
    /// The available adapters, in a sentence.
    pub found: String,
}

/// Graphics APIs of Burn's GPU backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// On all systems except Apple's.
    Vulkan,
    /// On Apple's systems.
    Metal,
}

impl Gpu {
    /// Opens the discrete GPU number `index`; for index 0, the most powerful GPU of any kind.
    ///
    /// # Errors
    /// [`GpuError`] names the adapters that were found instead.
    pub fn open(api: Api, index: usize) -> Result<Self, GpuError> {
        let (backend, name) = match api {
            Api::Vulkan => (WgpuBackend::Vulkan, "Vulkan"),
            Api::Metal => (WgpuBackend::Metal, "Metal"),
        };
        let options = Device::wgpu_options().graphics_api(backend);
        let options = if index == 0 { options } else { options.device_kind(DeviceKind::DiscreteGpu(index)) };
        let (device, setup) = options.init_with_setup().map_err(|error| GpuError {
            index,
            api: name,
            reason: error.to_string(),
            found: adapters(api),
        })?;
        let (info, limits) = (setup.adapter.get_info(), setup.device.limits());
        Ok(Self {
            device,
            name: info.name,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            api: info.backend,
            software: info.device_type == wgpu::DeviceType::Cpu,
            buffer: limits.max_storage_buffer_binding_size,
            shared: limits.max_compute_workgroup_storage_size,
        })
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, driver, api, buffer, shared, .. } = self;
        let (gib, kib) = (*buffer as f64 / f64::from(1 << 30), shared / 1024);
        write!(
            f,
            "{name} through {api} (driver {driver}; buffers up to {gib:.1} GiB, {kib} KiB shared by a workgroup)"
        )?;
        if self.software { write!(f, ": a software adapter, slower than --device cpu") } else { Ok(()) }
    }
}

/// The adapters that `api` finds, in a sentence.
fn adapters(api: Api) -> String {
    let backends = match api {
        Api::Vulkan => wgpu::Backends::VULKAN,
        Api::Metal => wgpu::Backends::METAL,
    };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let found = pollster::block_on(instance.enumerate_adapters(backends));
    let names: Vec<String> = found.iter().map(|adapter| adapter.get_info().name).collect();
    if names.is_empty() { "No adapter was found".into() } else { format!("Found: {}", names.join(", ")) }
}
