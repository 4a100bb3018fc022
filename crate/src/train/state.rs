//! A run on disk: `state.safetensors` (weights, EMA, moments, step) to resume from, and a weights folder to sample from.
//! Every file is written beside its place and moved there, so that a killed run or a full disk leaves the last whole one.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Batch, Optimizer, Plan, TrainError};
use crate::checkpoint::{
    Checkpoint, CheckpointError, HostTensor, Moment, Precision, Weights, is_pth, read_pth, read_safetensors,
    write_safetensors,
};
use crate::model::Mar;
use crate::replace::replace;

const STATE: &str = "state.safetensors";
const RECIPE: &str = "recipe.json";
const STEP: &str = "step";
const RAW: &str = "model.";

/// Writes everything a later run needs, and the weights folder; keeps a copy of the state where `keep` says so.
pub fn save(
    folder: &Path,
    plan: &Plan,
    model: &Mar,
    optimizer: &Optimizer,
    step: usize,
    keep: bool,
) -> Result<(), TrainError> {
    let mut state = optimizer.export(model.names());
    state.tensors.extend(prefixed(model.to_checkpoint(), RAW));
    state.tensors.insert(STEP.into(), counted(step));
    write(folder, STATE, &write_safetensors(&state, Precision::F32)?)?;
    if keep {
        let (from, to) = (folder.join(STATE), folder.join(format!("state-{step:08}.safetensors")));
        let linked = if to.exists() { Ok(()) } else { std::fs::hard_link(&from, &to) };
        // Not every file system has links.
        linked
            .or_else(|_| std::fs::copy(&from, &to).map(drop))
            .map_err(|source| TrainError::Io { path: to, source })?;
    }
    write(folder, "model.safetensors", &write_safetensors(&optimizer.ema(model.names()), Precision::F16)?)?;
    write(folder, "config.json", pretty(&plan.weights).as_bytes())?;
    write(folder, RECIPE, pretty(plan).as_bytes())
}

/// What `folder`'s run is trained by.
///
/// # Errors
/// [`TrainError::Io`] when the folder holds no run, [`TrainError::Plan`] when it is damaged.
pub fn plan(folder: &Path) -> Result<Plan, TrainError> {
    let path = folder.join(RECIPE);
    let text = std::fs::read_to_string(&path).map_err(|source| TrainError::Io { path: path.clone(), source })?;
    let plan: Plan = serde_json::from_str(&text).map_err(|source| TrainError::Plan { path, source })?;
    plan.weights.model.validate().map_err(TrainError::Config)?;
    Ok(plan)
}

/// Whether `folder` holds a run.
pub fn exists(folder: &Path) -> bool {
    folder.join(STATE).is_file()
}

/// The model, the optimizer's contents and the step that `folder` was left at.
pub fn resume(folder: &Path, fresh: &Mar, optimizer: &mut Optimizer) -> Result<(Mar, usize), TrainError> {
    let state = read_safetensors(&read(&folder.join(STATE))?)?;
    restore(&state, fresh, optimizer)
}

/// Weights to start from at `path`: a checkpoint of the official script, whose run is gone on with, optimizer and all, or
/// weights alone, with which a run begins.
pub fn start_from(path: &Path, fresh: &Mar, optimizer: &mut Optimizer) -> Result<(Mar, usize), TrainError> {
    let bytes = read(path)?;
    let named = |error| TrainError::From { path: path.to_owned(), source: error };
    if is_pth(&bytes) && has_optimizer(&bytes).map_err(named)? {
        return restore(&official(&bytes).map_err(named)?, fresh, optimizer);
    }
    let weights = Checkpoint::read(&bytes, Weights::Ema)
        .or_else(|error| match error {
            CheckpointError::NoWeights { .. } => Checkpoint::read(&bytes, Weights::Raw),
            other => Err(other),
        })
        .map_err(named)?;
    let model = Mar::load(fresh.config(), &weights, &fresh.device()).map_err(named)?;
    let start = Checkpoint { tensors: prefixed(weights, super::optimizer::EMA).collect() };
    optimizer.import(model.names(), &start).map_err(named)?;
    Ok((model, 0))
}

fn has_optimizer(bytes: &[u8]) -> Result<bool, CheckpointError> {
    match read_pth(bytes, Weights::Optimizer(Moment::Steps)) {
        Ok(_) => Ok(true),
        Err(CheckpointError::NoWeights { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// The official script's checkpoint as one of this trainer.
fn official(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    use super::optimizer::{EMA, MOMENT_1, MOMENT_2, STEPS};
    let mut state = Checkpoint::default();
    for (prefix, part) in [
        (RAW, Weights::Raw),
        (EMA, Weights::Ema),
        (MOMENT_1, Weights::Optimizer(Moment::First)),
        (MOMENT_2, Weights::Optimizer(Moment::Second)),
    ] {
        state.tensors.extend(prefixed(read_pth(bytes, part)?, prefix));
    }
    let steps = read_pth(bytes, Weights::Optimizer(Moment::Steps))?;
    let most = steps.tensors.values().filter_map(|steps| steps.data.first()).fold(0.0f32, |most, &one| most.max(one));
    state.tensors.insert(STEP.into(), counted(most as usize));
    state.tensors.extend(prefixed(steps, STEPS));
    Ok(state)
}

fn restore(state: &Checkpoint, fresh: &Mar, optimizer: &mut Optimizer) -> Result<(Mar, usize), TrainError> {
    let step = match state.expect(STEP, &[2])?.data[..] {
        [high, low] => (high as usize) << 20 | low as usize,
        _ => unreachable!("two elements were asked for"),
    };
    let raw = state.tensors.iter().filter_map(|(name, host)| Some((name.strip_prefix(RAW)?.to_owned(), host.clone())));
    let model = Mar::load(fresh.config(), &Checkpoint { tensors: raw.collect() }, &fresh.device())?;
    optimizer.import(model.names(), state)?;
    Ok((model, step))
}

/// A step in two halves, each exact in f32.
fn counted(step: usize) -> HostTensor {
    HostTensor { shape: vec![2], data: vec![(step >> 20) as f32, (step & 0xF_FFFF) as f32] }
}

fn prefixed(checkpoint: Checkpoint, prefix: &str) -> impl Iterator<Item = (String, HostTensor)> {
    checkpoint.tensors.into_iter().map(move |(name, host)| (format!("{prefix}{name}"), host))
}

/// Keeps the batch at which a run broke, to look at; returns where.
pub fn save_batch(folder: &Path, step: usize, batch: &Batch) -> Result<PathBuf, TrainError> {
    let name = format!("diverged-{step:08}.safetensors");
    let row = |data: Vec<f32>| HostTensor { shape: vec![data.len()], data };
    let tensors = [
        ("tokens", row(batch.tokens.clone())),
        ("masked", row(batch.masked.iter().map(|&masked| f32::from(u8::from(masked))).collect())),
        // No class is -1.
        ("labels", row(batch.labels.iter().map(|label| label.map_or(-1.0, |label| label as f32)).collect())),
        ("t", row(batch.t.iter().map(|&t| t as f32).collect())),
        ("noise", row(batch.noise.clone())),
    ];
    let tensors = tensors.into_iter().map(|(name, host)| (name.to_owned(), host)).collect();
    write(folder, &name, &write_safetensors(&Checkpoint { tensors }, Precision::F32)?)?;
    Ok(folder.join(name))
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data serialises") + "\n"
}

fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(|source| TrainError::Io { path: path.to_owned(), source })
}

/// Replaces `folder/name` in one step.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
    let path = folder.join(name);
    replace(&path, bytes).map_err(|source| TrainError::Io { path, source })
}
