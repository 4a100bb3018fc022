//! A run on disk: `state.safetensors` (weights, EMA, moments, step) to resume from, and a weights folder to sample
//! from. Every file is written under a temporary name and renamed, so a killed run or a full disk leaves the last
//! complete one.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::task::{Kept, Task, Trainable};
use super::{Optimizer, Plan, TrainError};
use crate::checkpoint::{Moment, Weights, WeightsError, is_pth, read_pth, read_weights};
use crate::replace::replace;
use marscope_core::checkpoint::{
    Checkpoint, CheckpointError, HostTensor, Precision, read_safetensors, write_safetensors,
};

const STATE: &str = "state.safetensors";
const RECIPE: &str = "recipe.json";
const STEP: &str = "step";
const RAW: &str = "model.";

/// Writes the run's state and the files of its task; with `keep`, also keeps a copy of the state.
pub fn save<T: Task>(
    folder: &Path,
    task: &T,
    model: &T::Model,
    optimizer: &Optimizer,
    step: usize,
    keep: bool,
) -> Result<(), TrainError> {
    let mut state = optimizer.export(model.names());
    state.tensors.extend(prefixed(model.export(), RAW));
    state.tensors.insert(STEP.into(), counted(step));
    write(folder, STATE, &write_safetensors(&state, Precision::F32)?)?;
    if keep {
        let (from, to) = (folder.join(STATE), folder.join(format!("state-{step:08}.safetensors")));
        let linked = if to.exists() { Ok(()) } else { std::fs::hard_link(&from, &to) };
        // Not every file system supports links.
        linked
            .or_else(|_| std::fs::copy(&from, &to).map(drop))
            .map_err(|source| TrainError::Io { path: to, source })?;
    }
    for (name, bytes) in task.files(&optimizer.ema(model.names()))? {
        write(folder, name, &bytes)?;
    }
    write(folder, RECIPE, task.record().as_bytes())
}

/// The plan of the run in `folder`.
///
/// # Errors
/// [`TrainError::Io`] when the folder holds no run, [`TrainError::Plan`] when it is damaged.
pub fn plan(folder: &Path) -> Result<Plan, TrainError> {
    let plan: Plan = record(folder)?;
    plan.weights.model.validate().map_err(TrainError::Config)?;
    Ok(plan)
}

/// The record of the task of the run in `folder`.
///
/// # Errors
/// As [`plan`].
pub fn record<R: DeserializeOwned>(folder: &Path) -> Result<R, TrainError> {
    let path = folder.join(RECIPE);
    let text = std::fs::read_to_string(&path).map_err(|source| TrainError::Io { path: path.clone(), source })?;
    serde_json::from_str(&text).map_err(|source| TrainError::Plan { path, source })
}

/// Whether `folder` holds a run.
pub fn exists(folder: &Path) -> bool {
    folder.join(STATE).is_file()
}

/// Restores the model, the optimizer and the step from `folder`.
pub fn resume<M: Trainable>(folder: &Path, fresh: &M, optimizer: &mut Optimizer) -> Result<(M, usize), TrainError> {
    let state = read_safetensors(&read(&folder.join(STATE))?)?;
    restore(&state, fresh, optimizer)
}

/// Reads the weights to start from at `path`: an official checkpoint, whose run continues with its optimizer, or
/// weights alone, with which a new run begins.
pub fn start_from<M: Trainable>(path: &Path, fresh: &M, optimizer: &mut Optimizer) -> Result<(M, usize), TrainError> {
    let bytes = read(path)?;
    let named = |error: WeightsError| TrainError::From { path: path.to_owned(), source: error };
    if is_pth(&bytes) && has_optimizer(&bytes).map_err(named)? {
        return restore(&official(&bytes).map_err(named)?, fresh, optimizer);
    }
    let weights = read_weights(&bytes, Weights::Ema)
        .or_else(|error| match error {
            WeightsError::NoWeights { .. } => read_weights(&bytes, Weights::Raw),
            other => Err(other),
        })
        .map_err(named)?;
    let unfit = |error: CheckpointError| named(error.into());
    let model = fresh.with(&weights).map_err(unfit)?;
    let start = Checkpoint { tensors: prefixed(weights, super::optimizer::EMA).collect() };
    optimizer.import(model.names(), &start).map_err(unfit)?;
    Ok((model, 0))
}

fn has_optimizer(bytes: &[u8]) -> Result<bool, WeightsError> {
    match read_pth(bytes, Weights::Optimizer(Moment::Steps)) {
        Ok(_) => Ok(true),
        Err(WeightsError::NoWeights { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Converts a checkpoint of the official script to this trainer's state.
fn official(bytes: &[u8]) -> Result<Checkpoint, WeightsError> {
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

fn restore<M: Trainable>(state: &Checkpoint, fresh: &M, optimizer: &mut Optimizer) -> Result<(M, usize), TrainError> {
    let step = match state.expect(STEP, &[2])?.data[..] {
        [high, low] => (high as usize) << 20 | low as usize,
        _ => unreachable!("the shape was checked"),
    };
    let raw = state.tensors.iter().filter_map(|(name, host)| Some((name.strip_prefix(RAW)?.to_owned(), host.clone())));
    let model = fresh.with(&Checkpoint { tensors: raw.collect() })?;
    optimizer.import(model.names(), state)?;
    Ok((model, step))
}

/// A step number as two f32 values, each exact.
fn counted(step: usize) -> HostTensor {
    HostTensor { shape: vec![2], data: vec![(step >> 20) as f32, (step & 0xF_FFFF) as f32] }
}

fn prefixed(checkpoint: Checkpoint, prefix: &str) -> impl Iterator<Item = (String, HostTensor)> {
    checkpoint.tensors.into_iter().map(move |(name, host)| (format!("{prefix}{name}"), host))
}

/// Saves the batch at which the loss or gradient was not finite; returns the file's path.
pub fn save_batch(folder: &Path, step: usize, batch: Kept) -> Result<PathBuf, TrainError> {
    let name = format!("diverged-{step:08}.safetensors");
    let row = |data: Vec<f32>| HostTensor { shape: vec![data.len()], data };
    let tensors = batch.into_iter().map(|(name, data)| (name.to_owned(), row(data))).collect();
    write(folder, &name, &write_safetensors(&Checkpoint { tensors }, Precision::F32)?)?;
    Ok(folder.join(name))
}

fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(|source| TrainError::Io { path: path.to_owned(), source })
}

/// Replaces `folder/name` in one step.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
    let path = folder.join(name);
    replace(&path, bytes).map_err(|source| TrainError::Io { path, source })
}
