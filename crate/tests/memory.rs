//! Memory while weights are loaded: the engine's own and little more, whatever the size of the file.
//! Peaks come from Linux, which counts the resident pages of a process; each load has a process of its own.
#![cfg(target_os = "linux")]

#[allow(dead_code)] // only the list of tensors
mod naive;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use marscope_core::checkpoint::{Checkpoint, HostTensor, Precision, Safetensors, write_safetensors};
use marscope_core::config::MarConfig;
use marscope_core::network::Network;
use marscope_core::preset::Preset;
use marscope_inference::cpu::Cpu;

/// Names the folder for the process that loads.
const FOLDER: &str = "MARSCOPE_TEST_MEMORY";

/// What program and allocator may take beside the parameters.
const SLACK: u64 = 16 << 20;

fn mar_base() -> MarConfig {
    let classes: Vec<String> = (0..1000).map(|class| class.to_string()).collect();
    Preset::MarBase.weights(&classes).model
}

/// A line of /proc/self/status in bytes.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() << 10
}

/// Writes a network of `config` in f16 and loads it in another process.
fn check(config: &MarConfig) {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |shape: Vec<usize>| {
        let data = (0..shape.iter().product()).map(|i: usize| (i % 7) as f32 - 3.0).collect();
        HostTensor { shape, data }
    };
    let tensors = naive::shapes(config).into_iter().map(|(name, shape)| (name, tensor(shape))).collect();
    let file = write_safetensors(&Checkpoint { tensors }, Precision::F16).unwrap();
    fs::write(folder.path().join("model.safetensors"), file).unwrap();
    fs::write(folder.path().join("config.json"), serde_json::to_vec(config).unwrap()).unwrap();
    let this = Command::new(env::current_exe().unwrap())
        .args(["--exact", "load_in_a_process_of_its_own", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&this.stdout));
    assert!(this.status.success(), "{}", String::from_utf8_lossy(&this.stderr));
}

fn load(folder: &Path) {
    let config: MarConfig = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let file = Safetensors::open(&folder.join("model.safetensors")).unwrap();
    let before = status("VmRSS:");
    let network = Cpu::load(&config, &file).unwrap();
    let (peak, own) = (status("VmHWM:") - before, 4 * network.parameters() as u64);
    let largest =
        4 * naive::shapes(&config).values().map(|shape| shape.iter().product()).max().unwrap_or(0usize) as u64;
    println!("{} parameters, {own} bytes; the largest tensor {largest}; peak of loading {peak}", network.parameters());
    assert!(peak <= own + largest + SLACK, "loading took {peak} bytes for {own} of parameters");
}

#[test]
fn loading_takes_little_more_than_the_network() {
    check(&MarConfig { encoder_depth: 1, decoder_depth: 1, diffloss_d: 1, ..mar_base() });
}

/// The same at full size: 208 million parameters.
#[test]
#[ignore = "takes 2 GB of memory and 400 MB of disk"]
fn loading_mar_base() {
    check(&mar_base());
}

/// Started by the tests above.
#[test]
#[ignore = "a part of the other tests"]
fn load_in_a_process_of_its_own() {
    if let Some(folder) = env::var_os(FOLDER) {
        load(&PathBuf::from(folder));
    }
}
