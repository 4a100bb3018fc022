//! The CPU engine against the official implementation's fixtures: z, decodings with recorded noise, and what stays
//! the same however a draw is split.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::ask::{self, continuous};
use marscope_core::checkpoint::read_safetensors;
use marscope_core::config::{Label, MarConfig};
use marscope_core::diffusion::{ReverseProcess, Schedule, Solver, Trajectory};
use marscope_core::network::{BackboneInput, Network, NetworkError};
use marscope_core::tokenizer::Patches;
use marscope_inference::cpu::Cpu;
use safetensors::{Dtype, SafeTensors};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity");
    let mut found: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("mar-"));
    assert!(!found.is_empty());
    found
}

fn load(folder: &Path) -> Cpu {
    let config: MarConfig = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    Cpu::load(&config, &read_safetensors(&bytes).unwrap()).unwrap()
}

/// Floats and whole numbers alike.
fn read(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |view: safetensors::tensor::TensorView<'_>| match view.dtype() {
        Dtype::F32 => {
            view.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
        }
        Dtype::I64 => view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
        other => panic!("unexpected {other:?}"),
    };
    file.iter().map(|(name, view)| (name.to_owned(), values(view))).collect()
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Norm of the difference over norm of the expected.
fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: f64 = found.iter().zip(expected).map(|(&f, &e)| (f64::from(f) - e).powi(2)).sum();
    (difference / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
    let error = relative_error(found, expected);
    println!("  {what}: {error:.2e}");
    assert!(error <= 1e-5, "{what} is off by {error:.3e}");
}

fn patchify(config: &MarConfig, images: &[f64]) -> Vec<f32> {
    let side = config.img_size / config.vae_stride;
    let patches = Patches::new(config.vae_embed_dim, side, config.patch_size);
    f32s(images).chunks_exact(config.vae_embed_dim * side * side).flat_map(|image| patches.patchify(image)).collect()
}

