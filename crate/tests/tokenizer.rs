//! Training an autoencoder end to end on small pictures: it learns, resumes to the bit, trains on several devices as on one,
//! leaves what `marscope cache` and `marscope sample` read, and refuses what cannot be.
#![cfg(feature = "train")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use marscope_core::checkpoint::read_safetensors;
use marscope_core::tokenizer::{AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS, KlConfig};
use marscope_training::autoencoder::Kl;
use marscope_training::data::{Dataset, ImageSet, ImageTokens};
use marscope_training::train::{
    LossWeights, Outcome, Recipe, TokenizerPlan, TokenizerPreset, TokenizerTask, TrainError, TrainOptions, measure,
    train,
};

const SIDE: usize = 16;

/// Discs of all colours on grounds of all colours.
fn pictures(count: usize, first: usize) -> ImageSet {
    let mut pixels = Vec::new();
    for i in first..first + count {
        let (x, y, r) = (4 + i * 5 % 9, 4 + i * 7 % 9, 2 + i % 4);
        for channel in 0..3 {
            let [inside, outside] = [40 * ((i + channel) % 6), 255 - 50 * ((i / 3 + 2 * channel) % 5)];
            let within = |at: usize| (at % SIDE).abs_diff(x).pow(2) + (at / SIDE).abs_diff(y).pow(2) <= r * r;
            pixels.extend((0..SIDE * SIDE).map(|at| if within(at) { inside as u8 } else { outside as u8 }));
        }
    }
    ImageSet { pixels, labels: vec![0; count], channels: 3, side: SIDE }
}

fn shape() -> KlConfig {
    KlConfig {
        ch: 8,
        ch_mult: vec![1, 2, 2],
        z_channels: 4,
        embed_dim: 4,
        resolution: SIDE,
        ..TokenizerPreset::Portraits.shape()
    }
}

fn task(steps: usize, change: impl FnOnce(&mut Recipe)) -> TokenizerTask {
    let mut recipe =
        Recipe { batch: 8, base_rate: 0.1, warmup_epochs: 0.1, ema: 0.9, ..TokenizerPreset::Portraits.recipe() };
    change(&mut recipe);
    let loss = TokenizerPreset::Portraits.loss();
    let plan = TokenizerPlan { steps, ..TokenizerPlan::new(shape(), loss, recipe, 240) };
    TokenizerTask { plan, validation: pictures(24, 1000) }
}

fn data() -> Arc<dyn Dataset> {
    Arc::new(ImageTokens::new(Box::new(pictures(240, 0)), 1, SIDE, false).unwrap())
}

fn run_on(task: &TokenizerTask, options: &TrainOptions, devices: usize) -> Result<Outcome, TrainError> {
    train(task, &data(), options, &vec![Device::flex(); devices], &Arc::default())
}

fn losses(out: &Path) -> Vec<f64> {
    let log = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap()).collect()
}

