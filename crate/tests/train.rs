//! Training end to end on the 500 images of the fixture: it learns, resumes exactly, gives the same on several devices as on
//! one, survives being killed, continues runs of the official script, and refuses to overwrite work.
#![cfg(feature = "train")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burn::tensor::Device;
use common::{parity_dirs, relative_error};
use marscope_core::checkpoint::{decays, read_safetensors};
use marscope_core::config::{ConfigVersion, Defaults, MarConfig, TokenizerKind, WeightsConfig};
use marscope_core::diffusion::Solver;
use marscope_core::random::{Philox, Stream};
use marscope_core::sampler::CfgSchedule;
use marscope_inference::cpu::Cpu;
use marscope_training::checkpoint::{Weights, read_weights};
use marscope_training::data::{DataError, Dataset, Example, OpenOptions, Split, TokenShape, open};
use marscope_training::model::Mar;
use marscope_training::train::{Compute, Outcome, Plan, Preset, Recipe, TrainError, TrainOptions, tracking, train};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/fashion-mnist")
}

fn images() -> Arc<dyn Dataset> {
    open(&fixture(), &OpenOptions { split: Split::Train, side: Some(28), patch: 4, flip: false }).unwrap().dataset
}

fn plan(steps: usize, change: impl FnOnce(&mut Recipe)) -> Plan {
    let mut recipe = Recipe::of(Preset::Tiny);
    change(&mut recipe);
    Plan { steps, ..Plan::new(Preset::Tiny.weights(&[]), recipe, 500) }
}

fn options(out: &Path) -> TrainOptions {
    TrainOptions { save_every: 3600, ..TrainOptions::new(out) }
}

fn run_on(plan: &Plan, options: &TrainOptions, devices: usize) -> Result<Outcome, TrainError> {
    train(plan, &images(), options, &vec![Device::flex(); devices], &Arc::new(AtomicBool::new(false)))
}

fn run(plan: &Plan, options: &TrainOptions) -> Result<Outcome, TrainError> {
    run_on(plan, options, 1)
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path: PathBuf = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One field of every line of the log.
fn logged(folder: &Path, key: &str) -> Vec<f64> {
    let log = String::from_utf8(read(folder, "log.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()[key].as_f64().unwrap()).collect()
}

/// Everything a run leaves to resume from and to sample from.
fn assert_same_run(a: &Path, b: &Path) {
    for name in ["state.safetensors", "model.safetensors", "config.json", "recipe.json"] {
        assert!(read(a, name) == read(b, name), "{name} differs");
    }
}

#[test]
fn loss_falls_and_the_folder_is_ready_to_sample_from() {
    let out = tempfile::tempdir().unwrap();
    let mut options = options(out.path());
    (options.keep_every, options.sample_every, options.tensorboard) = (Some(150), Some(200), true);
    let outcome = run(&plan(200, |_| ()), &options).unwrap();
    let losses = logged(out.path(), "loss");
    assert_eq!(losses.len(), 10);
    // An untrained head predicts no noise: its loss is the noise's variance, 1, and more.
    assert!(losses[0] > 0.9, "{losses:?}");
    assert!(losses[9] < 0.5 * losses[0], "{losses:?}");
    assert_eq!((outcome.step, outcome.stopped), (200, false));
    for name in ["state-00000150.safetensors", "samples/step-00000200-ema.png", "samples/step-00000200-raw.png"] {
        assert!(out.path().join(name).is_file(), "{name}");
    }

    let config = WeightsConfig::parse(&String::from_utf8(read(out.path(), "config.json")).unwrap()).unwrap();
    Cpu::load(&config.model, &read_safetensors(&read(out.path(), "model.safetensors")).unwrap()).unwrap();
    assert_eq!(config.name, "tiny");
}

#[test]
fn resumed_equals_uninterrupted() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = plan(120, |_| ());
    run(&plan, &options(whole.path())).unwrap();

    let mut options = options(broken.path());
    let stop = Arc::new(AtomicBool::new(false));
    let log = broken.path().join("log.jsonl");
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Stopped somewhere after the first line of the log: at whichever step, the result must be the same.
            while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            stop.store(true, Ordering::Relaxed);
        });
        train(&plan, &images(), &options, &[Device::flex()], &stop).unwrap()
    });
    assert!(outcome.stopped && (20..120).contains(&outcome.step), "{outcome:?}");
    options.resume = true;
    options.workers = 5;
    assert_eq!(run(&plan, &options).unwrap().step, 120);
    assert_same_run(whole.path(), broken.path());
}

#[test]
fn several_devices_and_several_passes_are_one_device() {
    let out = |name: &str| tempfile::Builder::new().prefix(name).tempdir().unwrap();
    let (one, two, passes) = (out("one"), out("two"), out("passes"));
    let every = |folder: &Path| TrainOptions { log_every: 1, ..options(folder) };
    run(&plan(30, |_| ()), &every(one.path())).unwrap();
    let outcome = run_on(&plan(30, |_| ()), &every(two.path()), 2).unwrap();
    assert_eq!((outcome.step, outcome.stopped), (30, false));
    run(&plan(30, |recipe| recipe.accumulate = 4), &every(passes.path())).unwrap();
    let losses = logged(one.path(), "loss");
    assert_eq!(losses.len(), 30);
    for other in [&two, &passes] {
        for (step, (a, b)) in losses.iter().zip(logged(other.path(), "loss")).enumerate() {
            assert!((a - b).abs() < 2e-4 * a, "step {step}: {b} for {a}");
        }
    }
}

