//! A run on disk: `state.safetensors` (weights, EMA, moments, step) to resume from, and a weights folder to sample from.
//! Every file is written beside its place and moved there, so that a killed run leaves the last whole one.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::{Optimizer, Recipe, TrainError};
use crate::checkpoint::{Checkpoint, HostTensor, Precision, read_safetensors, write_safetensors};
use crate::config::WeightsConfig;
use crate::model::Mar;

const STATE: &str = "state.safetensors";
const STEP: &str = "step";
const RAW: &str = "model.";

/// Writes everything a later run needs.
pub fn save(
    folder: &Path,
    config: &WeightsConfig,
    recipe: &Recipe,
    model: &Mar,
    optimizer: &Optimizer,
    step: usize,
) -> Result<(), TrainError> {
    let mut state = optimizer.export(model.names());
    state.tensors.extend(model.to_checkpoint().tensors.into_iter().map(|(name, host)| (format!("{RAW}{name}"), host)));
    // Two halves, each exact in f32.
    let halves = vec![(step >> 20) as f32, (step & 0xF_FFFF) as f32];
    state.tensors.insert(STEP.into(), HostTensor { shape: vec![2], data: halves });
    write(folder, STATE, &write_safetensors(&state, Precision::F32)?)?;
    write(folder, "model.safetensors", &write_safetensors(&optimizer.ema(model.names()), Precision::F16)?)?;
    write(folder, "config.json", pretty(config).as_bytes())?;
    write(folder, "recipe.json", pretty(recipe).as_bytes())
}

/// The model, the optimizer and the step that `folder` was left at.
pub fn resume(folder: &Path, fresh: &Mar, optimizer: &mut Optimizer) -> Result<(Mar, usize), TrainError> {
    let path = folder.join(STATE);
    let bytes = std::fs::read(&path).map_err(|source| TrainError::Io { path, source })?;
    let state = read_safetensors(&bytes)?;
    let step = match state.expect(STEP, &[2])?.data[..] {
        [high, low] => (high as usize) << 20 | low as usize,
        _ => unreachable!("two elements were asked for"),
    };
    let raw = state.tensors.iter().filter_map(|(name, host)| Some((name.strip_prefix(RAW)?.to_owned(), host.clone())));
    let model = Mar::load(fresh.config(), &Checkpoint { tensors: raw.collect() }, &fresh.device())?;
    optimizer.import(model.names(), &state, step)?;
    Ok((model, step))
}

/// Whether `folder` holds a run.
pub fn exists(folder: &Path) -> bool {
    folder.join(STATE).is_file()
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data serialises") + "\n"
}

/// Replaces `folder/name` in one step.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
    let io = |source| TrainError::Io { path: path.clone(), source };
    let mut file = File::create(&partial).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    std::fs::rename(&partial, &path).map_err(io)
}
