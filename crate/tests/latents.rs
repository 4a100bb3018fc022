//! An official checkpoint on the command line: imported, sampled, and its latents decoded to pictures.
#![cfg(feature = "cli")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::{Tensor, TensorData};
use common::{parity_dirs, read};
use marscope_core::checkpoint::{Checkpoint, Precision, read_safetensors, write_safetensors};
use marscope_core::config::{ConfigVersion, Defaults, MarConfig, TokenizerKind, WeightsConfig};
use marscope_core::diffusion::Solver;
use marscope_core::sampler::CfgSchedule;
use marscope_core::tokenizer::{AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS, KlConfig, Patches, to_byte};
use marscope_training::autoencoder::Kl;
use marscope_training::checkpoint::{Weights, read_weights};
use marscope_training::model::to_checkpoint;

/// A scale that differs from the paper's, so that the picture shows which one was used.
const SCALE: f32 = 0.5;

fn marscope(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marscope"));
    command.args(arguments.iter().map(AsRef::as_ref)).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn refused(output: &Output, by: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(by), "{said}");
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The official script's checkpoint as a weights folder of latents.
fn imported(folder: &Path) -> (WeightsConfig, PathBuf) {
    let mar = parity_dirs("mar-").remove(0);
    let model: MarConfig = json(&mar.join("config.json"));
    let config = WeightsConfig {
        version: ConfigVersion,
        name: "latents".into(),
        classes: (0..model.class_num).map(|class| class.to_string()).collect(),
        tokenizer: TokenizerKind::Kl,
        latent_scale: Some(SCALE),
        clip_denoised: None,
        defaults: Defaults {
            cfg: 1.5,
            cfg_schedule: CfgSchedule::Linear,
            iterations: 4,
            steps: 10,
            solver: Solver::Ddpm,
            temperature: 1.0,
        },
        model,
    };
    let (described, out) = (folder.join("described.json"), folder.join("imported"));
    std::fs::write(&described, serde_json::to_string(&config).unwrap()).unwrap();
    let from = mar.join("checkpoint.pth");
    done(&marscope(&[&"import", &"--from", &from, &"--config", &described, &"--out", &out]));
    // The average, and to the bit.
    let expected = read_weights(&std::fs::read(&from).unwrap(), Weights::Ema).unwrap();
    assert_eq!(read_safetensors(&std::fs::read(out.join("model.safetensors")).unwrap()).unwrap(), expected);
    assert_eq!(json::<WeightsConfig>(&out.join("config.json")), config);
    (config, out)
}

#[test]
fn draws_pictures_through_the_autoencoder() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = imported(folder.path());
    let kl = parity_dirs("kl-").remove(0);
    let (weights, shape) = (kl.join("model.safetensors"), kl.join("config.json"));
    let (picture, latents) = (folder.path().join("grid.png"), folder.path().join("latents.safetensors"));
    let sample: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"sample", &"--model", &model, &"--label", &"3", &"--out", &picture];
    refused(&marscope(&sample), "put its autoencoder.json and autoencoder.safetensors beside model.safetensors");
    let with_kl: [&dyn AsRef<std::ffi::OsStr>; 8] =
        [&"--kl", &weights, &"--kl-config", &shape, &"--count", &"2", &"--latents", &latents];
    done(&marscope(&[&sample[..], &with_kl[..]].concat()));

    // The autoencoder by itself on the tokens that were written.
    let device = burn::tensor::Device::flex();
    let checkpoint = read_safetensors(&std::fs::read(&weights).unwrap()).unwrap();
    let kl_config = KlConfig::parse(&std::fs::read_to_string(&shape).unwrap()).unwrap();
    let kl = Kl::load(&kl_config, &checkpoint, &device).unwrap();
    let tokens = read(&latents)["latents"].f32();
    let model = &config.model;
    let (side, channels) = (model.img_size, model.vae_embed_dim);
    let patches = Patches::new(channels, side / model.vae_stride, model.patch_size);
    let grid = image::open(&picture).unwrap().to_rgb8();
    assert_eq!(grid.dimensions(), (2 * side as u32, side as u32));
    let mut seen = std::collections::BTreeSet::new();
    for (i, tokens) in tokens.chunks_exact(model.tokens() * model.token_dim()).enumerate() {
        let latent: Vec<f32> = patches.unpatchify(tokens).iter().map(|value| value / SCALE).collect();
        let latent_side = side / model.vae_stride;
        let latent = Tensor::from_data(TensorData::new(latent, [1, channels, latent_side, latent_side]), &device);
        let image: Vec<f32> = kl.decode(latent).into_data().try_into_vec().unwrap();
        for (at, value) in image.iter().enumerate() {
            let (channel, y, x) = (at / (side * side), at / side % side, at % side);
            let found = grid.get_pixel((i * side + x) as u32, y as u32).0[channel];
            assert!(found.abs_diff(to_byte(value.clamp(-1.0, 1.0))) <= 1, "image {i}, channel {channel}, {y}, {x}");
            seen.insert(found);
        }
    }
    assert!(seen.len() > 20, "a picture, and not one grey: {} shades", seen.len());
}