#[test]
fn it_learns_and_leaves_an_autoencoder() {
    let out = tempfile::tempdir().unwrap();
    let task = task(150, |_| ());
    let options = TrainOptions { sample_every: Some(150), ..TrainOptions::new(out.path()) };
    run_on(&task, &options, 1).unwrap();
    assert!(out.path().join("samples/step-00000150-ema.png").is_file());

    let read = |name: &str| std::fs::read(out.path().join(name)).unwrap();
    let config = KlConfig::parse(&String::from_utf8(read(AUTOENCODER_CONFIG)).unwrap()).unwrap();
    assert_eq!(config, shape());
    let trained = Kl::load(&config, &read_safetensors(&read(AUTOENCODER_WEIGHTS)).unwrap(), &Device::flex()).unwrap();
    let fresh = Kl::init(&config, 1, &Device::flex()).unwrap();
    let quality = |kl: &Kl| measure(kl, &Device::flex(), &task.validation, &AtomicBool::new(false)).unwrap().0;
    let (before, after) = (quality(&fresh), quality(&trained));
    assert!(after.psnr > before.psnr + 3.0 && after.ssim > before.ssim, "{before:?}, then {after:?}");
    assert!((after.latent_scale * after.latent_std - 1.0).abs() < 1e-9);
    // Whole training steps had the numbers that the log has.
    let log = std::fs::read_to_string(out.path().join("log.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let LossWeights { absolute, squared, edges, kl } = task.plan.loss;
    let sum: f64 = [("absolute", absolute), ("squared", squared), ("edges", edges), ("kl", kl)]
        .map(|(name, weight)| f64::from(weight) * last[name].as_f64().unwrap())
        .iter()
        .sum();
    assert!((sum - last["loss"].as_f64().unwrap()).abs() < 1e-5, "{last}");
    assert!(last.get("mask_ratio").is_none(), "{last}");
}

#[test]
fn resumed_equals_uninterrupted_and_several_devices_are_one() {
    let out = || tempfile::tempdir().unwrap();
    let (whole, broken, two) = (out(), out(), out());
    let options = |out: &Path| TrainOptions { log_every: 1, ..TrainOptions::new(out) };
    run_on(&task(30, |_| ()), &options(whole.path()), 1).unwrap();
    // The rate follows a cosine to the last step, so that the first part has to know of it.
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = train(&task(30, |_| ()), &data(), &options(broken.path()), &[Device::flex()], &stop).unwrap();
    assert!(stopped.stopped && stopped.step == 1, "{stopped:?}");
    let resumed = TrainOptions { resume: true, ..options(broken.path()) };
    assert_eq!(run_on(&task(30, |_| ()), &resumed, 1).unwrap().step, 30);
    for name in ["state.safetensors", AUTOENCODER_WEIGHTS, AUTOENCODER_CONFIG, "recipe.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(whole.path()) == read(broken.path()), "{name} differs");
    }
    run_on(&task(30, |_| ()), &options(two.path()), 2).unwrap();
    for (step, (a, b)) in losses(whole.path()).iter().zip(losses(two.path())).enumerate() {
        assert!((a - b).abs() < 2e-3 * a, "step {step}: {b} for {a}");
    }
}

/// The commands of a model of latents, one after the other: each takes what the one before left.
#[test]
fn from_pictures_to_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let [data, tokenizer, latents, run] = ["data", "tokenizer", "latents", "run"].map(|name| folder.path().join(name));
    for (split, class, shade) in [("train", "a", 9), ("train", "b", 90), ("val", "a", 40), ("val", "b", 200)] {
        let class = data.join(split).join(class);
        std::fs::create_dir_all(&class).unwrap();
        image::RgbImage::from_pixel(64, 64, image::Rgb([shade, 90, 200])).save(class.join("0.png")).unwrap();
    }
    let marscope = |command: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]| {
        let mut marscope = Command::new(env!("CARGO_BIN_EXE_marscope"));
        let output = marscope.arg(command).args(arguments.iter().map(AsRef::as_ref)).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let short: [&dyn AsRef<std::ffi::OsStr>; 8] =
        [&"--preset", &"portraits", &"--batch", &"2", &"--steps", &"1", &"--plain", &"--no-roof"];
    marscope("train-tokenizer", &[&short[..], &[&"--data", &data, &"--out", &tokenizer]].concat());
    marscope("cache", &[&"--data", &data, &"--kl", &tokenizer, &"--out", &latents, &"--no-flip"]);
    marscope("train", &[&short[..], &[&"--data", &latents, &"--kl", &tokenizer, &"--out", &run]].concat());
    for name in [AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS] {
        let [of_run, of_tokenizer] = [&run, &tokenizer].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert!(of_run == of_tokenizer, "{name}");
    }
    let out = folder.path().join("b.png");
    let few: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--iterations", &"2", &"--steps", &"3"];
    marscope("sample", &[&few[..], &[&"--model", &run, &"--label", &"b", &"--out", &out]].concat());
    assert_eq!(image::open(&out).unwrap().to_rgb8().dimensions(), (64, 64));
}

/// What the command says to a person, by what is asked of it.
#[test]
fn the_command_refuses_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let says = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marscope"));
        let output = command.arg("train-tokenizer").args(args).args(["--plain", "--no-roof"]).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let [data, out] = [&data, &out].map(|path| path.to_str().unwrap());
    assert!(says(&["--data", data, "--out", out]).contains("--preset"));
    let message = says(&["--data", data, "--out", out, "--preset", "portraits"]);
    assert!(message.contains("no data in a known layout"), "{message}");
    let class = folder.path().join("data/train/a");
    std::fs::create_dir_all(&class).unwrap();
    image::RgbImage::from_pixel(64, 64, image::Rgb([9, 90, 200])).save(class.join("0.png")).unwrap();
    let message = says(&["--data", data, "--out", out, "--preset", "portraits"]);
    assert!(message.contains("no pictures for validation"), "{message}");
    let message = says(&["--data", data, "--out", out, "--resume"]);
    assert!(message.contains("recipe.json"), "{message}");
    let fashion = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/fashion-mnist");
    let message = says(&["--data", fashion, "--out", out, "--preset", "portraits"]);
    assert!(message.contains("the network takes"), "{message}");
}