/// Activation checkpointing changes no loss, and bf16 changes it little.
#[test]
fn less_memory_is_the_same_run() {
    let out = |change: fn(&mut Recipe)| {
        let out = tempfile::tempdir().unwrap();
        run(&plan(20, change), &TrainOptions { log_every: 1, ..options(out.path()) }).unwrap();
        logged(out.path(), "loss")
    };
    let plain = out(|_| ());
    for (a, b) in plain.iter().zip(out(|recipe| recipe.checkpoint_activations = true)) {
        assert!((a - b).abs() < 1e-5 * a, "{b} for {a}");
    }
    let half = out(|recipe| recipe.compute = Compute::Bf16);
    assert!(plain != half, "bf16 was not used");
    for (a, b) in plain.iter().zip(half) {
        // bf16 has 8 bits: three digits at best.
        assert!((a - b).abs() < 0.02 * a, "{b} for {a}");
    }
    // Dropout is on while training: the first loss is that of other activations.
    let dropped = out(|recipe| recipe.attention_dropout = 0.5);
    assert!(plain[1..] != dropped[1..], "nothing was dropped");
}

fn program(out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marscope"));
    command.args(["train", "--preset", "tiny", "--steps", "60", "--save-every", "0", "--plain", "--no-roof", "--data"]);
    command.arg(fixture()).arg("--out").arg(out).args(more).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn killed_twenty_times_it_still_ends_as_the_run_that_never_was() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(program(whole.path(), &[]).status().unwrap().success());
    let state = broken.path().join("state.safetensors");
    let mut pauses = Philox::new(1).stream(0, 0);
    for _ in 0..20 {
        let resume: &[&str] = if state.exists() { &["--resume"] } else { &[] };
        let mut child = program(broken.path(), resume).spawn().unwrap();
        // `kill -9`, at whatever it is doing: starting, computing, writing.
        std::thread::sleep(Duration::from_millis(u64::from(pauses.below(400))));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(state.exists(), "it was never let go far enough to write anything");
    assert!(program(broken.path(), &["--resume"]).status().unwrap().success());
    assert_same_run(whole.path(), broken.path());
    // No step is logged twice.
    assert_eq!(logged(whole.path(), "step"), logged(broken.path(), "step"));
}

/// A limit on file sizes simulates a full disk: the write fails and the old checkpoint stays.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_last_checkpoint() {
    let first = tempfile::tempdir().unwrap();
    assert!(program(first.path(), &[]).status().unwrap().success());
    let before = read(first.path(), "state.safetensors");

    let mut full = Command::new("sh");
    // 64 blocks of 512 bytes or of 1,024: less than a state takes, either way. The signal would end it before it can say
    // what is wrong.
    full.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_marscope")]);
    full.args(["train", "--resume", "--steps", "80", "--plain", "--data"])
        .arg(fixture())
        .arg("--out")
        .arg(first.path());
    let said = full.output().unwrap();
    let message = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && message.contains("state.safetensors"), "{message}");
    assert!(read(first.path(), "state.safetensors") == before, "the checkpoint was touched");
}

#[test]
fn not_a_number_stops_the_run_and_keeps_the_batch() {
    struct Broken(Arc<dyn Dataset>);
    impl Dataset for Broken {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn shape(&self) -> TokenShape {
            self.0.shape()
        }
        fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError> {
            let mut example = self.0.example(index, random)?;
            if index == 7 {
                example.tokens[0] = f32::NAN;
            }
            Ok(example)
        }
    }
    let out = tempfile::tempdir().unwrap();
    let data: Arc<dyn Dataset> = Arc::new(Broken(images()));
    let error = train(&plan(40, |_| ()), &data, &options(out.path()), &[Device::flex()], &Arc::default()).unwrap_err();
    let TrainError::Diverged { batch, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("--base-rate"), "{error}");
    let kept = read_safetensors(&std::fs::read(batch).unwrap()).unwrap();
    assert_eq!(kept.tensors["labels"].data.len(), 32);
    assert!(kept.tensors["tokens"].data.iter().any(|value| value.is_nan()));
}

#[test]
fn refuses_what_would_lose_work_or_cannot_be() {
    let out = tempfile::tempdir().unwrap();
    let mut options = options(out.path());
    let plan = plan(1, |_| ());
    options.resume = true;
    assert!(matches!(run(&plan, &options), Err(TrainError::NothingToResume(_))));
    options.resume = false;
    run(&plan, &options).unwrap();
    assert!(matches!(run(&plan, &options), Err(TrainError::Exists(_))));
    assert!(matches!(run_on(&plan, &options, 3), Err(TrainError::Recipe(_))));
    let large = Plan::new(Preset::Cifar.weights(&["one".into()]), plan.recipe, 500);
    let error = run(&large, &options).unwrap_err();
    assert!(matches!(error, TrainError::DataShape { .. }), "{error}");
}