/// Puts an autoencoder beside weights.
fn put(model: &Path, config: &KlConfig, checkpoint: &Checkpoint) {
    std::fs::write(model.join(AUTOENCODER_CONFIG), serde_json::to_string(config).unwrap()).unwrap();
    std::fs::write(model.join(AUTOENCODER_WEIGHTS), write_safetensors(checkpoint, Precision::F32).unwrap()).unwrap();
}

/// The autoencoder whose latents the weights draw.
fn autoencoder() -> (KlConfig, Checkpoint) {
    let kl = parity_dirs("kl-").remove(0);
    let config = KlConfig::parse(&std::fs::read_to_string(kl.join("config.json")).unwrap()).unwrap();
    (config, read_safetensors(&std::fs::read(kl.join("model.safetensors")).unwrap()).unwrap())
}

#[test]
fn the_autoencoder_beside_the_weights_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = imported(folder.path());
    let (config, checkpoint) = autoencoder();
    let [beside, given, folder_given] = ["beside.png", "given.png", "folder.png"].map(|name| folder.path().join(name));
    let sample = |out: &Path, more: &[&dyn AsRef<std::ffi::OsStr>]| {
        let sample: [&dyn AsRef<std::ffi::OsStr>; 7] =
            [&"sample", &"--model", &model, &"--label", &"3", &"--out", &out];
        done(&marscope(&[&sample[..], more].concat()));
        std::fs::read(out).unwrap()
    };
    let kl = parity_dirs("kl-").remove(0);
    let (weights, shape) = (kl.join("model.safetensors"), kl.join("config.json"));
    let expected = sample(&given, &[&"--kl", &weights, &"--kl-config", &shape]);
    put(&model, &config, &checkpoint);
    assert!(sample(&beside, &[]) == expected);
    assert!(sample(&folder_given, &[&"--kl", &model]) == expected, "its folder alone says as much");
    // By Burn, the reference, up to rounding of a byte.
    let burn = folder.path().join("burn.png");
    sample(&burn, &[&"--device", &"flex"]);
    let [ours, reference] =
        [&beside, &burn].map(|path| image::load_from_memory(&std::fs::read(path).unwrap()).unwrap());
    let apart = ours.as_bytes().iter().zip(reference.as_bytes()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart <= Some(2), "{apart:?}");
}

#[test]
fn what_is_wrong_with_the_autoencoder_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = imported(folder.path());
    let out = folder.path().join("x.png");
    let sample: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"sample", &"--model", &model, &"--out", &out];
    let (config, checkpoint) = autoencoder();
    let other = KlConfig { embed_dim: 3, ..config.clone() };
    let fresh = Kl::init(&other, 1, &burn::tensor::Device::flex()).unwrap();
    put(&model, &other, &to_checkpoint(&fresh, fresh.names()));
    refused(&marscope(&sample), "latents of 3 channels and stride 2; the weights need 4 channels and stride 2");
    put(&model, &KlConfig { groups: 5, ..config.clone() }, &checkpoint);
    refused(&marscope(&sample), "ch is 32; it must be a multiple of 5");
    let mut broken = checkpoint.clone();
    broken.tensors.get_mut("decoder.conv_in.weight").unwrap().data[7] = f32::NAN;
    put(&model, &config, &broken);
    refused(&marscope(&sample), "tensor 'decoder.conv_in.weight' holds NaN at element 7");
    put(&model, &config, &checkpoint);
    let weights = model.join(AUTOENCODER_WEIGHTS);
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 100]).unwrap();
    refused(&marscope(&sample), "autoencoder.safetensors: the weights are not a whole safetensors file");
    std::fs::remove_file(model.join(AUTOENCODER_CONFIG)).unwrap();
    refused(&marscope(&sample), "autoencoder.json");
    assert!(!out.exists());
}

#[test]
fn what_does_not_belong_together_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = imported(folder.path());
    let (kl, mar) = (parity_dirs("kl-").remove(0), parity_dirs("mar-").remove(0));
    let weights = kl.join("model.safetensors");
    let out = folder.path().join("x.png");
    // Not the shape of KL-16.
    let sample: [&dyn AsRef<std::ffi::OsStr>; 7] = [&"sample", &"--model", &model, &"--kl", &weights, &"--out", &out];
    refused(
        &marscope(&sample),
        "tensor 'encoder.conv_in.weight' has shape [32, 3, 3, 3], but the configuration asks for",
    );
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/fashion");
    let needless: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&"sample", &"--model", &shipped, &"--kl", &weights, &"--out", &out];
    refused(&marscope(&needless), "fashion draws pixels");
    assert!(!out.exists());

    let (from, to) = (mar.join("checkpoint.pth"), folder.path().join("nothing"));
    let import: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"import", &"--from", &from, &"--out", &to];
    refused(&marscope(&import), "--preset");
    refused(&marscope(&[&import[..], &[&"--preset", &"mar-base"]].concat()), "the configuration asks for");
    let names = folder.path().join("names.txt");
    std::fs::write(&names, "cat\ndog\n").unwrap();
    let named: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--preset", &"mar-base", &"--classes", &names];
    refused(&marscope(&[&import[..], &named[..]].concat()), "names 2 classes; the weights have 10");
    assert!(!to.exists());
}
