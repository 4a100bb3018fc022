//! The GPU: adapter, device and queue, opened with the limits that a network needs and no more.
//! Errors of the driver come back as [`GpuError`], never as a panic.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::GpuError;
use super::pipelines::Pipelines;
use super::tuning::Tuning;
use marscope_core::config::MarConfig;

/// Which GPU it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its name; many browsers hide it.
    pub name: String,
    /// The graphics API.
    pub backend: String,
    /// Whether it is a software adapter, run by the processor. The CPU engine is then faster.
    pub software: bool,
}

/// An open GPU; a handle, cheap to clone.
#[derive(Clone)]
pub struct Gpu {
    open: Arc<Open>,
    tuning: Tuning,
}

struct Open {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: Adapter,
    pipelines: Pipelines,
    lost: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Opens the most powerful adapter there is, for networks of `config`'s size.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] and [`GpuError::NoDevice`].
    pub async fn open(config: &MarConfig) -> Result<Self, GpuError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        let found = instance.request_adapter(&options).await;
        let found = found.map_err(|error| GpuError::NoAdapter(error.to_string()))?;
        let info = found.get_info();
        let adapter = Adapter {
            software: is_software(&info),
            backend: info.backend.to_string(),
            name: if info.name.is_empty() { "unnamed".into() } else { info.name },
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("marscope"),
            required_limits: limits(config, &found.limits()),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = found
            .request_device(&descriptor)
            .await
            .map_err(|error| GpuError::NoDevice { adapter: adapter.name.clone(), reason: error.to_string() })?;
        let lost = Arc::new(Mutex::new(None));
        let record = |lost: &Arc<Mutex<Option<String>>>, why: String| {
            lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        };
        let reason_of_loss = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            record(&reason_of_loss, format!("{reason:?}: {message}"));
        });
        let reason_of_loss = lost.clone();
        // Errors are caught in scopes; one that is not would otherwise panic.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| record(&reason_of_loss, error.to_string())));
        let tuning = if adapter.software { Tuning::SOFTWARE } else { Tuning::HARDWARE };
        let open = Open { device, queue, adapter, pipelines: Pipelines::default(), lost };
        #[cfg_attr(
            target_family = "wasm",
            expect(clippy::arc_with_non_send_sync, reason = "one thread there, many here")
        )]
        Ok(Self { open: Arc::new(open), tuning })
    }

    /// The same GPU, and the kernels compiled for it, with another tuning than that of its kind: the tests reach every kernel
    /// so.
    #[must_use]
    pub fn tuned(&self, tuning: Tuning) -> Self {
        Self { open: self.open.clone(), tuning }
    }

    /// Which GPU it is.
    pub fn adapter(&self) -> &Adapter {
        &self.open.adapter
    }

    /// What the kernels are built with.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.open.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.open.queue
    }

    pub(super) fn pipelines(&self) -> &Pipelines {
        &self.open.pipelines
    }

    /// # Errors
    /// [`GpuError::Lost`] when the device is lost.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        match self.open.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Ok(()),
            Some(why) => Err(GpuError::Lost(why.clone())),
        }
    }

    /// Runs `commands` and waits for the driver's verdict on them; `doing` names them in an error.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub(super) async fn guarded<T>(&self, doing: &'static str, commands: impl FnOnce() -> T) -> Result<T, GpuError> {
        self.check()?;
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device().push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let result = commands();
        let (validation, internal, memory) = (validation.pop(), internal.pop(), memory.pop());
        // All are waited for, so that no scope is left open.
        let found = [memory.await, internal.await, validation.await];
        let Some(error) = found.into_iter().flatten().next() else { return Ok(result) };
        self.check()?;
        Err(match error {
            wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { doing },
            other => GpuError::Refused { doing, reason: other.to_string() },
        })
    }
}

/// Browsers report it; native drivers are recognised by their type or name.
fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    let known = ["swiftshader", "llvmpipe", "lavapipe", "basic render"];
    info.device_type == wgpu::DeviceType::Cpu || known.iter().any(|known| name.contains(known))
}

/// WebGPU's defaults, but buffers for the largest tensor of the network where the adapter allows them, and up to
/// 32 KiB of workgroup memory, which lets more lanes share the fused head's columns.
fn limits(config: &MarConfig, adapter: &wgpu::Limits) -> wgpu::Limits {
    let (wide, head) = (config.encoder_embed_dim.max(config.decoder_embed_dim), config.diffloss_w);
    let mlp = (wide as f64 * config.mlp_ratio) as usize;
    let largest =
        (wide * mlp.max(3 * wide)).max(head * head * (3 * config.diffloss_d + 2)).max(wide * config.class_num);
    let needed = 4 * largest as u64 + 1024;
    let base = wgpu::Limits::default();
    wgpu::Limits {
        max_storage_buffer_binding_size: needed
            .max(base.max_storage_buffer_binding_size)
            .min(adapter.max_storage_buffer_binding_size),
        max_buffer_size: needed.max(base.max_buffer_size).min(adapter.max_buffer_size),
        max_compute_workgroup_storage_size: adapter
            .max_compute_workgroup_storage_size
            .clamp(base.max_compute_workgroup_storage_size, 32 * 1024),
        ..base
    }
}