/// Random tokens in the shape of the official fixture's network.
struct Random(TokenShape);

impl Dataset for Random {
    fn len(&self) -> usize {
        64
    }
    fn shape(&self) -> TokenShape {
        self.0
    }
    fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError> {
        let tokens = (0..self.0.tokens * self.0.dim).map(|_| random.normal() as f32).collect();
        Ok(Example { tokens, label: index % self.0.classes })
    }
}

/// The official script's checkpoint after one step: its moments are those of that step's clipped gradients, and training
/// continues at step 1 from its weights.
#[test]
fn goes_on_with_a_run_of_the_official_script() {
    let folder = parity_dirs("mar-").remove(0);
    let model: MarConfig = serde_json::from_slice(&read(&folder, "config.json")).unwrap();
    let shape = TokenShape { tokens: model.tokens(), dim: model.token_dim(), classes: model.class_num };
    let weights = WeightsConfig {
        version: ConfigVersion,
        name: "official".into(),
        classes: (0..model.class_num).map(|class| class.to_string()).collect(),
        tokenizer: TokenizerKind::Kl,
        latent_scale: None,
        clip_denoised: None,
        defaults: Defaults {
            cfg: 1.0,
            cfg_schedule: CfgSchedule::Linear,
            iterations: 4,
            steps: 10,
            solver: Solver::Ddpm,
            temperature: 1.0,
        },
        model,
    };
    let recipe = Recipe { batch: 8, base_rate: 1e-9, accumulate: 1, ..Recipe::of(Preset::Tiny) };
    let out = tempfile::tempdir().unwrap();
    let mut options = options(out.path());
    options.from = Some(folder.join("checkpoint.pth"));
    let data: Arc<dyn Dataset> = Arc::new(Random(shape));

    // No step left to make: what is saved is what was read.
    let plan = Plan { steps: 1, ..Plan::new(weights, recipe, 64) };
    let outcome = train(&plan, &data, &options, &[Device::flex()], &Arc::default()).unwrap();
    assert_eq!((outcome.step, outcome.stopped), (1, false));
    let state = read_safetensors(&read(out.path(), "state.safetensors")).unwrap();
    let expected = common::read(&folder.join("train_step.safetensors"));
    let norm = common::read(&folder.join("forward.safetensors"))["grad_norm"].f32()[0];
    let clip = (3.0 / (norm + 1e-6)).min(1.0);
    let mut checked = 0;
    for (name, gradient) in &expected {
        let Some(name) = name.strip_prefix("grad.") else { continue };
        let clipped: Vec<f32> = gradient.f32().iter().map(|value| value * clip).collect();
        let close = |kind: &str, expected: Vec<f32>| {
            let found = &state.tensors[&format!("optimizer.{kind}.{name}")].data;
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            let error = relative_error(found, &expected);
            assert!(error < 1e-4, "{kind} of {name} is off by {error}");
        };
        close("exp_avg", clipped.iter().map(|value| 0.1 * value).collect());
        close("exp_avg_sq", clipped.iter().map(|value| 0.05 * value * value).collect());
        checked += 1;
    }
    assert!(checked > 50, "{checked} parameters");
    let raw = read_weights(&read(&folder, "checkpoint.pth"), Weights::Raw).unwrap();
    for (name, tensor) in &raw.tensors {
        assert_eq!(state.tensors[&format!("model.{name}")], *tensor, "{name}");
    }

    // The run continues.
    options.resume = true;
    let plan = Plan { steps: 4, ..plan };
    assert_eq!(train(&plan, &data, &options, &[Device::flex()], &Arc::default()).unwrap().step, 4);
    // What is written can be loaded under official names, whole.
    let ema = read_safetensors(&read(out.path(), "model.safetensors")).unwrap();
    Mar::load(&plan.weights.model, &ema, &Device::flex()).unwrap();
    assert!(ema.tensors.keys().eq(raw.tensors.keys()));
    assert!(decays("class_emb.weight", 2) && !decays("diffloss.net.input_proj.weight", 2) && !decays("z_proj.bias", 1));
}

/// Weights without an optimizer start a new run.
#[test]
fn starts_from_weights() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&plan(60, |_| ()), &options(first.path())).unwrap();
    let from = Some(first.path().join("model.safetensors"));
    let started = TrainOptions { from, log_every: 1, ..options(second.path()) };
    run(&plan(2, |_| ()), &started).unwrap();
    let (learnt, fresh) = (logged(second.path(), "loss")[0], logged(first.path(), "loss")[0]);
    assert!(learnt < 0.8 * fresh, "{learnt} after {fresh}");
    assert!(tracking(&Device::flex(), &Recipe::of(Preset::Tiny)).is_autodiff());
}