#[test]
fn every_z() {
    for folder in folders() {
        let cpu = load(&folder);
        let forward = read(&folder.join("forward.safetensors"));
        let tokens = patchify(cpu.config(), &forward["images"]);
        let masked: Vec<bool> = forward["mask"].iter().map(|&masked| masked != 0.0).collect();
        let labels = forward["labels"].iter().zip(&forward["label_dropped"]);
        let labels: Vec<Label> = labels.map(|(&label, &dropped)| (dropped == 0.0).then_some(label as usize)).collect();
        let input =
            BackboneInput { tokens: continuous(cpu.config().token_dim(), &tokens), masked: &masked, labels: &labels };
        let length = cpu.config().tokens();
        let all: Vec<_> = (0..labels.len() * length).map(|row| (row / length, row % length)).collect();
        let z = ask::z(&cpu, &input, &all);
        assert_close("z", &z, &forward["decoder_out"]);

        let watched = ask::backbone(&cpu, &input);
        assert_close("z, watched", &watched.z, &forward["decoder_out"]);
        let known = masked[..length].iter().filter(|&&masked| !masked).count();
        let buffer = cpu.config().buffer_size;
        let blocks = [
            (&watched.encoder, cpu.config().encoder_depth, cpu.config().encoder_num_heads, buffer + known),
            (&watched.decoder, cpu.config().decoder_depth, cpu.config().decoder_num_heads, buffer + length),
        ];
        for (weights, depth, heads, seq) in blocks {
            assert_eq!(weights.len(), depth);
            for block in weights {
                assert_eq!(block.len(), labels.len() * heads * seq * seq);
                for row in block.chunks_exact(seq) {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|&weight| weight >= 0.0));
                }
            }
        }

        // In any order, one alone, and from pictures that come and go.
        let width = cpu.config().decoder_embed_dim;
        let some: Vec<_> = all.iter().copied().step_by(7).rev().collect();
        for picks in [&some[..], &some[..1], &[]] {
            let found = ask::z(&cpu, &input, picks);
            assert_eq!(found.len(), picks.len() * width);
            for (found, &(image, token)) in found.chunks_exact(width).zip(picks) {
                let row = (image * length + token) * width;
                assert_close("pick", found, &forward["decoder_out"][row..row + width]);
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Sample {
    labels: Vec<usize>,
    num_iter: usize,
    cfg: f32,
    cfg_schedule: String,
    temperature: f32,
    clip_denoised: bool,
    num_sampling_steps: String,
}

impl Sample {
    /// The guidance scale of an iteration that leaves `remaining` of `length` tokens masked.
    fn cfg(&self, length: usize, remaining: usize) -> f32 {
        match self.cfg_schedule.as_str() {
            "linear" => 1.0 + (self.cfg - 1.0) * (length - remaining.max(1)) as f32 / length as f32,
            _ => self.cfg,
        }
    }
}

#[test]
fn decodings_with_recorded_noise() {
    for folder in folders() {
        let cpu = load(&folder);
        let mut samples = 0;
        while let Ok(json) = std::fs::read(folder.join(format!("sample{samples}.json"))) {
            let expected = read(&folder.join(format!("sample{samples}.safetensors")));
            println!("sample{samples}");
            decode(&cpu, &serde_json::from_slice(&json).unwrap(), &expected);
            samples += 1;
        }
        assert!(samples > 0);
    }
}

fn decode(cpu: &Cpu, sample: &Sample, expected: &BTreeMap<String, Vec<f64>>) {
    let (length, dim, images) = (cpu.config().tokens(), cpu.config().token_dim(), sample.labels.len());
    // Officially the first of an order stay masked longest.
    let orders: Vec<Vec<usize>> = expected["orders"]
        .chunks_exact(length)
        .map(|order| order.iter().rev().map(|&token| token as usize).collect())
        .collect();
    let steps = Solver::Ddpm.steps(&Schedule::respaced(&sample.num_sampling_steps).unwrap());
    // As the sampler has it: no unconditional branch where the scale is 1.
    let guided = sample.cfg > 1.0;
    let mut tokens = vec![0.0; images * length * dim];
    let mut masked = vec![true; images * length];
    let mut known = 0;
    for k in 0..sample.num_iter {
        let init = f32s(&expected[&format!("iter{k}.noise_init")]);
        let rows = init.len() / dim;
        let each = rows / images;
        let picks: Vec<(usize, usize)> = orders
            .iter()
            .enumerate()
            .flat_map(|(image, order)| {
                let mut places = order[known..known + each].to_vec();
                places.sort_unstable();
                places.into_iter().map(move |token| (image, token))
            })
            .collect();
        let branches = if guided { 2 } else { 1 };
        let twice = |picks: &[(usize, usize)]| -> Vec<_> {
            (0..branches)
                .flat_map(|branch| picks.iter().map(move |&(image, token)| (branch * images + image, token)))
                .collect()
        };
        let mut labels: Vec<Label> = sample.labels.iter().copied().map(Some).collect();
        labels.resize(branches * images, None);
        let (repeated, still_masked) = (tokens.repeat(branches), masked.repeat(branches));
        let input = BackboneInput { tokens: continuous(dim, &repeated), masked: &still_masked, labels: &labels };
        let z = ask::z(cpu, &input, &twice(&picks));
        assert_close("z", &z, &expected[&format!("iter{k}.z")]);

        known += each;
        let mut noise = init;
        noise.extend(f32s(&expected[&format!("iter{k}.noise_steps")]));
        let draw = ReverseProcess {
            steps: &steps,
            noise: &noise,
            cfg: guided.then(|| sample.cfg(length, length - known)),
            temperature: sample.temperature,
            clip: sample.clip_denoised.then_some(1.0),
            stride: 1,
            explain: false,
        };
        let drawn = ask::draw(cpu, &z, &draw);
        assert_eq!(drawn.taken, (0..=steps.len()).collect::<Vec<_>>());
        assert_eq!(drawn.frames[..rows * dim], noise[..rows * dim]);
        if let Some(trajectory) = expected.get(&format!("iter{k}.trajectory")) {
            assert_close("trajectory", &drawn.frames[rows * dim..], trajectory);
        }
        let predicted = &drawn.frames[steps.len() * rows * dim..];
        assert_close("predicted", predicted, &expected[&format!("iter{k}.predicted")]);
        for (&(image, token), value) in picks.iter().zip(predicted.chunks_exact(dim)) {
            let row = image * length + token;
            tokens[row * dim..][..dim].copy_from_slice(value);
            masked[row] = false;
        }
    }
    assert_close("latents", &tokens, &f32s_of(&patchify(cpu.config(), &expected["latents"])));
}

fn f32s_of(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// A draw of `tokens` tokens under made-up conditions.
fn some_draw(
    cpu: &Cpu,
    tokens: usize,
    cfg: Option<f32>,
    stride: usize,
    explain: bool,
    asked: &mut usize,
) -> Trajectory {
    let steps = Solver::Ddpm.steps(&Schedule::respaced("10").unwrap());
    let (width, dim) = (cpu.config().decoder_embed_dim, cpu.config().token_dim());
    // Every row has numbers of its own, whatever stands beside it.
    let value = |row: usize, at: usize| ((row * 131 + at * 17) as f32 * 0.7).sin();
    let half = |branch: usize| (0..tokens * width).map(move |i| value(i / width + 1000 * branch, i % width));
    let z: Vec<f32> = (0..if cfg.is_some() { 2 } else { 1 }).flat_map(half).collect();
    let noise: Vec<f32> = (0..=steps.len())
        .flat_map(|step| (0..tokens * dim).map(move |i| value(i / dim + 50, i % dim + 91 * step)))
        .collect();
    let draw = ReverseProcess { steps: &steps, noise: &noise, cfg, temperature: 0.9, clip: Some(1.5), stride, explain };
    let mut proceed = async || {
        *asked += 1;
        true
    };
    ask::draw_while(cpu, &z, &draw, &mut proceed).unwrap()
}

#[test]
fn a_token_does_not_depend_on_its_neighbours() {
    for folder in folders() {
        let cpu = load(&folder);
        let dim = cpu.config().token_dim();
        for cfg in [None, Some(2.5)] {
            let all = some_draw(&cpu, 67, cfg, 0, false, &mut 0);
            assert_eq!((all.taken.as_slice(), all.frames.len(), all.predictions.len()), (&[10][..], 67 * dim, 0));
            for tokens in [1, 2, 3, 5, 13, 29] {
                let few = some_draw(&cpu, tokens, cfg, 0, false, &mut 0);
                assert_eq!(few.frames, all.frames[..tokens * dim], "{tokens} tokens: the same bits");
            }
        }
    }
}

#[test]
fn frames_and_explanations_are_kept_as_asked() {
    for folder in folders() {
        let cpu = load(&folder);
        let dim = cpu.config().token_dim();
        let mut asked = 0;
        let every = some_draw(&cpu, 5, Some(2.0), 1, true, &mut asked);
        assert_eq!(asked, 10);
        let third = some_draw(&cpu, 5, Some(2.0), 3, false, &mut asked);
        assert_eq!(third.taken, [0, 3, 6, 9, 10]);
        for (frame, &taken) in third.frames.chunks_exact(5 * dim).zip(&third.taken) {
            assert_eq!(frame, &every.frames[taken * 5 * dim..][..5 * dim]);
        }
        // The clean token that follows from what the head said is where the last step goes.
        assert_eq!(every.predictions.len(), 10 * 5 * 2 * dim);
        let steps = Solver::Ddpm.steps(&Schedule::respaced("10").unwrap());
        let (last, x) = (steps.table[9], &every.frames[9 * 5 * dim..][..5 * dim]);
        let said = every.predictions[9 * 5 * 2 * dim..].chunks_exact(2 * dim).flat_map(|row| &row[..dim]);
        let clean: Vec<f64> = x
            .iter()
            .zip(said)
            .map(|(x, e)| f64::from((x * last.clean_x - e * last.clean_epsilon).clamp(-1.5, 1.5)))
            .collect();
        assert_close("last step", &every.frames[10 * 5 * dim..], &clean);
    }
}

#[test]
fn a_draw_stops_when_told() {
    let cpu = load(&folders()[0]);
    let steps = Solver::Ddpm.steps(&Schedule::respaced("10").unwrap());
    let z = vec![0.5; cpu.config().decoder_embed_dim];
    let noise = vec![0.5; 11 * cpu.config().token_dim()];
    for most in 0..10 {
        let draw = ReverseProcess {
            steps: &steps,
            noise: &noise,
            cfg: None,
            temperature: 1.0,
            clip: Some(1.0),
            stride: 0,
            explain: false,
        };
        let mut asked = 0;
        let drawn = ask::draw_while(&cpu, &z, &draw, &mut async || {
            asked += 1;
            asked <= most
        });
        assert!(matches!(drawn, Err(NetworkError::Stopped)));
        assert_eq!(asked, most + 1);
    }
}
