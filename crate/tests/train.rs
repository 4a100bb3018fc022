//! Training end to end on the 500 images of the fixture: it learns, resumes to the bit, and refuses what would lose work.
//! Needs the `train` feature.
#![cfg(feature = "train")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burn::tensor::Device;
use marscope::engine::Engine;
use marscope::train::{Outcome, Preset, TrainError, TrainOptions, train};

fn options(out: &Path, steps: usize) -> TrainOptions {
    TrainOptions {
        data: Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/fashion-mnist"),
        preset: Preset::Tiny,
        out: out.to_owned(),
        steps: Some(steps),
        resume: false,
        save_every: 3600,
    }
}

fn run(options: &TrainOptions) -> Result<Outcome, TrainError> {
    train(options, &Device::flex(), &AtomicBool::new(false))
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path: PathBuf = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn loss_falls_and_the_folder_is_ready_to_sample_from() {
    let out = tempfile::tempdir().unwrap();
    let outcome = run(&options(out.path(), 200)).unwrap();
    let log = String::from_utf8(read(out.path(), "log.jsonl")).unwrap();
    let losses: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), 10);
    // An untrained head predicts no noise: its loss is the noise's variance, 1, and more.
    assert!(losses[0] > 0.9, "{losses:?}");
    assert!(losses[9] < 0.5 * losses[0], "{losses:?}");
    assert_eq!((outcome.step, outcome.stopped), (200, false));

    let config = String::from_utf8(read(out.path(), "config.json")).unwrap();
    let engine = pollster::block_on(Engine::load(
        &config,
        &read(out.path(), "model.safetensors"),
        &marscope::network::Device::Cpu,
    ))
    .unwrap();
    assert_eq!(engine.config.name, "tiny");
}

#[test]
fn resumed_equals_uninterrupted() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&options(whole.path(), 120)).unwrap();

    let mut options = options(broken.path(), 120);
    let stop = AtomicBool::new(false);
    let log = broken.path().join("log.jsonl");
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Stopped somewhere after the first line of the log: at whichever step, the result must be the same.
            while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            stop.store(true, Ordering::Relaxed);
        });
        train(&options, &Device::flex(), &stop).unwrap()
    });
    assert!(outcome.stopped && (20..120).contains(&outcome.step), "{outcome:?}");
    options.resume = true;
    assert_eq!(run(&options).unwrap().step, 120);

    for name in ["state.safetensors", "model.safetensors", "config.json", "recipe.json"] {
        assert!(read(whole.path(), name) == read(broken.path(), name), "{name} differs");
    }
}

#[test]
fn refuses_what_would_lose_work_or_cannot_be() {
    let out = tempfile::tempdir().unwrap();
    let mut options = options(out.path(), 1);
    options.resume = true;
    assert!(matches!(run(&options), Err(TrainError::NothingToResume(_))));
    options.resume = false;
    run(&options).unwrap();
    assert!(matches!(run(&options), Err(TrainError::Exists(_))));
    options.data = out.path().to_owned();
    let missing = run(&options).unwrap_err().to_string();
    assert!(missing.contains("train-images-idx3-ubyte") && missing.contains("--data"), "{missing}");
}
