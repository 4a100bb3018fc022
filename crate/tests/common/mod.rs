//! Shared by the parity tests: the device, the fixtures, and the error between two tensors.
//! Every test file uses a part of it.
#![allow(dead_code)]

pub mod ask;
#[cfg(feature = "cli")]
pub mod small;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use marscope_core::checkpoint::Checkpoint;
use marscope_core::config::MarConfig;
use marscope_core::network::Network;
use marscope_inference::cpu::Cpu;
use safetensors::{Dtype, SafeTensors};

/// What computes a network in a test.
#[derive(Clone, Debug)]
pub enum Engine {
    /// The CPU engine.
    Cpu,
    /// The WGSL engine.
    #[cfg(feature = "webgpu")]
    Gpu,
    /// Plain Burn, the reference.
    #[cfg(feature = "cli")]
    Burn(burn::tensor::Device),
}

impl Engine {
    /// The network of `config` with the parameters of `checkpoint`.
    pub fn load(&self, config: &MarConfig, checkpoint: &Checkpoint) -> Arc<dyn Network> {
        match self {
            Self::Cpu => Arc::new(Cpu::load(config, checkpoint).unwrap()),
            #[cfg(feature = "webgpu")]
            Self::Gpu => {
                let gpu = pollster::block_on(marscope_inference::gpu::Gpu::open(config)).unwrap();
                Arc::new(pollster::block_on(gpu.load(config, checkpoint)).unwrap())
            }
            #[cfg(feature = "cli")]
            Self::Burn(device) => Arc::new(marscope_training::model::Mar::load(config, checkpoint, device).unwrap()),
        }
    }
}

/// The engine of this run: that on the CPU, or what `MARSCOPE_TEST_DEVICE` names (`flex`, `webgpu` or `vulkan`, the last two
/// if built in).
pub fn device() -> Engine {
    match std::env::var("MARSCOPE_TEST_DEVICE").as_deref() {
        Err(_) | Ok("cpu") => Engine::Cpu,
        #[cfg(feature = "webgpu")]
        Ok("webgpu") => Engine::Gpu,
        #[cfg(feature = "cli")]
        Ok("flex" | "vulkan") => Engine::Burn(burn_device()),
        Ok(other) => panic!("MARSCOPE_TEST_DEVICE is '{other}', which this build has no engine for"),
    }
}

/// Where plain Burn runs: on the CPU, or where `MARSCOPE_TEST_DEVICE` says, if that is a device of Burn's.
#[cfg(feature = "cli")]
pub fn burn_device() -> burn::tensor::Device {
    match std::env::var("MARSCOPE_TEST_DEVICE").as_deref() {
        Err(_) | Ok("cpu" | "flex" | "webgpu") => burn::tensor::Device::flex(),
        #[cfg(feature = "vulkan")]
        Ok("vulkan") => burn::tensor::Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        Ok(other) => panic!("MARSCOPE_TEST_DEVICE is '{other}', which this build has no engine for"),
    }
}

/// Whether the run is on a GPU (or software posing as one), where kernels sum in another order.
pub fn on_gpu() -> bool {
    std::env::var("MARSCOPE_TEST_DEVICE").is_ok_and(|device| !["cpu", "flex"].contains(&device.as_str()))
}

/// Whether the run is on the engine that makes a whole iteration in one submission.
pub fn in_one_submission() -> bool {
    std::env::var("MARSCOPE_TEST_DEVICE").is_ok_and(|device| device == "webgpu")
}

/// `cpu` on the CPU engine, 1e-3 on a GPU.
pub fn tolerance(cpu: f64) -> f64 {
    if on_gpu() { 1e-3 } else { cpu }
}

/// Every fixture folder whose name starts with `prefix`, in the repository and in `MARSCOPE_PARITY_DIR` when that is
/// set. Having none is a failure, and so is a variable that names no folder.
pub fn parity_dirs(prefix: &str) -> Vec<PathBuf> {
    let mut roots = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity")];
    roots.extend(std::env::var_os("MARSCOPE_PARITY_DIR").map(PathBuf::from));
    let mut found = Vec::new();
    for root in roots {
        let entries = std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let names = entries.map(|entry| entry.unwrap().path());
        found.extend(names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix)));
    }
    found.sort();
    assert!(!found.is_empty(), "no fixture {prefix}* was found");
    for folder in &found {
        println!("fixture {}", folder.display());
    }
    found
}

/// A tensor of a fixture, whatever its stored type, as f64.
#[derive(Clone, Debug)]
pub struct Expected {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Expected {
    pub fn f32(&self) -> Vec<f32> {
        self.data.iter().map(|&v| v as f32).collect()
    }

    pub fn usize(&self) -> Vec<usize> {
        self.data.iter().map(|&v| v as usize).collect()
    }
}

/// The tensors of a fixture file.
pub fn read(path: &Path) -> BTreeMap<String, Expected> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let data = match view.dtype() {
                Dtype::F32 => {
                    view.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
                }
                Dtype::I64 => {
                    view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
                }
                other => panic!("{name}: unexpected {other:?}"),
            };
            (name.to_owned(), Expected { shape: view.shape().to_vec(), data })
        })
        .collect()
}

/// Norm of the difference over norm of the expected.
pub fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of elements");
    let difference: f64 = found.iter().zip(expected).map(|(&f, &e)| (f64::from(f) - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| e * e).sum();
    if norm == 0.0 { difference.sqrt() } else { (difference / norm).sqrt() }
}

/// Fails when `found` is further than `most` from the expected tensor, and prints how far it is.
pub fn assert_close(what: &str, found: &[f32], expected: &Expected, most: f64) {
    let error = relative_error(found, &expected.data);
    println!("  {what}: {error:.2e} (at most {most:.0e})");
    assert!(error <= most, "{what} is off by {error:.3e}, more than {most:.0e}");
}
